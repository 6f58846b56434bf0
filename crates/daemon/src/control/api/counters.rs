//! Routes of counters, plots and alarms; `/metrics` for Prometheus.

use super::{By, Failed};
use crate::control::Control;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use relay::admin::view::{Alarm, CounterView, SeriesView};
use relay::counter::MEDIA_TYPE;

/// All counters of a virtual server.
#[utoipa::path(get, path = "/api/v1/servers/{server}/counters", params(("server" = String, Path)), responses((status = 200, body = Vec<CounterView>)))]
pub(super) async fn counters(
    State(control): State<Control>,
    By(by): By,
    Path(server): Path<String>,
) -> Result<Json<Vec<CounterView>>, Failed> {
    Ok(Json(control.counters(&by, &server).await?))
}

/// The last hour of a virtual server, a point every ten seconds.
#[utoipa::path(get, path = "/api/v1/servers/{server}/series", params(("server" = String, Path)), responses((status = 200, body = SeriesView)))]
pub(super) async fn series(
    State(control): State<Control>,
    By(by): By,
    Path(server): Path<String>,
) -> Result<Json<SeriesView>, Failed> {
    Ok(Json(control.series(&by, Some(&server)).await?))
}

/// The last hour of all virtual servers together.
#[utoipa::path(get, path = "/api/v1/series", responses((status = 200, body = SeriesView)))]
pub(super) async fn all_series(State(control): State<Control>, By(by): By) -> Result<Json<SeriesView>, Failed> {
    Ok(Json(control.series(&by, None).await?))
}

/// What somebody should see to, the urgent first.
#[utoipa::path(get, path = "/api/v1/alarms", responses((status = 200, body = Vec<Alarm>)))]
pub(super) async fn alarms(State(control): State<Control>, By(by): By) -> Result<Json<Vec<Alarm>>, Failed> {
    Ok(Json(control.alarms(&by).await?))
}

/// All counters, as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(control): State<Control>, By(by): By) -> Result<impl IntoResponse, Failed> {
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], control.metrics(&by).await?))
}
