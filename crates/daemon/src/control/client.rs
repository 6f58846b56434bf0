//! The command line's end of the control socket: one request, one answer.
//!
//! Bounded in size; in time by the service, which answers or goes. What cannot be reached is told in a sentence that says what to do.

use super::{ProblemDetails, Told, socket};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Collected, Full, Limited, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use relay::admin::Command;
use relay::admin::view::Outcome;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Octets of an answer.
pub const REPLY_MAX: usize = 64 * 1024 * 1024;

/// Octets that are sent at a time.
const PIECE: usize = 256 << 10;
/// Pieces that are read ahead.
const PIECES_WAITING: usize = 2;
const JSON: &str = "application/json";

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
                    write!(
                        f,
                        "no service answers at {}: start it, or name its configuration with --config",
                        path.display()
                    )
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

    /// Gives a command that may take its time; `told` hears now and then for how many messages it is done.
    ///
    /// # Errors
    /// There is no answer, or it is a refusal.
    pub async fn command_told(&self, command: &Command, mut told: impl FnMut(u64)) -> Result<Outcome, Unanswered> {
        let (answer, _carrying) =
            self.send(Method::POST, "/commands?progress=true", JSON, Full::new(body(command)?)).await?;
        if !answer.status().is_success() {
            return Err(refused(answer).await);
        }
        let mut pieces = answer.into_body();
        let mut line = Vec::new();
        while let Some(frame) = pieces.frame().await {
            let Some(piece) = frame.map_err(broken)?.data_ref().cloned() else { continue };
            for octet in piece {
                if octet != b'\n' {
                    line.push(octet);
                    continue;
                }
                match read(&std::mem::take(&mut line))? {
                    Told::Done(done) => told(done),
                    Told::Outcome(outcome) => return Ok(outcome),
                    Told::Problem(problem) => return Err(Unanswered::Refused(problem)),
                }
            }
            if line.len() > REPLY_MAX {
                break;
            }
        }
        Err(Unanswered::Broken("it broke off".into()))
    }

    /// Puts something in its place.
    ///
    /// # Errors
    /// There is no answer, or it is a refusal.
    pub async fn put<T: DeserializeOwned>(&self, address: &str, value: &impl Serialize) -> Result<T, Unanswered> {
        read(&self.request(Method::PUT, address, body(value)?).await?)
    }

    /// Asks for something long and takes it piece by piece.
    ///
    /// # Errors
    /// There is no answer, or it is a refusal, or it breaks off, or `each` fails.
    pub async fn download(
        &self,
        address: &str,
        wanted: &impl Serialize,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Unanswered> {
        let (answer, _carrying) = self.send(Method::POST, address, JSON, Full::new(body(wanted)?)).await?;
        if !answer.status().is_success() {
            return Err(refused(answer).await);
        }
        let mut pieces = answer.into_body();
        while let Some(frame) = pieces.frame().await {
            if let Some(piece) = frame.map_err(broken)?.data_ref() {
                each(piece).map_err(|error| Unanswered::Broken(format!("it cannot be written: {error}")))?;
            }
        }
        Ok(())
    }

    /// Sends something long, piece by piece; `sent` is told how many octets have gone.
    ///
    /// # Errors
    /// There is no answer, or it is a refusal.
    pub async fn upload<T: DeserializeOwned>(
        &self,
        address: &str,
        source: Box<dyn Read + Send>,
        sent: impl FnMut(u64) + Send + 'static,
    ) -> Result<T, Unanswered> {
        // On a thread of its own: whoever is refused hears it, though nothing comes from what he reads.
        let (pieces, reading) = mpsc::channel(PIECES_WAITING);
        let reader = std::thread::Builder::new().name("archive".into());
        reader.spawn(move || read_all(source, &pieces)).map_err(broken)?;
        let pieces = stream::try_unfold((reading, sent, 0), |(mut reading, mut sent, gone)| async move {
            let Some(piece) = reading.recv().await.transpose()? else { return Ok::<_, io::Error>(None) };
            let gone = gone + piece.len() as u64;
            sent(gone);
            Ok(Some((Frame::data(piece), (reading, sent, gone))))
        });
        let pieces = StreamBody::new(Box::pin(pieces));
        let (answer, _carrying) = self.send(Method::POST, address, "application/x-tar", pieces).await?;
        if !answer.status().is_success() {
            return Err(refused(answer).await);
        }
        let whole = Limited::new(answer.into_body(), REPLY_MAX).collect().await;
        read(&whole.map_err(|error| Unanswered::Broken(error.to_string()))?.to_bytes())
    }

    async fn request(&self, method: Method, address: &str, body: Bytes) -> Result<Bytes, Unanswered> {
        let (answer, _carrying) = self.send(method, address, JSON, Full::new(body)).await?;
        if !answer.status().is_success() {
            return Err(refused(answer).await);
        }
        let whole = Limited::new(answer.into_body(), REPLY_MAX).collect().await;
        whole.map(Collected::to_bytes).map_err(|error| Unanswered::Broken(error.to_string()))
    }

    /// Sends a request; its answer, and who carries it.
    async fn send<B>(
        &self,
        method: Method,
        address: &str,
        kind: &str,
        body: B,
    ) -> Result<(Response<Incoming>, Carrying), Unanswered>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let absent = |error| Unanswered::Absent { path: self.path.clone(), error };
        let stream = UnixStream::connect(&self.path).await.map_err(absent)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let carrying = Carrying(tokio::spawn(async move { drop(connection.await) }).abort_handle());
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{address}"))
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, kind)
            .body(body)
            .map_err(broken)?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        Ok((answer, carrying))
    }
}

/// Reads a source to its end, or until nobody wants any more of it.
fn read_all(mut source: Box<dyn Read + Send>, pieces: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut octets = vec![0; PIECE];
        let piece = source.read(&mut octets).map(|count| {
            octets.truncate(count);
            Bytes::from(octets)
        });
        let goes_on = match &piece {
            Ok(piece) if piece.is_empty() => return,
            piece => piece.is_ok(),
        };
        if pieces.blocking_send(piece).is_err() || !goes_on {
            return;
        }
    }
}

/// The task that carries a connection; ends with it.
struct Carrying(AbortHandle);

impl Drop for Carrying {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why the service says no.
async fn refused(answer: Response<Incoming>) -> Unanswered {
    match Limited::new(answer.into_body(), REPLY_MAX).collect().await {
        Ok(whole) => read(&whole.to_bytes()).map_or_else(|broken| broken, Unanswered::Refused),
        Err(error) => Unanswered::Broken(error.to_string()),
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
