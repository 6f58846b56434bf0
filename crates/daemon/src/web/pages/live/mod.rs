//! Pages of what runs: overview, alarms, counters; sessions, queue and folders in their own files; the stream that keeps pages alive.
//!
//! A page asks for no more than it shows: a hundred of a list. What a script asks for to bring its page up to date is the same
//! page without what stands around it.

mod events;
mod folders;
mod queue;
mod sessions;

use super::{Visit, senseless};
use crate::control::Fault;
use crate::web::Web;
use axum::extract::{Form, Path};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use console::form::{Fields, FormFault};
use console::layout::{Place, Room};
use console::live::{Alarms, Counters, Overview};
use relay::admin::view::CounterView;
use relay::admin::{Command, ServerVerb};
use std::time::Duration;

/// How long a page waits for its counters.
const COUNTED_WITHIN: Duration = Duration::from_millis(25);
/// Entries of one page of a list.
pub const PAGE_ENTRIES_MAX: usize = 100;

/// Their routes.
pub(super) fn router() -> Router<Web> {
    Router::new()
        .route("/", get(overview))
        .route("/alarms", get(alarms))
        .route("/series.json", get(series))
        .route("/servers/{server}/series.json", get(series_of))
        .route("/servers/{server}/counters", get(counters))
        .route("/servers/{server}/state", post(state))
        .merge(sessions::router())
        .merge(queue::router())
        .merge(folders::router())
        .merge(events::router())
}

/// A query or a form, field by field.
type Given = Vec<(String, String)>;

async fn overview(visit: Visit) -> Response {
    let page = async {
        let (control, by) = (&visit.web.control, visit.by());
        let mut frame = visit.frame("Overview", Place::Overview).await?;
        if visit.background {
            frame.servers = control.servers(by).await?;
        }
        let (alarms, series) = tokio::join!(control.alarms(by), control.series(by, None));
        Ok(Overview { frame, alarms: alarms?, series: series? })
    };
    visit.answer(page.await, "/").await
}

async fn alarms(visit: Visit) -> Response {
    let page = async {
        let frame = visit.frame("Alarms", Place::Alarms).await?;
        Ok(Alarms { frame, alarms: visit.web.control.alarms(visit.by()).await? })
    };
    visit.answer(page.await, "/").await
}

async fn counters(visit: Visit, Path(server): Path<String>) -> Response {
    let page = async {
        let (control, by) = (&visit.web.control, visit.by());
        let frame = visit.frame("Counters", Place::Server(server.clone(), Room::Counters)).await?;
        let (counters, series) = tokio::join!(counted(&visit, &server), control.series(by, Some(&server)));
        Ok(Counters { frame, counters: counters?, series: series?, server })
    };
    visit.answer(page.await, "/").await
}

/// The counters; none if counting a long queue takes longer than a page may wait: then they come with what moves.
async fn counted(visit: &Visit, server: &str) -> Result<Vec<CounterView>, Fault> {
    let (control, by, server) = (visit.web.control.clone(), visit.by().clone(), server.to_owned());
    if visit.background {
        return control.counters(&by, &server).await;
    }
    // It goes on by itself, so that it is done when the script asks.
    let counting = tokio::spawn(async move { control.counters(&by, &server).await });
    match tokio::time::timeout(COUNTED_WITHIN, counting).await {
        Ok(Ok(counters)) => counters,
        Ok(Err(_)) | Err(_) => Ok(Vec::new()),
    }
}

async fn series(visit: Visit) -> Response {
    plotted(&visit, None).await
}

async fn series_of(visit: Visit, Path(server): Path<String>) -> Response {
    plotted(&visit, Some(&server)).await
}

async fn plotted(visit: &Visit, server: Option<&str>) -> Response {
    match visit.web.control.series(visit.by(), server).await {
        Ok(series) => Json(series).into_response(),
        Err(fault) => visit.fail(&fault, "/").await,
    }
}

async fn state(visit: Visit, Path(server): Path<String>, Form(form): Form<Given>) -> Response {
    let form = Fields(form);
    let verb = match form.get("verb") {
        Some("start") => ServerVerb::Start,
        Some("stop") => ServerVerb::Stop,
        Some("pause") => ServerVerb::Pause,
        Some("continue") => ServerVerb::Continue,
        other => {
            let text = format!("“{}” is nothing to do with a virtual server", other.unwrap_or_default());
            return visit.fail(&senseless(&FormFault(text)), "/").await;
        }
    };
    visit.carry_out(Command::ServerState { server, verb }, "/").await
}

/// How many entries of a list come before the page that is asked for.
fn skipped(fields: &Fields) -> usize {
    fields.get("skip").and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A page of a list that is at hand.
fn part<T>(all: Vec<T>, skip: usize) -> Vec<T> {
    all.into_iter().skip(skip).take(PAGE_ENTRIES_MAX).collect()
}
