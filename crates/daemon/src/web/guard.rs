//! What every request passes before anything looks at it: is the console on, is the host one of ours, who asks, and if it changes
//! something, does it come from a page of ours.
//!
//! - **Host**: a foreign page can make its own name lead to our address (DNS rebinding); a request under such a name is refused.
//!   Addresses are nobody's names.
//! - **Who**: a session's cookie, or for programs `Authorization: Bearer TOKEN`, with which cookies count for nothing. Whoever is
//!   nobody gets the log-on, or as a program 401.
//! - **From a page of ours** (CSRF): what changes something and comes with a cookie must bring the session's own word along (field `csrf`
//!   or `X-CSRF-Token`), and must not come from elsewhere by the browser's word (`Origin`, `Sec-Fetch-Site`). The cookie itself does
//!   not come with requests of foreign pages (SameSite).
//! - On the way back each answer is told what a browser may do with it.

use super::Web;
use super::door::Way;
use crate::control::ProblemDetails;
use crate::control::asker::Asker;
use crate::control::operators::{Operators, digest};
use crate::tls::Pair;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use console::Page;
use relay::admin::Operator;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a request may take, until its answer begins; an import takes as long as its archive comes.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Octets of a form.
pub const BODY_MAX: usize = 1_024 * 1_024;
/// The header by which a page says that it only refreshes itself.
const BACKGROUND: &str = "x-background";
/// The header that has the session's own word in it.
const CSRF_HEADER: &str = "x-csrf-token";

/// An operator with a browser, who has logged on.
#[derive(Clone)]
pub struct Visitor {
    /// Who, and what he may.
    pub operator: Operator,
    /// From where: his address.
    pub from: String,
    /// Goes into each form.
    pub csrf: String,
    /// His cookie.
    pub(super) cookie: Box<str>,
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor").field("operator", &self.operator).field("from", &self.from).finish_non_exhaustive()
    }
}

/// Is his log-on still in force, and he what he was?
pub(super) fn knows(operators: &Operators, visitor: &Visitor) -> bool {
    operators.session(&visitor.cookie, false).is_some_and(|(operator, _)| operator == visitor.operator)
}

/// What kind of address it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Kind {
    /// For everybody.
    Open,
    /// For programs.
    Api,
    /// For operators.
    Page,
}

impl Kind {
    fn of(uri: &Uri) -> Kind {
        let path = uri.path();
        match path.split('/').nth(1) {
            Some("assets" | "invite" | "log-on") => Kind::Open,
            Some("api" | "metrics") => Kind::Api,
            _ => Kind::Page,
        }
    }
}

/// Carries this an archive into a queue?
fn is_import(uri: &Uri) -> bool {
    uri.path().starts_with("/api/") && uri.path().ends_with("/queue-import")
}

/// See the module.
pub(super) async fn guard(State(web): State<Web>, request: Request, next: Next) -> Response {
    let kind = Kind::of(request.uri());
    let late = || turned_away(kind, 503, "Too slow", "this took too long; try again");
    let until = Instant::now() + ANSWER_WITHIN;
    let answered = match timeout_at(until, admit(&web, kind, request)).await {
        // An import is answered when all of it has come; whoever stops sending is heard no longer.
        Ok(Ok(request)) if is_import(request.uri()) => next.run(request).await,
        Ok(Ok(request)) => timeout_at(until, next.run(request)).await.unwrap_or_else(|_| late()),
        Ok(Err(answer)) => *answer,
        Err(_) => late(),
    };
    dressed(answered)
}

/// The request with who asks, or the answer that it gets instead.
async fn admit(web: &Web, kind: Kind, mut request: Request) -> Result<Request, Box<Response>> {
    let no = |status, title: &str, text: &str| Err(Box::new(turned_away(kind, status, title, text)));
    let Some(way) = request.extensions().get::<Way>().copied() else {
        return no(500, "Not possible", "nobody knows how this request came in");
    };
    if !web.rules().enabled {
        return no(503, "Not possible now", "the console is switched off (console.enabled)");
    }
    if !is_ours(web, request.headers(), request.uri()) {
        return no(
            421,
            "Wrong name",
            "the console is not reached by this name: use its address, or add the name to console.names in the configuration",
        );
    }
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !safe && is_foreign(request.headers()) {
        return no(403, "Not allowed", "this request comes from a page elsewhere");
    }
    if kind == Kind::Open {
        return Ok(request);
    }
    if kind == Kind::Api && request.headers().contains_key(header::AUTHORIZATION) {
        let operator = by_token(web, request.headers(), way).await?;
        request.extensions_mut().insert(Asker { operator, from: way.peer.to_string() });
        return Ok(request);
    }
    let Some(visitor) = by_cookie(web, &request, way) else { return Err(Box::new(log_on_first(kind, &request))) };
    let request = if safe { request } else { with_its_word(kind, request, &visitor).await? };
    Ok(with_visitor(request, visitor))
}

