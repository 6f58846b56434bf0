//! Listening sockets of one virtual server, and the connections that come in through them.
//!
//! [`Listeners`] opens the addresses of the configuration, and on a reload rebinds only what has changed; each address has
//! a loop of its own ([`accept`]) which a flood of connections or a want of file descriptors slows but never ends.
//! [`Sessions`] counts who is in, and tells them when the service stops. What happens in a connection is
//! [`crate::inbound`]'s; whether one more may come in, [`relay::gate`] says.
//!
//! A running session keeps the configuration that it began with; new ones get the new one.

mod accept;
mod bind;
mod sessions;

#[cfg(test)]
mod tests;

pub use bind::{Inherited, ListenFault};
pub use sessions::{Seat, Sessions};

use crate::desk::Desk;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The open addresses of one virtual server.
pub struct Listeners {
    open: Vec<Open>,
    /// Sockets that were handed over and are not in use any more.
    closed: Vec<(SocketAddr, StdListener)>,
    /// The newest configuration, for those who come in from now on.
    desk: watch::Sender<Arc<Desk>>,
    sessions: Arc<Sessions>,
}

struct Open {
    /// As the configuration has it; port 0 stands for any free one.
    configured: SocketAddr,
    /// As it is.
    bound: SocketAddr,
    /// It was handed over, is bound to `[::]`, and takes IPv4 connections too.
    takes_both: bool,
    /// The same socket, if it was handed over: it must not be lost when it is closed, since another may not be had.
    handed_over: Option<StdListener>,
    accepting: JoinHandle<()>,
}

impl Listeners {
    /// None yet.
    #[must_use]
    pub fn new(desk: Arc<Desk>, sessions: Arc<Sessions>) -> Listeners {
        Listeners { open: Vec::new(), closed: Vec::new(), desk: watch::Sender::new(desk), sessions }
    }

    /// Those who come in from now on get this desk.
    pub fn set_desk(&self, desk: Arc<Desk>) {
        self.desk.send_replace(desk);
    }

    /// Closes the addresses that are not in `wanted`. When this returns they are free for others.
    pub async fn close_others(&mut self, wanted: &[SocketAddr]) {
        let (keep, close) = self.open.drain(..).partition(|open| wanted.contains(&open.configured));
        self.open = keep;
        for open in close {
            open.accepting.abort();
            // The socket goes with the task; that the task was aborted is no news.
            let _ = open.accepting.await;
        }
    }

    /// Sockets that were handed over and have been closed: for [`Inherited::take_back`].
    pub fn closed(&mut self) -> Vec<(SocketAddr, StdListener)> {
        std::mem::take(&mut self.closed)
    }

    /// Opens the addresses of `wanted` that are not open. One that cannot be opened does not keep the others from it.
    pub fn open_missing(&mut self, wanted: &[SocketAddr], inherited: &mut Inherited) -> Vec<ListenFault> {
        let mut faults = Vec::new();
        for &configured in wanted {
            if self.open.iter().any(|open| open.configured == configured) {
                continue;
            }
            // A socket for both that was handed over for one of them serves the other as well.
            let served = |open: &Open| open.takes_both && open.bound.port() == configured.port();
            if configured.ip().is_unspecified() && self.open.iter().any(served) {
                continue;
            }
            match inherited.take_or_bind(configured) {
                Ok((listener, handed_over)) => self.accept_on(listener, handed_over, configured),
                Err(fault) => faults.push(fault),
            }
        }
        faults
    }

    fn accept_on(&mut self, listener: TcpListener, handed_over: Option<StdListener>, configured: SocketAddr) {
        let bound = listener.local_addr().unwrap_or(configured);
        let takes_both = bind::takes_both(&listener);
        let accepting = accept::run(listener, configured, self.desk.subscribe(), Arc::clone(&self.sessions));
        self.open.push(Open { configured, bound, takes_both, handed_over, accepting: tokio::spawn(accepting) });
    }

    /// Where connections are accepted, as bound.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.open.iter().map(|open| open.bound).collect()
    }

    /// Closes everything; running sessions go on. Sockets that were handed over can be had by [`Listeners::closed`].
    pub async fn close(&mut self) {
        let sockets = self.open.iter_mut().filter_map(|open| Some((open.bound, open.handed_over.take()?)));
        self.closed.extend(sockets);
        self.close_others(&[]).await;
    }

    /// Who is in.
    #[must_use]
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for open in &self.open {
            open.accepting.abort();
        }
    }
}
