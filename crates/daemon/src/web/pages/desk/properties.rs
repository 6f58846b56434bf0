//! The property tabs of a virtual server; its name; its end.

use super::{Question, Sent, Sheeted, Visit, ask, save, see, senseless, show_again};
use crate::control::Fault;
use crate::web::Web;
use axum::Router;
use axum::extract::{Form, Path};
use axum::response::Response;
use axum::routing::{get, post};
use console::desk::{Properties, Sheet, Tab};
use console::form::Fields;
use console::layout::{Place, Room};
use console::path;
use relay::admin::view::SettingView;
use relay::admin::{Command, Sight, may_see};

pub(super) fn router() -> Router<Web> {
    Router::new()
        .route("/servers/{server}/properties", get(first))
        .route("/servers/{server}/properties/{tab}", get(show).post(change))
        .route("/servers/{server}/rename", post(rename))
        .route("/servers/{server}/delete", post(delete))
}

async fn first(Path(server): Path<String>) -> Response {
    see(&path::server(&server, &["properties", "general"]))
}

fn place(server: &str) -> Place {
    Place::Server(server.to_owned(), Room::Properties)
}

fn tab(segment: &str) -> Result<Tab, Fault> {
    Tab::named(segment).ok_or_else(|| Fault::NotFound(format!("tab {segment}")))
}

async fn settings(visit: &Visit, server: &str, tab: Tab) -> Result<Vec<SettingView>, Fault> {
    Ok(tab.settings(visit.web.control.settings(visit.by(), Some(server)).await?))
}

async fn page(visit: &Visit, server: &str, tab: Tab, sheet: Option<Sheet>) -> Result<Properties, Fault> {
    let (control, by) = (&visit.web.control, visit.by());
    let view = control.server(by, server).await?;
    let sheet = match sheet {
        Some(sheet) => sheet,
        None => Sheet::new(&settings(visit, server, tab).await?),
    };
    // Whoever may not know who the operators are still has the tab.
    let may_know = tab == Tab::Security && may_see(by, Sight::Operators, None).is_ok();
    let operators = if may_know { Some(control.operators(by).await?) } else { None };
    let frame = visit.frame(&format!("{server}: {}", tab.label()), place(server)).await?;
    Ok(Properties { frame, server: view, tab, sheet, operators })
}

async fn show(visit: Visit, Path((server, segment)): Path<(String, String)>) -> Response {
    let page = async { page(&visit, &server, tab(&segment)?, None).await };
    visit.answer(page.await, "/").await
}

async fn change(visit: Visit, Path((server, segment)): Path<(String, String)>, Form(form): Sent) -> Response {
    let form = Fields(form);
    let read = async {
        let tab = tab(&segment)?;
        Ok::<_, Fault>((tab, settings(&visit, &server, tab).await?))
    };
    let (tab, views) = match read.await {
        Ok(read) => read,
        Err(fault) => return visit.fail(&fault, "/").await,
    };
    let back = path::server(&server, &["properties", tab.segment()]);
    let command = |changes| Command::Set { server: Some(server.clone()), changes };
    let question = Question::new(format!("{}: save the changes?", tab.label()), place(&server), &back);
    match save(&visit, &form, &views, command, &server, question).await {
        Sheeted::Answer(answer) => answer,
        Sheeted::Again(sheet) => show_again(&visit, page(&visit, &server, tab, Some(sheet)).await, &back).await,
    }
}

async fn rename(visit: Visit, Path(server): Path<String>, Form(form): Sent) -> Response {
    let form = Fields(form);
    let here = path::server(&server, &["properties", "general"]);
    let name = match form.need("name", "The new name") {
        Ok(name) => name.to_owned(),
        Err(fault) => return visit.fail(&senseless(&fault), &here).await,
    };
    if name == server {
        return see(&here);
    }
    let back = path::server(&name, &["properties", "general"]);
    let question = Question::new(format!("Rename {server}?"), place(&server), &back).cancel(&here).button("Rename");
    ask(&visit, Command::ServerRename { server, name }, question).await
}

async fn delete(visit: Visit, Path(server): Path<String>) -> Response {
    let here = path::server(&server, &["properties", "general"]);
    let note =
        "Its sessions end and it listens no more. Its home folder stays as it is, with the mail that waits in it.";
    let question =
        Question::new(format!("Delete {server}?"), place(&server), "/").cancel(&here).danger("Delete").note(note);
    ask(&visit, Command::ServerDelete { server }, question).await
}
