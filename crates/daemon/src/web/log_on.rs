//! Log-on, log-off, and the link by which a password is set.
//!
//! Each log-on gets a name that nobody had before (no session can be planted), and the one that the browser had ends. Whoever is
//! turned away learns only that he is, and is written down.

use super::Web;
use super::door::Way;
use super::guard::{Visitor, cookie_name, cookies};
use crate::control::Fault;
use crate::control::operators::{PASSWORD_CHARACTERS_MIN, Proven, Refused, Ticket};
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Form, Router};
use console::Page;
use console::door::{Invite, LogOn, Note};
use relay::admin::view::Outcome;
use relay::record::Record;
use serde::Deserialize;
use smtp::sasl::Secret;
use smtp::sasl::clear::ACCOUNT_NAME_MAX;
use std::net::IpAddr;

pub(super) fn router() -> Router<Web> {
    Router::new()
        .route("/log-on", get(form).post(log_on))
        .route("/log-off", post(log_off))
        .route("/invite/{code}", get(invitation).post(accept))
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

/// An address of this console, and nobody else's.
fn own(next: &str) -> &str {
    let second = next.as_bytes().get(1);
    let is_own = next.starts_with('/')
        && !matches!(second, Some(b'/' | b'\\'))
        && !next.chars().any(char::is_control)
        && !next.starts_with("/log-o");
    if is_own { next } else { "/" }
}

async fn form(Query(Next { next }): Query<Next>) -> Response {
    page(StatusCode::OK, "", &next, None)
}

fn page(status: StatusCode, name: &str, next: &str, trouble: Option<String>) -> Response {
    let page = LogOn { title: "Log on", name: name.into(), next: own(next).into(), trouble };
    (status, Html(page.html())).into_response()
}

#[derive(Deserialize)]
struct Proof {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

async fn log_on(
    State(web): State<Web>,
    Extension(way): Extension<Way>,
    headers: HeaderMap,
    proof: Result<Form<Proof>, FormRejection>,
) -> Response {
    let Ok(Form(Proof { mut name, password, next })) = proof else {
        return page(StatusCode::BAD_REQUEST, "", "", Some("Name or password is missing.".into()));
    };
    let password = Secret::new(password.into_bytes());
    cut(&mut name);
    match web.operators().prove(name.trim(), password, way.peer).await {
        Ok(proven) => match begin(&web, way, &headers, &proven, "log-on").await {
            Some(mut answer) => {
                if let Ok(address) = HeaderValue::from_str(own(&next)) {
                    answer.headers_mut().insert(header::LOCATION, address);
                }
                answer
            }
            None => page(StatusCode::SERVICE_UNAVAILABLE, &name, &next, Some(BUSY.into())),
        },
        Err(refused) => {
            let (status, text) = match refused {
                Refused::Wrong { locked } => {
                    let why = if locked.is_some() { "wrong, and too many of them" } else { "wrong name or password" };
                    web.tell_refused(&name, way.peer, "log-on", why).await;
                    (StatusCode::FORBIDDEN, "The name or the password is wrong.")
                }
                Refused::Locked(_) => (
                    StatusCode::TOO_MANY_REQUESTS,
                    "Too many wrong passwords, by this name or from this address; try again in some minutes.",
                ),
                Refused::Busy => (StatusCode::SERVICE_UNAVAILABLE, BUSY),
            };
            page(status, &name, &next, Some(text.into()))
        }
    }
}

const BUSY: &str = "The password cannot be checked at the moment; try again.";

/// No name is longer; what is, is wrong anyway.
fn cut(name: &mut String) {
    while name.len() > ACCOUNT_NAME_MAX {
        name.pop();
    }
}

/// Logs somebody on who has proved who he is: a new cookie, and the way to the overview.
async fn begin(web: &Web, way: Way, headers: &HeaderMap, proven: &Proven, what: &str) -> Option<Response> {
    let ticket = web.operators().begin(proven).await?;
    let operator = &proven.operator;
    cookies(headers, way).for_each(|old| web.operators().log_out(old));
    let from = way.peer.to_string();
    web.log().write(&Record::Operator {
        name: operator.name.as_str().into(),
        from: from.as_str().into(),
        what: what.into(),
    });
    let done = Ok(Outcome { text: format!("{} is logged on", operator.name), ..Outcome::default() });
    web.control.note(&operator.name, &from, what, &done).await;
    let mut answer = Redirect::to("/").into_response();
    answer.headers_mut().insert(header::SET_COOKIE, cookie(web, way, Some(&ticket))?);
    Some(answer)
}

/// The cookie as it is set; without a ticket: taken back.
fn cookie(web: &Web, way: Way, ticket: Option<&Ticket>) -> Option<HeaderValue> {
    let (value, age) = match ticket {
        Some(ticket) => (&*ticket.cookie, web.rules().longest.as_secs()),
        None => ("", 0),
    };
    let secure = if way.secure { "; Secure" } else { "" };
    let name = cookie_name(way);
    let text = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

async fn log_off(
    State(web): State<Web>,
    Extension(way): Extension<Way>,
    Extension(visitor): Extension<Visitor>,
) -> Response {
    web.operators().log_out(&visitor.cookie);
    let name = &visitor.operator.name;
    let done = Ok(Outcome { text: format!("{name} is logged off"), ..Outcome::default() });
    web.control.note(name, &visitor.from, "log-off", &done).await;
    let mut answer = Redirect::to("/log-on").into_response();
    if let Some(cookie) = cookie(&web, way, None) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}

async fn invitation(State(web): State<Web>, Path(code): Path<String>) -> Response {
    match web.operators().invited(&code) {
        Some(name) => invited(StatusCode::OK, name, None),
        None => over(),
    }
}

fn invited(status: StatusCode, name: String, trouble: Option<String>) -> Response {
    let page = Invite { title: "Set a password", name, least: PASSWORD_CHARACTERS_MIN, trouble };
    (status, Html(page.html())).into_response()
}

fn over() -> Response {
    let text = "This link was used, or is over, or there is a newer one. An administrator makes another by: mailroot operator invite \
                NAME. While nobody can log on at all, each start of the service makes one; it is in the log.";
    let page = Note { title: "This link is not good any more".into(), text: text.into() };
    (StatusCode::NOT_FOUND, Html(page.html())).into_response()
}

#[derive(Deserialize)]
struct New {
    password: String,
    again: String,
}

async fn accept(
    State(web): State<Web>,
    Extension(way): Extension<Way>,
    headers: HeaderMap,
    Path(code): Path<String>,
    new: Result<Form<New>, FormRejection>,
) -> Response {
    let Some(name) = web.operators().invited(&code) else { return over() };
    let Ok(Form(New { password, again })) = new else {
        return invited(StatusCode::BAD_REQUEST, name, Some("The password is missing.".into()));
    };
    let (password, again) = (Secret::new(password.into_bytes()), Secret::new(again.into_bytes()));
    if !password.equals(again.reveal()) {
        return invited(StatusCode::UNPROCESSABLE_ENTITY, name, Some("The two are not the same.".into()));
    }
    match web.operators().accept(&code, &password, way.peer).await {
        Ok(proven) => match begin(&web, way, &headers, &proven, "password by a link").await {
            Some(answer) => answer,
            None => Redirect::to("/log-on").into_response(),
        },
        Err(Fault::NotFound(_)) => over(),
        Err(fault) => {
            let status = StatusCode::from_u16(fault.status().0).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            invited(status, name, Some(format!("{fault}.")))
        }
    }
}

impl Web {
    pub(super) fn log(&self) -> &crate::log::Log {
        &self.shared.log
    }

    /// Writes down that somebody was turned away; `name` and `from` as he gave them.
    pub(super) async fn tell_refused(&self, name: &str, from: IpAddr, what: &str, why: &str) {
        let Some(left_out) = self.shared.telling.turn(self.shared.clock.now()) else { return };
        let more = if left_out > 0 { format!(" ({left_out} others before are not listed)") } else { String::new() };
        let from = from.to_string();
        let text = format!("{what} refused: {why}{more}");
        self.log().write(&Record::Operator {
            name: name.into(),
            from: from.as_str().into(),
            what: text.as_str().into(),
        });
        let refused = Err(Fault::Refused(format!("{why}{more}")));
        self.control.note(name, &from, what, &refused).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for (next, to) in [
            ("/servers/One/queue?x=1", "/servers/One/queue?x=1"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/\t/evil.example", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("/log-off", "/"),
        ] {
            assert_eq!(own(next), to, "{next}");
        }
    }
}
