//! The API on a Unix socket, `control.sock` in the state folder, for the command line on this machine.
//!
//! The operating system says who asks (SO_PEERCRED): root and the service's own user are administrators; members of the groups that
//! `[console] groups` names are what it says; everybody else is nobody. Without groups nobody else can open the socket in the first
//! place (0600); with them the socket is open to all (0666, and the folder can be passed through, 0711), and whoever is nobody is told
//! so. A socket that a dead process left behind is replaced, one that somebody answers on is not.
//!
//! Without a socket the relay runs all the same; the log says why there is none.

use super::asker::Asker;
use super::http::{Room, Seat, converse};
use super::{Control, ProblemDetails, api};
use crate::log::Log;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use relay::admin::{Operator, Role, Scope};
use std::ffi::CString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// Its name in the state folder.
pub const SOCKET: &str = "control.sock";
/// Connections at a time.
pub const SOCKET_CONNECTIONS_MAX: usize = 256;
/// Of one user who is neither root nor the service's own.
pub const SOCKET_CONNECTIONS_OF_ONE_MAX: usize = 16;
/// How long nothing is accepted after the file descriptors ran out.
const PAUSE: Duration = Duration::from_millis(100);

/// Groups by what their members may.
type Groups = Arc<RwLock<Vec<(Role, Box<str>)>>>;

/// The open socket; closed and taken away when it is dropped.
pub struct Socket {
    path: PathBuf,
    groups: Groups,
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
                let groups = Groups::default();
                let app = api::router(control.clone()).layer(from_fn_with_state(Arc::clone(&groups), ask_the_system));
                Some(Socket { path, groups, serving: tokio::spawn(accept(listener, app)) })
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

    /// These groups are let in from now on.
    pub fn follow(&self, groups: &[(Role, Box<str>)], log: &Log) {
        {
            let mut known = self.groups.write().unwrap_or_else(PoisonError::into_inner);
            if *known == groups {
                return;
            }
            *known = groups.to_vec();
        }
        for (_, name) in groups.iter().filter(|(_, name)| !matches!(Group::from_name(name), Ok(Some(_)))) {
            log.alarm(format!("This system has no group {name:?}, which console.groups names; nobody comes in by it."));
        }
        if let Err(error) = set_modes(&self.path, !groups.is_empty()) {
            log.alarm(format!("Members of console.groups cannot open {}: {error}.", self.path.display()));
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
    set_modes(path, false)?;
    Ok(listener)
}

/// Lets others to the socket, or not. Its folder can be passed through then, but not read; one that others may read stays as it is.
fn set_modes(path: &Path, open: bool) -> io::Result<()> {
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    mode(path, if open { 0o666 } else { 0o600 })?;
    let Some(folder) = path.parent() else { return Ok(()) };
    match (fs::metadata(folder)?.permissions().mode() & 0o777, open) {
        (0o700, true) => mode(folder, 0o711),
        (0o711, false) => mode(folder, 0o700),
        _ => Ok(()),
    }
}

/// Who has connected, by the operating system's word.
#[derive(Copy, Clone, Debug)]
struct Caller {
    uid: u32,
    gid: u32,
}

impl Caller {
    /// Root, or the service's own user.
    fn is_own(self) -> bool {
        self.uid == 0 || self.uid == geteuid().as_raw()
    }
}

async fn accept(listener: UnixListener, app: Router) {
    let room = Room::new(SOCKET_CONNECTIONS_MAX);
    loop {
        // No file descriptors, perhaps.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Ok(peer) = stream.peer_cred() else { continue };
        let caller = Caller { uid: peer.uid(), gid: peer.gid() };
        let most = if caller.is_own() { SOCKET_CONNECTIONS_MAX } else { SOCKET_CONNECTIONS_OF_ONE_MAX };
        let seat: Option<Seat<u32>> = room.enter(caller.uid, most);
        if let Some(seat) = seat {
            let app = app.clone();
            tokio::spawn(async move {
                converse(stream, app, caller).await;
                drop(seat);
            });
        }
    }
}

/// Puts into each request who asks; turns away who is nobody.
async fn ask_the_system(State(groups): State<Groups>, mut request: Request, next: Next) -> Response {
    let Some(caller) = request.extensions().get::<Caller>().copied() else { return nobody().into_response() };
    let groups = groups.read().unwrap_or_else(PoisonError::into_inner).clone();
    // The system may have to ask a directory.
    let looked_up = tokio::task::spawn_blocking(move || operator(caller, &groups)).await;
    let Some(operator) = looked_up.ok().flatten() else { return nobody().into_response() };
    request.extensions_mut().insert(Asker { operator, from: "socket".into() });
    next.run(request).await
}

fn nobody() -> ProblemDetails {
    let detail = "this user of the system is no operator: ask as root or as the service's own user, or be a member of a group that \
                  console.groups names in the configuration";
    ProblemDetails::new(403, "Not allowed", detail)
}

fn operator(caller: Caller, groups: &[(Role, Box<str>)]) -> Option<Operator> {
    let user = User::from_uid(Uid::from_raw(caller.uid)).ok().flatten();
    let name = user.as_ref().map_or_else(|| caller.uid.to_string(), |user| user.name.clone());
    let role = if caller.is_own() { Some(Role::Administrator) } else { role(user.as_ref(), caller, groups) };
    role.map(|role| Operator { name: format!("unix:{name}"), role, scope: Scope::All })
}

/// By the groups that the user is in now; of several, the first one in the order of the settings.
fn role(user: Option<&User>, caller: Caller, groups: &[(Role, Box<str>)]) -> Option<Role> {
    let mut own = vec![Gid::from_raw(caller.gid)];
    if let Some(user) = user {
        own.push(user.gid);
        let name = CString::new(user.name.as_str()).ok()?;
        own.extend(getgrouplist(&name, user.gid).unwrap_or_default());
    }
    let is_in = |name: &str| Group::from_name(name).ok().flatten().is_some_and(|group| own.contains(&group.gid));
    groups.iter().find(|(_, name)| is_in(name)).map(|(role, _)| *role)
}
