//! The API: JSON over HTTP under `/api/v1`, described by `/api/v1/openapi.json`.
//!
//! Each route asks [`Control`] and prints the view; each change is a [`Command`] to one route. Faults are problem documents
//! (RFC 9457). Who asks comes with the connection; without an operator nothing is answered.

mod content;
mod counters;
mod operators;
mod progress;
mod queue;
mod sessions;
mod settings;
mod transfer;

pub use operators::{NewPassword, Session};

use super::asker::Asker;
use super::fault::title;
use super::{Control, Fault, ProblemDetails, Told};
use axum::body::to_bytes;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use relay::admin::view::{AuditRecord, Outcome, Page, ServerView, ServiceView, VersionView};
use relay::admin::{AuditFilter, Command, Operator};
use serde::Deserialize;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi};

/// Octets of a request: a command with its settings.
pub const REQUEST_MAX: usize = 1024 * 1024;
/// Octets of what the router itself says about a request.
const ROUTER_WORDS_MAX: usize = 8 * 1024;
/// Records or messages of one answer.
pub const ANSWER_ITEMS_MAX: usize = 1_000;

/// The API's description.
#[derive(OpenApi)]
#[openapi(
    info(title = "Mailroot", description = "What operators see and do.", license(name = "Apache-2.0 OR MIT")),
    modifiers(&Proofs, &Faults),
    components(schemas(ProblemDetails)),
    security(("token" = []), ("log_on" = [])),
    paths(
        service,
        servers,
        server,
        setting,
        top_setting,
        versions,
        edited,
        audit,
        commands,
        queue::destinations,
        queue::messages,
        queue::message,
        content::message,
        transfer::export,
        transfer::import,
        content::raw_message,
        content::files,
        content::file,
        content::raw_file,
        counters::counters,
        counters::series,
        counters::all_series,
        counters::alarms,
        counters::metrics,
        settings::of_server,
        settings::at_the_top,
        settings::domains,
        settings::smart_hosts,
        settings::certificates,
        settings::explain,
        settings::version,
        settings::version_diff,
        sessions::sessions,
        sessions::session,
        operators::operators,
        operators::tokens,
        operators::password,
        operators::session
    )
)]
pub struct Description;

/// How one proves who one is; on the socket the operating system does.
struct Proofs;

impl Modify for Proofs {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
        let token = token.description(Some("A token (mailroot operator token new).")).build();
        let words = "A log-on in the browser; what changes something brings X-CSRF-Token along (GET /api/v1/session). The cookie's name ends \
                     with the console's port, and begins with __Host- under TLS.";
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description("mailroot-8025", words));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        components.add_security_scheme("log_on", SecurityScheme::ApiKey(cookie));
    }
}

/// What each operation may answer instead: the asker's fault, or a trouble of the service's own.
struct Faults;

impl Modify for Faults {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
            for operation in operations.into_iter().flatten() {
                for (range, words) in
                    [("4XX", "It was not done, and what to do"), ("5XX", "It cannot be done now, and why")]
                {
                    let problem = Content::new(Some(Ref::from_schema_name("ProblemDetails")));
                    let answer = ResponseBuilder::new().description(words).content("application/problem+json", problem);
                    operation.responses.responses.insert(range.into(), answer.build().into());
                }
            }
        }
    }
}

/// The routes, and an answer to every other address.
pub fn router(control: Control) -> Router {
    routes(control).fallback(nothing)
}

