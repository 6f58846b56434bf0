//! Routes of the queue.

use super::{ANSWER_ITEMS_MAX, By, Failed};
use crate::control::{Control, DestinationsWanted};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use relay::admin::Filter;
use relay::admin::view::{DestinationsPage, MessageSummary, MessageView, Page};
use serde::Deserialize;

/// Messages of one page unless another number is asked for.
const PAGE: usize = 100;

/// Which destinations.
#[derive(Deserialize)]
pub(super) struct WantedDestinations {
    name: Option<String>,
    after: Option<String>,
    before: Option<String>,
    limit: Option<usize>,
}

/// Where mail waits, the longest queue first, a page at a time. `name`: a part of the destination's name; `after` takes the `next` of a
/// page, `before` its `previous`. What comes or goes meanwhile moves no page.
#[utoipa::path(get, path = "/api/v1/servers/{server}/destinations",
    params(
        ("server" = String, Path), ("name" = Option<String>, Query), ("after" = Option<String>, Query),
        ("before" = Option<String>, Query), ("limit" = Option<usize>, Query)
    ),
    responses((status = 200, body = DestinationsPage)))]
pub(super) async fn destinations(
    State(control): State<Control>,
    By(by): By,
    Path(server): Path<String>,
    wanted: Result<Query<WantedDestinations>, QueryRejection>,
) -> Result<Json<DestinationsPage>, Failed> {
    let WantedDestinations { name, after, before, limit } = wanted?.0;
    let limit = limit.unwrap_or(PAGE).min(ANSWER_ITEMS_MAX);
    Ok(Json(control.destinations(&by, &server, &DestinationsWanted { name, after, before, limit }).await?))
}

/// A filter and a place in the list.
#[derive(Deserialize)]
pub(super) struct Wanted {
    sender: Option<String>,
    recipient: Option<String>,
    address: Option<String>,
    destination: Option<String>,
    older_than_s: Option<u64>,
    younger_than_s: Option<u64>,
    reason: Option<String>,
    subject: Option<String>,
    held: Option<bool>,
    after: Option<String>,
    limit: Option<usize>,
}

/// Messages that wait, oldest first; all parts of the filter must match.
#[utoipa::path(get, path = "/api/v1/servers/{server}/queue",
    params(
        ("server" = String, Path), ("sender" = Option<String>, Query), ("recipient" = Option<String>, Query),
        ("address" = Option<String>, Query),
        ("destination" = Option<String>, Query), ("older_than_s" = Option<u64>, Query),
        ("younger_than_s" = Option<u64>, Query), ("reason" = Option<String>, Query), ("subject" = Option<String>, Query),
        ("held" = Option<bool>, Query),
        ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)
    ),
    responses((status = 200, body = Page<MessageSummary>)))]
pub(super) async fn messages(
    State(control): State<Control>,
    By(by): By,
    Path(server): Path<String>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Page<MessageSummary>>, Failed> {
    let Query(wanted) = wanted?;
    let Wanted { sender, recipient, address, destination, older_than_s, younger_than_s, reason, subject, .. } = wanted;
    let Wanted { held, after, limit, .. } = wanted;
    let filter =
        Filter { sender, recipient, address, destination, older_than_s, younger_than_s, reason, subject, held };
    let limit = limit.unwrap_or(PAGE).min(ANSWER_ITEMS_MAX);
    Ok(Json(control.messages(&by, &server, &filter, after.as_deref(), limit).await?))
}

/// All about one message.
#[utoipa::path(get, path = "/api/v1/servers/{server}/queue/{id}", params(("server" = String, Path), ("id" = String, Path)), responses((status = 200, body = MessageView)))]
pub(super) async fn message(
    State(control): State<Control>,
    By(by): By,
    Path((server, id)): Path<(String, String)>,
) -> Result<Json<MessageView>, Failed> {
    Ok(Json(control.message(&by, &server, &id).await?))
}
