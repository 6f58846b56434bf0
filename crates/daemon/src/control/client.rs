//! The command line's end of the control socket: one request, one answer.
//!
//! Bounded in size; in time by the service, which answers or goes. What cannot be reached is told in a sentence that says what to do.

use super::{ProblemDetails, socket};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use relay::admin::Command;
use relay::admin::view::Outcome;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Octets of an answer.
pub const REPLY_MAX: usize = 64 * 1024 * 1024;

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug)]
pub enum Unanswered {
    /// Nobody answers at the socket.
    Absent {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The service says no.
    Refused(ProblemDetails),
    /// What came makes no sense, or broke off.
    Broken(String),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Absent { path, error } => match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                    write!(f, "no service answers at {}: is it running with this configuration?", path.display())
                }
                ErrorKind::PermissionDenied => write!(
                    f,
                    "{} may not be opened by this user: ask as root or as the service's own user",
                    path.display()
                ),
                _ => write!(f, "{}: {error}", path.display()),
            },
            Unanswered::Refused(problem) => {
                f.write_str(&problem.detail)?;
                problem.problems.iter().try_for_each(|problem| write!(f, "\n  line {}: {}", problem.line, problem.text))
            }
            Unanswered::Broken(why) => write!(f, "the service's answer cannot be read: {why}"),
        }
    }
}

impl std::error::Error for Unanswered {}

/// The way to the service with a given state folder.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// For the service with this state folder.
    #[must_use]
    pub fn new(state: &Path) -> Client {
        Client { path: socket::path(state) }
    }

    /// Asks for a view: `/servers`.
    ///
    /// # Errors
    /// There is no answer, or it is a refusal.
    pub async fn get<T: DeserializeOwned>(&self, address: &str) -> Result<T, Unanswered> {
        read(&self.request(Method::GET, address, Bytes::new()).await?)
    }

    /// Gives a command, or with `dry_run` asks what it would do.
    ///
    /// # Errors
    /// There is no answer, or it is a refusal.
    pub async fn command(&self, command: &Command, dry_run: bool) -> Result<Outcome, Unanswered> {
        let address = format!("/commands?dry_run={dry_run}");
        read(&self.request(Method::POST, &address, body(command)?).await?)
    }

    /// Puts something in its place.
    ///
    /// # Errors
    /// There is no answer, or it is a refusal.
    pub async fn put<T: DeserializeOwned>(&self, address: &str, value: &impl Serialize) -> Result<T, Unanswered> {
        read(&self.request(Method::PUT, address, body(value)?).await?)
    }

    async fn request(&self, method: Method, address: &str, body: Bytes) -> Result<Bytes, Unanswered> {
        let absent = |error| Unanswered::Absent { path: self.path.clone(), error };
        let stream = UnixStream::connect(&self.path).await.map_err(absent)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let carrying = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{address}"))
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(broken)?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), REPLY_MAX).collect().await;
        carrying.abort();
        let body = body.map_err(|error| Unanswered::Broken(error.to_string()))?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(Unanswered::Refused(read(&body)?)) }
    }
}

fn body(value: &impl Serialize) -> Result<Bytes, Unanswered> {
    serde_json::to_vec(value).map(Bytes::from).map_err(broken)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unanswered> {
    serde_json::from_slice(body).map_err(broken)
}

fn broken(error: impl fmt::Display) -> Unanswered {
    Unanswered::Broken(error.to_string())
}