fn with_visitor(mut request: Request, visitor: Visitor) -> Request {
    let asker = Asker { operator: visitor.operator.clone(), from: visitor.from.clone() };
    request.extensions_mut().insert(asker);
    request.extensions_mut().insert(visitor);
    request
}

/// Is the request meant for us?
fn is_ours(web: &Web, headers: &HeaderMap, uri: &Uri) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    // An absolute address in the first line goes before the header, so both must be ours.
    let written = uri.authority().map(axum::http::uri::Authority::as_str);
    [Some(host.to_str().unwrap_or_default()), written].into_iter().flatten().all(|host| is_our_name(web, host))
}

fn is_our_name(web: &Web, host: &str) -> bool {
    let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
    let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&name);
    if name == "localhost" || literal.parse::<IpAddr>().is_ok() {
        return true;
    }
    let rules = web.rules();
    if rules.names.contains(&name) {
        return true;
    }
    let Some(certificates) = &rules.certificates else { return false };
    let credentials = certificates.credentials();
    credentials.pairs().flat_map(Pair::names).any(|known| covers(known, &name))
}

/// Is the name that of the certificate, or one that its wildcard stands for?
fn covers(known: &str, name: &str) -> bool {
    let below = known.strip_prefix("*.").zip(name.split_once('.'));
    known == name || below.is_some_and(|(suffix, (label, rest))| !label.is_empty() && suffix == rest)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Does the browser say that it comes from elsewhere? Programs say nothing.
fn is_foreign(headers: &HeaderMap) -> bool {
    let says = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase());
    if says(HeaderName::from_static("sec-fetch-site")).is_some_and(|site| !matches!(&*site, "same-origin" | "none")) {
        return true;
    }
    let Some(origin) = says(header::ORIGIN) else { return false };
    let host = says(header::HOST).unwrap_or_default();
    // The scheme may be a proxy's.
    let place = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    place.is_none_or(|place| with_usual_port_left_out(place) != with_usual_port_left_out(&host))
}

fn with_usual_port_left_out(host: &str) -> &str {
    host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host)
}

/// What a program's token allows.
async fn by_token(web: &Web, headers: &HeaderMap, way: Way) -> Result<Operator, Box<Response>> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let token = match (given.next().and_then(|value| value.to_str().ok()), given.next()) {
        (Some(value), None) => value
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim()),
        _ => None,
    };
    match token.and_then(|token| web.operators().token(token)) {
        Some(Ok(operator)) => Ok(operator),
        Some(Err(name)) => {
            web.tell_refused(&format!("token:{name}"), way.peer, "token", "it has expired").await;
            Err(Box::new(unknown_program("this token has expired: make a new one (mailroot operator token new)")))
        }
        None => {
            web.tell_refused("", way.peer, "token", "nobody has such a token").await;
            Err(Box::new(unknown_program("nobody has this token: it was revoked, or is not written in full")))
        }
    }
}

fn unknown_program(text: &str) -> Response {
    let mut answer = ProblemDetails::new(401, "Not logged on", text).into_response();
    let challenge = HeaderValue::from_static("Bearer realm=\"mailroot\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    answer
}

/// Whoever has this cookie.
pub(super) fn by_cookie(web: &Web, request: &Request, way: Way) -> Option<Visitor> {
    let active = !request.headers().contains_key(BACKGROUND) && request.uri().path() != "/events";
    let found = cookies(request.headers(), way).find_map(|cookie| {
        let (operator, csrf) = web.operators().session(cookie, active)?;
        Some((operator, csrf, cookie.into()))
    });
    let (operator, csrf, cookie) = found?;
    Some(Visitor { operator, from: way.peer.to_string(), csrf, cookie })
}

/// Values of our cookie: a foreign service on this host may have set one of the same name.
pub(super) fn cookies(headers: &HeaderMap, way: Way) -> impl Iterator<Item = &str> {
    let name = cookie_name(way);
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value).filter(|value| value.len() == 64).take(4)
}

/// Cookies know no ports, so two consoles on one machine need names of their own. `__Host-` is what no foreign host of the domain, and no
/// page in the clear, can set.
pub(super) fn cookie_name(way: Way) -> String {
    format!("{}mailroot-{}", if way.secure { "__Host-" } else { "" }, way.port)
}

/// The answer to whoever has not logged on.
fn log_on_first(kind: Kind, request: &Request) -> Response {
    if kind == Kind::Api {
        return unknown_program("log on first, or send Authorization: Bearer with a token");
    }
    if request.headers().contains_key("hx-request") {
        let mut answer = StatusCode::UNAUTHORIZED.into_response();
        answer.headers_mut().insert("hx-redirect", HeaderValue::from_static("/log-on"));
        return answer;
    }
    let address = match request.uri().path_and_query() {
        Some(wanted) if request.method() == Method::GET && wanted.as_str() != "/" => {
            format!("/log-on?next={}", escaped(wanted.as_str()))
        }
        _ => "/log-on".into(),
    };
    Redirect::to(&address).into_response()
}