/// The routes: for a door that has others beside them.
pub fn routes(control: Control) -> Router {
    let v1 = Router::new()
        .route("/service", get(service))
        .route("/servers", get(servers))
        .route("/servers/{server}", get(server))
        .route("/servers/{server}/settings/{setting}", get(setting))
        .route("/settings/{setting}", get(top_setting))
        .route("/servers/{server}/destinations", get(queue::destinations))
        .route("/servers/{server}/queue", get(queue::messages))
        .route("/servers/{server}/queue/{id}", get(queue::message))
        .route(
            "/servers/{server}/queue-export",
            post(transfer::export).layer(DefaultBodyLimit::max(transfer::EXPORT_ORDER_MAX)),
        )
        .route("/servers/{server}/queue-import", post(transfer::import).layer(DefaultBodyLimit::disable()))
        .route("/servers/{server}/queue/{id}/content", get(content::message))
        .route("/servers/{server}/queue/{id}/raw", get(content::raw_message))
        .route("/servers/{server}/folders/{folder}", get(content::files))
        .route("/servers/{server}/folders/{folder}/{name}", get(content::file))
        .route("/servers/{server}/folders/{folder}/{name}/raw", get(content::raw_file))
        .route("/servers/{server}/counters", get(counters::counters))
        .route("/servers/{server}/series", get(counters::series))
        .route("/series", get(counters::all_series))
        .route("/alarms", get(counters::alarms))
        .route("/servers/{server}/settings", get(settings::of_server))
        .route("/servers/{server}/domains", get(settings::domains))
        .route("/settings", get(settings::at_the_top))
        .route("/smart-hosts", get(settings::smart_hosts))
        .route("/certificates", get(settings::certificates))
        .route("/explain", post(settings::explain))
        .route("/config/versions/{version}", get(settings::version))
        .route("/config/versions/{version}/diff", get(settings::version_diff))
        .route("/servers/{server}/sessions", get(sessions::sessions))
        .route("/servers/{server}/sessions/{id}", get(sessions::session))
        .route("/config/versions", get(versions))
        .route("/config/diff", get(edited))
        .route("/audit", get(audit))
        .route("/operators", get(operators::operators))
        .route("/operators/{name}/password", put(operators::password))
        .route("/tokens", get(operators::tokens))
        .route("/session", get(operators::session))
        .route("/commands", post(commands))
        .route("/openapi.json", get(|| async { Json(Description::openapi()) }))
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(REQUEST_MAX))
        .layer(map_response(as_problem))
        .with_state(control.clone());
    let metrics = get(counters::metrics).with_state(control);
    Router::new().nest("/api/v1", v1).route("/metrics", metrics.layer(map_response(as_problem)))
}

/// Answers of the router itself (no such method, an address that is no text) are problem documents like all others.
async fn as_problem(answer: Response) -> Response {
    let status = answer.status();
    let is_fault = status.is_client_error() || status.is_server_error();
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !is_fault || kind.is_some_and(|kind| kind.starts_with("application/problem+json")) {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let text = to_bytes(body, ROUTER_WORDS_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let allowed = parts.headers.get(header::ALLOW).cloned();
    let text = match (&*text, allowed.as_ref().and_then(|allowed| allowed.to_str().ok())) {
        ("", Some(allowed)) => format!("this address takes {allowed}"),
        ("", None) => "this cannot be answered".into(),
        (text, _) => text.to_owned(),
    };
    let mut problem = ProblemDetails::new(status.as_u16(), title(status.as_u16()), text).into_response();
    if let Some(allowed) = allowed {
        problem.headers_mut().insert(header::ALLOW, allowed);
    }
    problem
}

async fn nothing() -> Failed {
    Failed(Fault::NotFound("such address; /api/v1/openapi.json lists them".into()))
}

/// The service as a whole.
#[utoipa::path(get, path = "/api/v1/service", responses((status = 200, body = ServiceView)))]
async fn service(State(control): State<Control>, By(by): By) -> Result<Json<ServiceView>, Failed> {
    Ok(Json(control.service(&by).await?))
}

/// The virtual servers.
#[utoipa::path(get, path = "/api/v1/servers", responses((status = 200, body = Vec<ServerView>)))]
async fn servers(State(control): State<Control>, By(by): By) -> Result<Json<Vec<ServerView>>, Failed> {
    Ok(Json(control.servers(&by).await?))
}

/// One virtual server.
#[utoipa::path(get, path = "/api/v1/servers/{server}", params(("server" = String, Path)), responses((status = 200, body = ServerView)))]
async fn server(
    State(control): State<Control>,
    By(by): By,
    Path(name): Path<String>,
) -> Result<Json<ServerView>, Failed> {
    Ok(Json(control.server(&by, &name).await?))
}

/// What a setting says in the file, as TOML; null: it is not written.
#[utoipa::path(get, path = "/api/v1/servers/{server}/settings/{setting}", params(("server" = String, Path), ("setting" = String, Path)), responses((status = 200, body = Option<String>)))]
async fn setting(
    State(control): State<Control>,
    By(by): By,
    Path((server, setting)): Path<(String, String)>,
) -> Result<Json<Option<String>>, Failed> {
    Ok(Json(control.setting(&by, Some(&server), &setting).await?))
}

/// The same for the tables at the top of the file.
#[utoipa::path(get, path = "/api/v1/settings/{setting}", params(("setting" = String, Path)), responses((status = 200, body = Option<String>)))]
async fn top_setting(
    State(control): State<Control>,
    By(by): By,
    Path(setting): Path<String>,
) -> Result<Json<Option<String>>, Failed> {
    Ok(Json(control.setting(&by, None, &setting).await?))
}

/// Earlier configurations, newest first.
#[utoipa::path(get, path = "/api/v1/config/versions", responses((status = 200, body = Vec<VersionView>)))]
async fn versions(State(control): State<Control>, By(by): By) -> Result<Json<Vec<VersionView>>, Failed> {
    Ok(Json(control.versions(&by).await?))
}

/// How the file on disk differs from the one in force.
#[utoipa::path(get, path = "/api/v1/config/diff", responses((status = 200, body = String, content_type = "application/json")))]
async fn edited(State(control): State<Control>, By(by): By) -> Result<Json<String>, Failed> {
    Ok(Json(control.edited(&by).await?))
}

#[derive(Deserialize)]
struct Wanted {
    who: Option<String>,
    server: Option<String>,
    text: Option<String>,
    outcome: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// The audit log, newest first; all parts of the filter must match.
#[utoipa::path(get, path = "/api/v1/audit", params(("who" = Option<String>, Query), ("server" = Option<String>, Query), ("text" = Option<String>, Query), ("outcome" = Option<String>, Query), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)), responses((status = 200, body = Page<AuditRecord>)))]
async fn audit(
    State(control): State<Control>,
    By(by): By,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Page<AuditRecord>>, Failed> {
    let Wanted { who, server, text, outcome, after, limit } = wanted?.0;
    let filter = AuditFilter { who, server, text, outcome };
    let limit = limit.unwrap_or(100).min(ANSWER_ITEMS_MAX);
    Ok(Json(control.audit(&by, &filter, after.as_deref(), limit).await?))
}

#[derive(Deserialize)]
struct How {
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    progress: bool,
}

/// Carries out a command, or with `dry_run` says what it would do. With `progress` the answer is lines of JSON, sent as the work goes on:
/// `{"done": NUMBER}` for how many messages it is done, at the end `{"outcome": …}`, or `{"problem": …}` if it is not done after all.
#[utoipa::path(post, path = "/api/v1/commands", request_body = Command, params(("dry_run" = Option<bool>, Query), ("progress" = Option<bool>, Query)),
    responses((status = 200, content((Outcome = "application/json"), (Told = "application/x-ndjson")))))]
async fn commands(
    State(control): State<Control>,
    Asker { operator: by, from }: Asker,
    how: Result<Query<How>, QueryRejection>,
    command: Result<Json<Command>, JsonRejection>,
) -> Result<Response, Failed> {
    let (Query(how), Json(command)) = (how?, command?);
    if !how.progress {
        return Ok(Json(control.execute(&by, &from, command, how.dry_run).await?).into_response());
    }
    Ok(progress::lines(control, by, from, command, how.dry_run).await)
}

/// Whoever asks, where it does not matter from where.
struct By(Operator);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<By, Failed> {
        Asker::from_request_parts(parts, state).await.map(|asker| By(asker.operator))
    }
}

/// A fault, on its way out.
pub struct Failed(pub Fault);

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Failed {
        Failed(fault)
    }
}

