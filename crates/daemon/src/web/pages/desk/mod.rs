//! Pages of what is set: virtual servers, domains, smart hosts, configuration, operators; explain, certificates, the audit log.
//!
//! Whatever changes the configuration is asked for twice: the form's answer shows what would happen ([`Control::execute`] with
//! `dry_run`), and only that page's button does it, if the configuration is still the one that the difference is to.
//!
//! [`Control::execute`]: crate::control::Control::execute

mod configuration;
mod domains;
mod lists;
mod operators;
mod properties;
mod servers;
mod smart_hosts;

use super::{Visit, senseless};
use crate::control::Fault;
use crate::web::Web;
use axum::Router;
use axum::extract::{Form, Query};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::post;
use console::desk::{Done, Sheet, Trouble};
use console::form::{Fields, FormFault};
use console::layout::Place;
use console::{Confirm, Page};
use relay::admin::view::Outcome;
use relay::admin::{Change, Command, may};

/// Their routes.
pub(super) fn router() -> Router<Web> {
    Router::new()
        .route("/confirm", post(confirmed))
        .merge(configuration::router())
        .merge(domains::router())
        .merge(lists::router())
        .merge(operators::router())
        .merge(properties::router())
        .merge(servers::router())
        .merge(smart_hosts::router())
}

/// A form, field by field.
type Sent = Form<Vec<(String, String)>>;
/// The same of an address.
type Asked = Query<Vec<(String, String)>>;

/// How a change is asked about.
struct Question {
    title: String,
    place: Place,
    /// The button's words.
    button: &'static str,
    danger: bool,
    notes: Vec<String>,
    /// The page that follows, and the one that one comes from.
    back: String,
    cancel: String,
}

impl Question {
    fn new(title: impl Into<String>, place: Place, back: &str) -> Question {
        Question {
            title: title.into(),
            place,
            button: "Save",
            danger: false,
            notes: Vec::new(),
            back: back.into(),
            cancel: back.into(),
        }
    }

    fn danger(self, button: &'static str) -> Question {
        Question { button, danger: true, ..self }
    }

    fn button(self, button: &'static str) -> Question {
        Question { button, ..self }
    }

    fn note(mut self, note: impl Into<String>) -> Question {
        self.notes.push(note.into());
        self
    }

    fn cancel(self, cancel: &str) -> Question {
        Question { cancel: cancel.into(), ..self }
    }
}

/// What a command would do.
async fn preview(visit: &Visit, command: &Command) -> Result<Outcome, Fault> {
    visit.web.control.execute(visit.by(), &visit.visitor.from, command.clone(), true).await
}

/// Shows what a command would do, with a button that does it.
async fn ask(visit: &Visit, command: Command, question: Question) -> Response {
    match preview(visit, &command).await {
        Ok(outcome) => confirm(visit, command, outcome, question).await,
        Err(fault) => trouble(visit, &fault, &question.cancel).await,
    }
}

/// The same, if it is known already.
async fn confirm(visit: &Visit, command: Command, outcome: Outcome, question: Question) -> Response {
    let page = async {
        let Question { title, place, button, danger, notes, back, cancel } = question;
        let mark = visit.web.control.mark().await?;
        let frame = visit.frame(&title, place).await?;
        let fields = [
            ("command", serde_json::to_string(&command).unwrap_or_default()),
            // The configuration that the difference is to.
            ("mark", mark),
            ("back", back),
            ("cancel", cancel.clone()),
        ];
        Ok(Confirm {
            frame,
            server: String::new(),
            says: notes,
            change: Some(outcome),
            action: "/confirm".into(),
            fields: fields.map(|(name, value)| (name.to_owned(), value)).into(),
            button: button.into(),
            danger,
            back: cancel,
        })
    };
    visit.answer(page.await, "/").await
}

/// The button of such a page was pressed.
async fn confirmed(visit: Visit, Form(form): Sent) -> Response {
    let form = Fields(form);
    let path = |field: &str| form.get(field).filter(|path| is_ours(path)).unwrap_or("/").to_owned();
    let (back, cancel) = (path("back"), path("cancel"));
    let Some(Ok(command)) = form.get("command").map(serde_json::from_str::<Command>) else {
        return visit.fail(&senseless(&FormFault("this form says nothing".into())), &cancel).await;
    };
    // What was shown is what is done: if the configuration is another one by now, it is shown anew.
    match visit.web.control.mark().await {
        Ok(mark) if form.get("mark") == Some(&mark) => {}
        Ok(_) => {
            let note = "The configuration has been changed since this was shown. This is what would change now.";
            let question = Question::new("The configuration has changed", Place::Elsewhere, &back);
            return ask(&visit, command, question.note(note).cancel(&cancel)).await;
        }
        Err(fault) => return visit.fail(&fault, &cancel).await,
    }
    carry_out(&visit, command, &back, &cancel).await
}

