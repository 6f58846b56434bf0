//! Smart hosts.

use super::{Question, Sent, Sheeted, Visit, ask, save, show_again};
use crate::control::Fault;
use crate::web::Web;
use axum::Router;
use axum::extract::{Form, Path};
use axum::response::Response;
use axum::routing::{get, post};
use console::desk::{NewSmartHostPage, Sheet, SmartHostPage, SmartHosts};
use console::form::Fields;
use console::layout::Place;
use console::path;
use relay::admin::settings;
use relay::admin::view::SmartHostView;
use relay::admin::{Command, Sight, may_see};

const ALL: &str = "/smart-hosts";

pub(super) fn router() -> Router<Web> {
    Router::new()
        .route("/smart-hosts", get(list))
        .route("/new-smart-host", get(new).post(add))
        .route("/smart-hosts/{name}", get(show).post(change))
        .route("/smart-hosts/{name}/remove", post(remove))
}

async fn list(visit: Visit) -> Response {
    let page = async {
        let hosts = visit.web.control.smart_hosts(visit.by()).await?;
        Ok(SmartHosts { frame: visit.frame("Smart hosts", Place::SmartHosts).await?, hosts })
    };
    visit.answer(page.await, "/").await
}

async fn new_page(visit: &Visit, name: &str, sheet: Option<Sheet>) -> Result<NewSmartHostPage, Fault> {
    may_see(visit.by(), Sight::Configuration, None)?;
    let sheet = sheet.unwrap_or_else(|| Sheet::new(&settings::of_new_smart_host()));
    let frame = visit.frame("New smart host", Place::SmartHosts).await?;
    Ok(NewSmartHostPage { frame, name: name.to_owned(), sheet })
}

async fn new(visit: Visit) -> Response {
    let page = new_page(&visit, "", None).await;
    visit.answer(page, ALL).await
}

async fn add(visit: Visit, Form(form): Sent) -> Response {
    let form = Fields(form);
    let views = settings::of_new_smart_host();
    let name = match form.need("name", "The name") {
        Ok(name) => name.to_owned(),
        Err(fault) => {
            let mut sheet = Sheet::new(&views).typed(&form);
            sheet.tell(None, &fault.to_string());
            return show_again(&visit, new_page(&visit, "", Some(sheet)).await, ALL).await;
        }
    };
    // Whoever means a new one does not change one that is there.
    let taken = match visit.web.control.smart_hosts(visit.by()).await {
        Ok(hosts) => hosts.iter().any(|host| host.name.eq_ignore_ascii_case(&name)),
        Err(fault) => return visit.fail(&fault, ALL).await,
    };
    if taken {
        let mut sheet = Sheet::new(&views).typed(&form);
        sheet.tell(None, &format!("There is a smart host {name} already"));
        return show_again(&visit, new_page(&visit, &name, Some(sheet)).await, ALL).await;
    }
    let command = |changes| Command::SmartHostSet { smart_host: name.clone(), changes };
    let question =
        Question::new("Add this smart host?", Place::SmartHosts, ALL).cancel("/new-smart-host").button("Add");
    match save(&visit, &form, &views, command, &format!("smart host {name}"), question).await {
        Sheeted::Answer(answer) => answer,
        Sheeted::Again(sheet) => show_again(&visit, new_page(&visit, &name, Some(sheet)).await, ALL).await,
    }
}

async fn find(visit: &Visit, name: &str) -> Result<SmartHostView, Fault> {
    let hosts = visit.web.control.smart_hosts(visit.by()).await?;
    let found = hosts.into_iter().find(|host| host.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| Fault::NotFound(format!("smart host \"{name}\"")))
}

async fn page(visit: &Visit, host: SmartHostView, sheet: Option<Sheet>) -> Result<SmartHostPage, Fault> {
    let sheet = sheet.unwrap_or_else(|| Sheet::new(&host.settings));
    Ok(SmartHostPage { frame: visit.frame(&host.name, Place::SmartHosts).await?, host, sheet })
}

async fn show(visit: Visit, Path(name): Path<String>) -> Response {
    let page = async { page(&visit, find(&visit, &name).await?, None).await };
    visit.answer(page.await, ALL).await
}

async fn change(visit: Visit, Path(name): Path<String>, Form(form): Sent) -> Response {
    let form = Fields(form);
    let host = match find(&visit, &name).await {
        Ok(host) => host,
        Err(fault) => return visit.fail(&fault, ALL).await,
    };
    let here = path::of(&["smart-hosts", &host.name]);
    let smart_host = host.name.clone();
    let command = |changes| Command::SmartHostSet { smart_host, changes };
    let question = Question::new(format!("{}: save the changes?", host.name), Place::SmartHosts, &here);
    match save(&visit, &form, &host.settings, command, &format!("smart host {}", host.name), question).await {
        Sheeted::Answer(answer) => answer,
        Sheeted::Again(sheet) => show_again(&visit, page(&visit, host, Some(sheet)).await, &here).await,
    }
}

async fn remove(visit: Visit, Path(name): Path<String>) -> Response {
    let question = Question::new(format!("Remove {name}?"), Place::SmartHosts, ALL).danger("Remove");
    ask(
        &visit,
        Command::SmartHostRemove { smart_host: name.clone() },
        question.cancel(&path::of(&["smart-hosts", &name])),
    )
    .await
}
