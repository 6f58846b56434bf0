//! The wizard for a new virtual server.

use super::{Asked, Question, Sent, Visit, confirm, preview, show_again, trouble};
use crate::control::Fault;
use crate::web::Web;
use axum::Router;
use axum::extract::{Form, Query};
use axum::response::Response;
use axum::routing::get;
use console::desk::{NewServerPage, new_server};
use console::form::Fields;
use console::layout::Place;
use console::path;
use relay::admin::{Command, Denied};

pub(super) fn router() -> Router<Web> {
    Router::new().route("/servers/new", get(wizard).post(make))
}

async fn page(visit: &Visit, form: Fields, wrong: Vec<(String, String)>) -> Result<NewServerPage, Fault> {
    let frame = visit.frame("New virtual server", Place::NewServer).await?;
    // A wizard that cannot end is not begun.
    if !frame.may(&Command::ConfigReload) {
        return Err(Fault::Denied(Denied::Role(visit.by().role)));
    }
    Ok(NewServerPage { frame, form, wrong })
}

async fn wizard(visit: Visit, Query(asked): Asked) -> Response {
    let page = page(&visit, Fields(asked), Vec::new()).await;
    visit.answer(page, "/").await
}

async fn make(visit: Visit, Form(form): Sent) -> Response {
    let form = Fields(form);
    let wrong = match new_server(&form) {
        Err((field, fault)) => vec![(field, fault.to_string())],
        Ok(command) => {
            let name = form.get("name").unwrap_or_default().to_owned();
            match preview(&visit, &command).await {
                Ok(outcome) => {
                    let recipe = form.get("recipe").unwrap_or_default();
                    let here = format!("/servers/new{}", path::query(&[("recipe", recipe)]));
                    let back = path::server(&name, &["properties", "access"]);
                    let mut question = Question::new("Make this virtual server?", Place::NewServer, &back);
                    if !recipe.is_empty() {
                        question = question.note(
                            "A self-signed certificate and a file for accounts are made beside the configuration, where the recipe needs them \
                             and there are none. Addresses in the recipe are examples: look through its tabs afterwards.",
                        );
                    }
                    return confirm(&visit, command, outcome, question.button("Make it").cancel(&here)).await;
                }
                Err(Fault::Invalid { text, problems }) if problems.is_empty() => vec![(String::new(), text)],
                Err(Fault::Invalid { problems, .. }) => problems
                    .into_iter()
                    .map(|problem| (field(problem.setting.as_deref(), problem.table.as_deref(), &name), problem.text))
                    .collect(),
                Err(Fault::Conflict(text)) if text.contains("already") => vec![("name".into(), text)],
                Err(fault) => return trouble(&visit, &fault, "/servers/new").await,
            }
        }
    };
    show_again(&visit, page(&visit, form, wrong).await, "/servers/new").await
}

/// The wizard's field for a setting that is at fault.
fn field(setting: Option<&str>, table: Option<&str>, server: &str) -> String {
    let field = match (setting, table) {
        (Some("name"), Some(table)) if table == server => "name",
        (Some("home"), _) => "home",
        (Some(setting), _) if setting.starts_with("general.listen") => "listen",
        (Some("domain.name"), _) => "default_domain",
        _ => "",
    };
    field.to_owned()
}