/// Carries a command out; a secret is shown at once, as it cannot be shown later.
async fn carry_out(visit: &Visit, command: Command, back: &str, cancel: &str) -> Response {
    let secret_note = match &command {
        Command::OperatorInvite { .. } | Command::OperatorAdd { .. } => {
            "By this link the operator sets his password. It works one time, for a day; hand it over where nobody else reads it."
        }
        _ => "The token. A program sends it as “Authorization: Bearer …”.",
    };
    match visit.web.control.execute(visit.by(), &visit.visitor.from, command, false).await {
        Ok(outcome) if outcome.secret.is_some() => {
            let page = async {
                let frame = visit.frame("Shown once", Place::Operators).await?;
                Ok(Done { frame, outcome, secret_note: secret_note.into(), back: back.into() })
            };
            visit.answer(page.await, back).await
        }
        Ok(outcome) => visit.done(&outcome, back),
        Err(fault) => trouble(visit, &fault, cancel).await,
    }
}

/// Why not; where the file was edited by hand, with the way to look at that.
async fn trouble(visit: &Visit, fault: &Fault, back: &str) -> Response {
    let Fault::Conflict(text) = fault else { return visit.fail(fault, back).await };
    let Ok(frame) = visit.frame("Conflict", Place::Elsewhere).await else { return visit.fail(fault, back).await };
    let edited = visit.web.control.edited(visit.by()).await.is_ok_and(|diff| !diff.is_empty());
    let page = Trouble { frame, text: text.clone(), problems: Vec::new(), edited, back: back.into() };
    (StatusCode::CONFLICT, Html(page.html())).into_response()
}

/// What comes of a form with settings.
enum Sheeted {
    /// An answer is ready.
    Answer(Response),
    /// The form again, with what was typed and what is wrong.
    Again(Sheet),
}

/// A form with settings: `command` makes one of the changes, `whose` is how a fault names the table.
async fn save(
    visit: &Visit,
    form: &Fields,
    views: &[relay::admin::view::SettingView],
    command: impl FnOnce(Vec<Change>) -> Command,
    whose: &str,
    question: Question,
) -> Sheeted {
    let found = console::desk::changes(form, views);
    let mut sheet = Sheet::new(views).typed(form);
    if found.changes.is_empty() {
        return Sheeted::Answer(unchanged(visit, &question.cancel));
    }
    let command = command(found.changes);
    let may_not = may(visit.by(), &command).is_err();
    if !found.meanwhile.is_empty() && !may_not {
        for (setting, now) in &found.meanwhile {
            let text =
                format!("Somebody has changed this since: it is {now} now. Save again to put yours in its place.");
            sheet.tell(Some(setting), &text);
        }
        return Sheeted::Again(sheet);
    }
    match preview(visit, &command).await {
        Ok(outcome) if outcome.diff.is_empty() => Sheeted::Answer(unchanged(visit, &question.cancel)),
        Ok(outcome) => Sheeted::Answer(confirm(visit, command, outcome, question).await),
        Err(Fault::Invalid { text, problems }) => {
            if problems.is_empty() {
                sheet.tell(None, &text);
            }
            for problem in &problems {
                let is_here = problem.table.as_deref().is_none_or(|table| table == whose);
                let setting = problem.setting.as_deref().filter(|_| is_here);
                sheet.tell(setting, &problem.text);
            }
            Sheeted::Again(sheet)
        }
        Err(fault) => Sheeted::Answer(trouble(visit, &fault, &question.cancel).await),
    }
}

fn unchanged(visit: &Visit, back: &str) -> Response {
    visit.done(&Outcome { text: "nothing was changed".into(), ..Outcome::default() }, back)
}

/// The form again: it was not right.
fn again<P: Page>(page: Result<P, Fault>) -> Result<Response, Fault> {
    page.map(|page| (StatusCode::UNPROCESSABLE_ENTITY, Html(page.html())).into_response())
}

/// The form again, or why not even that.
async fn show_again<P: Page>(visit: &Visit, page: Result<P, Fault>, back: &str) -> Response {
    match again(page) {
        Ok(answer) => answer,
        Err(fault) => visit.fail(&fault, back).await,
    }
}

/// A path of this console, to go back to.
fn is_ours(path: &str) -> bool {
    let is_local = path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/\\");
    is_local && path.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'\\')
}

fn see(path: &str) -> Response {
    Redirect::to(path).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_sent_back_to_pages_of_ours_alone() {
        for (path, ours) in [
            ("/", true),
            ("/servers/One/properties/general?a=b#c", true),
            ("//evil.test/", false),
            ("/\\evil.test", false),
            ("https://evil.test/", false),
            ("", false),
            ("/a\r\nSet-Cookie: x", false),
            ("javascript:alert(1)", false),
        ] {
            assert_eq!(is_ours(path), ours, "{path}");
        }
    }
}