/// As the value of a field in an address.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~/".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
    out
}

/// The request, if it brings the session's own word along: in its head, or in its form.
async fn with_its_word(kind: Kind, request: Request, visitor: &Visitor) -> Result<Request, Box<Response>> {
    let same = |word: &str| digest(word) == digest(&visitor.csrf);
    let no = |text: &str| Box::new(turned_away(kind, 403, "Not allowed", text));
    if let Some(word) = request.headers().get(CSRF_HEADER) {
        let right = word.to_str().is_ok_and(same);
        return if right { Ok(request) } else { Err(no(STALE)) };
    }
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
    if !is_form {
        return Err(no(STALE));
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_MAX).await;
    let too_large = || Box::new(turned_away(kind, 413, "Too large", "this form is too large, or broke off"));
    let body = body.map_err(|_| too_large())?;
    // The word is plain, so it needs no decoding.
    let mut words = body.split(|octet| *octet == b'&').filter_map(|field| field.strip_prefix(b"csrf="));
    if !words.next().and_then(|word| std::str::from_utf8(word).ok()).is_some_and(same) {
        return Err(no(STALE));
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

const STALE: &str = "this form does not belong to your log-on, or is from an earlier one: load the page again";

/// An answer to an address that nobody knows.
pub(super) async fn nothing(uri: Uri) -> Response {
    match Kind::of(&uri) {
        Kind::Api => {
            turned_away(Kind::Api, 404, "Not found", "there is no such address; /api/v1/openapi.json lists them")
        }
        kind => turned_away(kind, 404, "Not found", "There is no such page."),
    }
}

/// An answer that is about the request: a document for programs, a page for people.
fn turned_away(kind: Kind, status: u16, title: &str, text: &str) -> Response {
    if kind == Kind::Api {
        return ProblemDetails::new(status, title, text).into_response();
    }
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if !text.ends_with('.') {
        text.push('.');
    }
    let page = console::door::Note { title: title.into(), text };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Html(page.html())).into_response()
}

/// What a browser may do with an answer. Pages have no script, style or frame but ours.
const DRESS: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Not `no-referrer`: under that a browser calls the origin of our own forms `null`.
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (header::CACHE_CONTROL, "no-store"),
];

fn dressed(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in DRESS {
        if name != header::CACHE_CONTROL || !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_comes_from_elsewhere_is_foreign() {
        for (fields, foreign) in [
            (&[][..], false),
            (&[("origin", "http://127.0.0.1:8025")], false),
            (&[("origin", "https://127.0.0.1:8025")], false),
            (&[("origin", "null")], true),
            (&[("origin", "http://evil.example")], true),
            (&[("origin", "http://127.0.0.1:8026")], true),
            (&[("origin", "http://127.0.0.1:8025.evil.example")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")], true),
        ] {
            let mut headers = headers(fields);
            headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8025"));
            assert_eq!(is_foreign(&headers), foreign, "{fields:?}");
        }
    }

    #[test]
    fn names_are_compared_without_ports() {
        for (host, name) in
            [("a:80", "a"), ("a", "a"), ("[::1]:8025", "[::1]"), ("[::1]", "[::1]"), ("a:b", "a:b"), ("::1", "::1")]
        {
            assert_eq!(without_port(host), name);
        }
        assert!(covers("*.example.com", "a.example.com") && covers("a.example.com", "a.example.com"));
        assert!(!covers("*.example.com", "example.com") && !covers("*.example.com", "a.b.example.com"));
    }

    #[test]
    fn only_our_own_cookie_counts() {
        let way = |secure| Way { peer: IpAddr::from([127, 0, 0, 1]), port: 8025, secure };
        let value = "x".repeat(64);
        let mut headers = HeaderMap::new();
        let text = format!("other=1; mailroot-8025={value}; mailroot-8026=y; __Host-mailroot-8025=short");
        headers.insert(header::COOKIE, text.parse().unwrap());
        assert_eq!(cookies(&headers, way(false)).collect::<Vec<_>>(), [&*value]);
        assert_eq!(cookies(&headers, way(true)).count(), 0);
    }

    #[test]
    fn each_address_has_its_kind() {
        for (address, kind) in [
            ("/", Kind::Page),
            ("/log-on?next=/api/", Kind::Open),
            ("/log-off", Kind::Page),
            ("/assets/x", Kind::Open),
            ("/api/v1/service", Kind::Api),
            ("/metrics", Kind::Api),
            ("//log-on", Kind::Page),
            ("/log-onx", Kind::Page),
        ] {
            assert_eq!(Kind::of(&address.parse().unwrap()), kind, "{address}");
        }
    }
}
