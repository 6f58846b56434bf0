//! HTTP/1.1 over one connection, for the socket and the console alike: bounded heads, and a word on each request about the way by
//! which it came.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

/// How long a request's head, or a handshake before it, may take to come; also how long a connection may be quiet.
pub const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// Octets of a request's head.
pub const HEAD_OCTETS_MAX: usize = 32 * 1_024;
/// Fields of it.
pub const HEADERS_MAX: usize = 64;

/// Serves a connection until it is quiet. Each request has `word` among its extensions.
pub async fn converse<W: Clone + Send + Sync + 'static>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Router,
    word: W,
) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    server.max_buf_size(HEAD_OCTETS_MAX).max_headers(HEADERS_MAX);
    // A connection's trouble is its own.
    let _ = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(Stamped { app, word })).await;
}

#[derive(Clone)]
struct Stamped<W> {
    app: Router,
    word: W,
}

impl<W: Clone + Send + Sync + 'static> Service<Request<Incoming>> for Stamped<W> {
    type Response = Response;
    type Error = Infallible;
    type Future = <Router as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.word.clone());
        self.app.call(request)
    }
}

/// Who is in: bounded in number for all, and for each of those who share a key.
pub struct Room<K> {
    most: usize,
    inside: Mutex<HashMap<K, usize>>,
}

impl<K: Copy + Eq + Hash> Room<K> {
    /// With room for so many.
    #[must_use]
    pub fn new(most: usize) -> Arc<Room<K>> {
        Arc::new(Room { most, inside: Mutex::default() })
    }

    /// One more, if there is room: among all, and among `most_of_one` with the same key.
    pub fn enter(self: &Arc<Self>, key: K, most_of_one: usize) -> Option<Seat<K>> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let own = inside.get(&key).copied().unwrap_or(0);
        if own >= most_of_one || inside.values().sum::<usize>() >= self.most {
            return None;
        }
        inside.insert(key, own + 1);
        Some(Seat { room: Arc::clone(self), key })
    }
}

/// A place in the room, given back however the connection ends.
pub struct Seat<K: Copy + Eq + Hash> {
    room: Arc<Room<K>>,
    key: K,
}

impl<K: Copy + Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut inside = self.room.inside.lock().unwrap_or_else(PoisonError::into_inner);
        match inside.get_mut(&self.key) {
            Some(number) if *number > 1 => *number -= 1,
            _ => drop(inside.remove(&self.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let room = Room::new(3);
        let first = room.enter('a', 2);
        let second = room.enter('a', 2);
        assert!(first.is_some() && second.is_some() && room.enter('a', 2).is_none());
        let third = room.enter('b', 2);
        assert!(third.is_some() && room.enter('c', 2).is_none());
        drop(first);
        assert!(room.enter('a', 2).is_some());
        drop((second, third));
        assert!(room.inside.lock().unwrap().is_empty());
    }
}
