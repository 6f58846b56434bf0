//! Operators and tokens.

use super::{Question, Sent, Visit, ask, carry_out, show_again};
use crate::control::Fault;
use crate::web::Web;
use axum::Router;
use axum::extract::Form;
use axum::response::Response;
use axum::routing::get;
use console::desk::{Operators, operator_command};
use console::form::Fields;
use console::layout::Place;
use relay::admin::Command;

const HERE: &str = "/operators";

pub(super) fn router() -> Router<Web> {
    Router::new().route("/operators", get(list).post(change))
}

async fn page(visit: &Visit, form: Fields, wrong: Option<String>) -> Result<Operators, Fault> {
    let (control, by) = (&visit.web.control, visit.by());
    let (operators, tokens) = tokio::join!(control.operators(by), control.tokens(by));
    let frame = visit.frame("Operators", Place::Operators).await?;
    Ok(Operators { frame, operators: operators?, tokens: tokens?, form, wrong })
}

async fn list(visit: Visit) -> Response {
    let page = page(&visit, Fields::default(), None).await;
    visit.answer(page, "/").await
}

async fn change(visit: Visit, Form(form): Sent) -> Response {
    let form = Fields(form);
    let command = match operator_command(&form) {
        Ok(command) => command,
        Err(fault) => return show_again(&visit, page(&visit, form, Some(fault.to_string())).await, HERE).await,
    };
    let question = |title: String| Question::new(title, Place::Operators, HERE);
    match &command {
        Command::OperatorRemove { name } => {
            let question = question(format!("Remove the operator {name}?")).danger("Remove");
            ask(&visit, command, question.note("His log-ons end at once.")).await
        }
        Command::TokenRevoke { name } => {
            let question = question(format!("Revoke the token {name}?")).danger("Revoke");
            ask(&visit, command, question.note("The program that has it is let in no more.")).await
        }
        _ => carry_out(&visit, command, HERE, HERE).await,
    }
}
