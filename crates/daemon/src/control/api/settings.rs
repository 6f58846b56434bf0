//! Routes of the configuration: settings, domains, smart hosts, certificates, versions; and of explain.

use super::{By, Failed};
use crate::control::Control;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use relay::admin::Inquiry;
use relay::admin::view::{CertificateView, DomainView, ExplainView, SettingView, SmartHostView};
use serde::Deserialize;

/// Of which tab.
#[derive(Deserialize)]
pub(super) struct Tab {
    tab: Option<String>,
}

impl Tab {
    fn only(self, mut views: Vec<SettingView>) -> Json<Vec<SettingView>> {
        if let Some(tab) = self.tab {
            views.retain(|view| view.tab == tab);
        }
        Json(views)
    }
}

/// All settings of a virtual server, with what the file says.
#[utoipa::path(get, path = "/api/v1/servers/{server}/settings", params(("server" = String, Path), ("tab" = Option<String>, Query)), responses((status = 200, body = Vec<SettingView>)))]
pub(super) async fn of_server(
    State(control): State<Control>,
    By(by): By,
    Path(server): Path<String>,
    tab: Result<Query<Tab>, QueryRejection>,
) -> Result<Json<Vec<SettingView>>, Failed> {
    let tab = tab?.0;
    Ok(tab.only(control.settings(&by, Some(&server)).await?))
}

/// All settings of the tables at the top of the file.
#[utoipa::path(get, path = "/api/v1/settings", params(("tab" = Option<String>, Query)), responses((status = 200, body = Vec<SettingView>)))]
pub(super) async fn at_the_top(
    State(control): State<Control>,
    By(by): By,
    tab: Result<Query<Tab>, QueryRejection>,
) -> Result<Json<Vec<SettingView>>, Failed> {
    let tab = tab?.0;
    Ok(tab.only(control.settings(&by, None).await?))
}

/// The domains of a virtual server.
#[utoipa::path(get, path = "/api/v1/servers/{server}/domains", params(("server" = String, Path)), responses((status = 200, body = Vec<DomainView>)))]
pub(super) async fn domains(
    State(control): State<Control>,
    By(by): By,
    Path(server): Path<String>,
) -> Result<Json<Vec<DomainView>>, Failed> {
    Ok(Json(control.domains(&by, &server).await?))
}

/// The smart hosts.
#[utoipa::path(get, path = "/api/v1/smart-hosts", responses((status = 200, body = Vec<SmartHostView>)))]
pub(super) async fn smart_hosts(
    State(control): State<Control>,
    By(by): By,
) -> Result<Json<Vec<SmartHostView>>, Failed> {
    Ok(Json(control.smart_hosts(&by).await?))
}

/// The certificates of all virtual servers.
#[utoipa::path(get, path = "/api/v1/certificates", responses((status = 200, body = Vec<CertificateView>)))]
pub(super) async fn certificates(
    State(control): State<Control>,
    By(by): By,
) -> Result<Json<Vec<CertificateView>>, Failed> {
    Ok(Json(control.certificates(&by).await?))
}

/// Would this mail be taken, and what decides?
#[utoipa::path(post, path = "/api/v1/explain", request_body = Inquiry, responses((status = 200, body = ExplainView)))]
pub(super) async fn explain(
    State(control): State<Control>,
    By(by): By,
    inquiry: Result<Json<Inquiry>, JsonRejection>,
) -> Result<Json<ExplainView>, Failed> {
    Ok(Json(control.explain(&by, &inquiry?.0).await?))
}

/// The text of a version of the configuration; secrets that do not belong there are hidden.
#[utoipa::path(get, path = "/api/v1/config/versions/{version}", params(("version" = u64, Path)), responses((status = 200, body = String, content_type = "application/json")))]
pub(super) async fn version(
    State(control): State<Control>,
    By(by): By,
    Path(version): Path<u64>,
) -> Result<Json<String>, Failed> {
    Ok(Json(control.version_text(&by, version).await?))
}

/// What a version of the configuration changed.
#[utoipa::path(get, path = "/api/v1/config/versions/{version}/diff", params(("version" = u64, Path)), responses((status = 200, body = String, content_type = "application/json")))]
pub(super) async fn version_diff(
    State(control): State<Control>,
    By(by): By,
    Path(version): Path<u64>,
) -> Result<Json<String>, Failed> {
    Ok(Json(control.version_diff(&by, version, false).await?))
}
