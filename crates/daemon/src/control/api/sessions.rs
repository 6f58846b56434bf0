//! Sessions: the list, and one with its dialogue.

use super::{By, Control, Failed};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use relay::admin::Direction;
use relay::admin::view::{DialogueView, SessionView};
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Which {
    direction: Option<Direction>,
}

/// The sessions of a virtual server that go on now.
#[utoipa::path(get, path = "/api/v1/servers/{server}/sessions", params(("server" = String, Path), ("direction" = Option<Direction>, Query)), responses((status = 200, body = Vec<SessionView>)))]
pub(super) async fn sessions(
    State(control): State<Control>,
    By(by): By,
    Path(server): Path<String>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Vec<SessionView>>, Failed> {
    Ok(Json(control.sessions(&by, &server, which?.0.direction).await?))
}

/// One session with its dialogue so far, without secrets.
#[utoipa::path(get, path = "/api/v1/servers/{server}/sessions/{id}", params(("server" = String, Path), ("id" = String, Path)), responses((status = 200, body = DialogueView)))]
pub(super) async fn session(
    State(control): State<Control>,
    By(by): By,
    Path((server, id)): Path<(String, String)>,
) -> Result<Json<DialogueView>, Failed> {
    Ok(Json(control.dialogue(&by, &server, &id).await?))
}
