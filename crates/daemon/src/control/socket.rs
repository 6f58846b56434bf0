//! The API on a Unix socket, `control.sock` in the state folder, for the command line on this machine.
//!
//! The operating system says who asks (SO_PEERCRED): root and the service's own user are administrators; everybody else is
//! nobody, and could not open the socket in the first place (0600). A socket that a dead process left behind is replaced, one that somebody
//! answers on is not.
//!
//! Without a socket the relay runs all the same; the log says why there is none.

use super::asker::Asker;
use super::{Control, ProblemDetails, api};
use crate::log::Log;
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use relay::admin::{Operator, Role, Scope};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// Its name in the state folder.
pub const SOCKET: &str = "control.sock";

/// The open socket; closed and taken away when it is dropped.
pub struct Socket {
    path: PathBuf,
    serving: JoinHandle<()>,
}

/// Where the socket of a service with this state folder is.
#[must_use]
pub fn path(state: &Path) -> PathBuf {
    state.join(SOCKET)
}

impl Socket {
    /// Opens it. `None`: it cannot be, and the log says why.
    #[must_use]
    pub fn open(control: &Control, state: &Path, log: &Log) -> Option<Socket> {
        let path = path(state);
        match bind(&path) {
            Ok(listener) => {
                let app: Router = api::router(control.clone()).layer(from_fn(ask_the_system));
                let service = app.into_make_service_with_connect_info::<Caller>();
                let serving = tokio::spawn(async move {
                    // Errors of single connections are theirs; the loop ends with the task.
                    let _ = axum::serve(listener, service).await;
                });
                Some(Socket { path, serving })
            }
            Err(error) => {
                log.alarm(format!(
                    "{} cannot be opened: {error}. Mail goes on; commands like `mailroot queue list` do not reach this service.",
                    path.display()
                ));
                None
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.serving.abort();
        let _ = fs::remove_file(&self.path);
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(ErrorKind::AddrInUse, "another service answers there"));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Who has connected, by the operating system's word.
#[derive(Clone, Debug)]
pub struct Caller {
    /// As an operator; `None`: nobody.
    pub operator: Option<Operator>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Caller {
        let uid = stream.io().peer_cred().ok().map(|cred| cred.uid());
        Caller { operator: uid.and_then(operator) }
    }
}

/// Puts into each request who asks; turns away who is nobody.
async fn ask_the_system(mut request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<ConnectInfo<Caller>>().and_then(|info| info.0.operator.clone());
    let Some(operator) = caller else { return nobody().into_response() };
    request.extensions_mut().insert(Asker { operator, from: "socket".into() });
    next.run(request).await
}

fn nobody() -> ProblemDetails {
    let detail = "this user of the system is no operator: ask as root or as the service's own user, or be a member of a group that \
                  [console] groups names in the configuration";
    ProblemDetails::new(403, "Not allowed", detail)
}

fn operator(uid: u32) -> Option<Operator> {
    let is_administrator = uid == 0 || uid == nix::unistd::geteuid().as_raw();
    let name = if uid == 0 { "unix:root".into() } else { format!("unix:{uid}") };
    is_administrator.then_some(Operator { name, role: Role::Administrator, scope: Scope::All })
}
