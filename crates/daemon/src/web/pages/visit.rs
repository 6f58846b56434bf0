//! What every handler of a page has at hand: who asks, the frame around a page, and the answers: a page, a fault in words, or the way
//! back with a word about what was done.

use crate::control::Fault;
use crate::web::{Visitor, Web};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use console::Page;
use console::form::FormFault;
use console::layout::{Flash, Frame, Place};
use console::live::Trouble;
use relay::admin::view::Outcome;
use relay::admin::{Command, Operator};

/// The cookie with a word about what was just done; it holds nothing that a page would not show.
const FLASH: &str = "mailroot-flash";

/// See the module.
pub(super) struct Visit {
    pub(super) web: Web,
    pub(super) visitor: Visitor,
    flash: Option<Flash>,
    /// A script asks, to bring a part of its page up to date.
    pub(super) background: bool,
}

impl FromRequestParts<Web> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Visit, Response> {
        // The door lets nobody in who is nobody.
        let visitor = parts.extensions.get::<Visitor>().cloned();
        let visitor = visitor.ok_or_else(|| StatusCode::UNAUTHORIZED.into_response())?;
        let background = parts.headers.contains_key("x-background");
        let flash = if background { None } else { flash(&parts.headers) };
        Ok(Visit { web: web.clone(), visitor, flash, background })
    }
}

fn flash(headers: &HeaderMap) -> Option<Flash> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == FLASH).find_map(|(_, value)| Flash::unpack(value))
}

impl Visit {
    pub(super) fn by(&self) -> &Operator {
        &self.visitor.operator
    }

    /// What stands around a page. Around a part of one, nothing but who asks.
    pub(super) async fn frame(&self, title: &str, place: Place) -> Result<Frame, Fault> {
        let mut frame = self.bare(title, place);
        if !self.background {
            let control = &self.web.control;
            let (servers, alarms) = tokio::join!(control.servers(self.by()), control.alarms(self.by()));
            frame.servers = servers?;
            frame.alarms = alarms?.len();
        }
        Ok(frame)
    }

    fn bare(&self, title: &str, place: Place) -> Frame {
        Frame {
            title: title.into(),
            operator: self.by().clone(),
            csrf: self.visitor.csrf.clone(),
            servers: Vec::new(),
            place,
            alarms: 0,
            flash: self.flash.clone(),
        }
    }

    /// The page, or the part of it that moves.
    pub(super) fn show(&self, page: &dyn Page) -> Response {
        if self.background {
            return Html(page.live()).into_response();
        }
        let mut answer = Html(page.html()).into_response();
        if self.flash.is_some() {
            set_flash(answer.headers_mut(), "", 0);
        }
        answer
    }

    /// The page, or in words why not.
    pub(super) async fn answer<P: Page>(&self, page: Result<P, Fault>, back: &str) -> Response {
        match page {
            Ok(page) => self.show(&page),
            Err(fault) => self.fail(&fault, back).await,
        }
    }

    /// Why not, in words, under the fault's status.
    pub(super) async fn fail(&self, fault: &Fault, back: &str) -> Response {
        let (status, title) = fault.status();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut frame = self.bare(title, Place::Elsewhere);
        frame.flash = None;
        if let Ok(servers) = self.web.control.servers(self.by()).await {
            frame.servers = servers;
        }
        let more = match fault {
            Fault::Invalid { problems, .. } => {
                problems.iter().map(|problem| format!("line {}: {}", problem.line, problem.text)).collect()
            }
            _ => Vec::new(),
        };
        let page = Trouble { frame, text: sentence(&fault.to_string()), more, back: back.to_owned() };
        (status, Html(page.html())).into_response()
    }

    /// Carries a command out and goes back with a word about it.
    pub(super) async fn carry_out(&self, command: Command, back: &str) -> Response {
        match self.web.control.execute(self.by(), &self.visitor.from, command, false).await {
            Ok(outcome) => self.done(&outcome, back),
            Err(fault) => self.fail(&fault, back).await,
        }
    }

    /// Back to a page, with a word about what was done.
    pub(super) fn done(&self, outcome: &Outcome, back: &str) -> Response {
        let more = outcome.restarts.iter().chain(&outcome.troubles).cloned().collect();
        let flash = Flash::done(sentence(&outcome.text), more);
        let mut answer = Redirect::to(back).into_response();
        set_flash(answer.headers_mut(), &flash.pack(), 60);
        answer
    }
}

fn set_flash(headers: &mut HeaderMap, value: &str, seconds: u32) {
    let cookie = format!("{FLASH}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        headers.append(header::SET_COOKIE, value);
    }
}

/// With a capital at its beginning and a stop at its end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let mut out: String = letters.next().map(char::to_uppercase).into_iter().flatten().collect();
    out.push_str(letters.as_str());
    if !out.ends_with(['.', '!', '?']) && !out.is_empty() {
        out.push('.');
    }
    out
}

/// A form that makes no sense, as a fault.
pub(super) fn senseless(fault: &FormFault) -> Fault {
    Fault::Invalid { text: fault.to_string(), problems: Vec::new() }
}