impl From<QueryRejection> for Failed {
    fn from(rejection: QueryRejection) -> Failed {
        Failed(Fault::Request { status: rejection.status().as_u16(), text: rejection.body_text() })
    }
}

impl From<PathRejection> for Failed {
    fn from(rejection: PathRejection) -> Failed {
        Failed(Fault::invalid(rejection.body_text()))
    }
}

impl From<JsonRejection> for Failed {
    fn from(rejection: JsonRejection) -> Failed {
        Failed(Fault::Request { status: rejection.status().as_u16(), text: rejection.body_text() })
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        self.0.details().into_response()
    }
}

impl IntoResponse for ProblemDetails {
    fn into_response(self) -> Response {
        let details = self;
        let status = StatusCode::from_u16(details.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&details).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// docs/openapi.json is what programs are written against: a change of it is seen in the diff of the commit that makes it.
    #[test]
    fn the_document_is_the_committed_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let now = format!("{}\n", serde_json::to_string_pretty(&Description::openapi()).unwrap());
        if std::env::var_os("BLESS").is_some() {
            fs::write(path, &now).unwrap();
        }
        let committed = fs::read_to_string(path).unwrap_or_default();
        let first = now.lines().zip(committed.lines()).position(|(now, then)| now != then);
        assert!(
            now == committed,
            "docs/openapi.json is not what the code says (line {}). If the change is meant: BLESS=1 cargo test -p daemon --lib -- \
             the_document_is_the_committed_one",
            first.map_or(now.lines().count().min(committed.lines().count()), |line| line + 1)
        );
    }
}
