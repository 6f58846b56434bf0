//! Current Sessions: the list, one with its dialogue, and the end of one or of all.

use super::{Given, Visit, part, skipped};
use crate::control::Fault;
use crate::web::Web;
use axum::Router;
use axum::extract::{Form, Path, Query};
use axum::response::Response;
use axum::routing::{get, post};
use console::form::Fields;
use console::layout::{Place, Room};
use console::live::{Dialogue, SessionGone, Sessions, direction};
use console::{Confirm, path, words};
use relay::admin::view::SessionView;
use relay::admin::{Command, Direction};

pub(super) fn router() -> Router<Web> {
    Router::new()
        .route("/servers/{server}/sessions", get(list))
        .route("/servers/{server}/sessions/end-all", get(question).post(end_all))
        .route("/servers/{server}/sessions/{id}", get(one))
        .route("/servers/{server}/sessions/{id}/end", post(end))
}

fn place(server: &str) -> Place {
    Place::Server(server.to_owned(), Room::Sessions)
}

fn address(server: &str) -> String {
    path::server(server, &["sessions"])
}

async fn list(visit: Visit, Path(server): Path<String>, Query(query): Query<Given>) -> Response {
    let query = Fields(query);
    let page = async {
        let frame = visit.frame("Current Sessions", place(&server)).await?;
        let direction = direction(query.get("direction"));
        let mut all = visit.web.control.sessions(visit.by(), &server, direction).await?;
        let find = query.get("find").unwrap_or_default().to_owned();
        if !find.is_empty() {
            let wanted = find.to_lowercase();
            all.retain(|session| has(session, &wanted));
        }
        let (total, skipped) = (all.len(), skipped(&query));
        let sessions = part(all, skipped);
        Ok(Sessions { frame, server: server.clone(), direction, find, sessions, total, skipped })
    };
    visit.answer(page.await, "/").await
}

/// Is it in what one would look for?
fn has(session: &SessionView, wanted: &str) -> bool {
    let destination = session.destination.as_deref().unwrap_or_default();
    [&session.user, &session.peer, destination].iter().any(|text| text.to_lowercase().contains(wanted))
}

async fn one(visit: Visit, Path((server, id)): Path<(String, String)>) -> Response {
    let back = address(&server);
    let frame = match visit.frame("Session", place(&server)).await {
        Ok(frame) => frame,
        Err(fault) => return visit.fail(&fault, &back).await,
    };
    match visit.web.control.dialogue(visit.by(), &server, &id).await {
        Ok(view) => visit.show(&Dialogue { frame, server, view }),
        // Whoever looks on when it ends is told so in its place.
        Err(Fault::NotFound(_)) if visit.background => visit.show(&SessionGone { frame, server, id }),
        Err(fault) => visit.fail(&fault, &back).await,
    }
}

async fn end(visit: Visit, Path((server, session)): Path<(String, String)>) -> Response {
    let back = address(&server);
    visit.carry_out(Command::SessionEnd { server, session }, &back).await
}

async fn question(visit: Visit, Path(server): Path<String>, Query(query): Query<Given>) -> Response {
    let direction = direction(Fields(query).get("direction"));
    let page = async {
        let all = visit.web.control.sessions(visit.by(), &server, direction).await?;
        let which = match direction {
            Some(Direction::Inbound) => "inbound ",
            Some(Direction::Outbound) => "outbound ",
            None => "",
        };
        let title = format!("End all {which}sessions?");
        let count = words::count(all.len() as u64, "session is", "sessions are");
        let says = vec![
            format!("{count} open and will be ended at once."),
            "A message that is on its way is not lost: whoever sends it sends it again.".into(),
        ];
        let fields = vec![("direction".to_owned(), which.trim().to_owned())];
        Ok(Confirm {
            frame: visit.frame(&title, place(&server)).await?,
            says,
            change: None,
            action: path::server(&server, &["sessions", "end-all"]),
            fields,
            button: format!("End {}", words::count(all.len() as u64, "session", "sessions")),
            danger: true,
            back: address(&server),
            server: server.clone(),
        })
    };
    visit.answer(page.await, &address(&server)).await
}

async fn end_all(visit: Visit, Path(server): Path<String>, Form(form): Form<Given>) -> Response {
    let (direction, back) = (direction(Fields(form).get("direction")), address(&server));
    visit.carry_out(Command::SessionEndAll { server, direction }, &back).await
}
