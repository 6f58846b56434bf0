//! The socket of one session: replies out, octets in; in the clear, or through a TLS channel.
//!
//! Reading uses one buffer for each thread of the runtime, and only while a read is going on; so a connection that
//! waits owns none, and 2,000 of them cost 2,000 small tasks. A write is tried at once, past the runtime, because a socket
//! nearly always has room for a reply; only what is left waits for the peer to read.

use crate::tls::{Credentials, Inflow, TlsEngine, TlsFacts};
use bytes::{Buf, Bytes};
use smtp::server::Session;
use socket2::SockRef;
use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// Octets that one read takes at most.
const READ_MAX: usize = 64 * 1024;
/// How long, and for how many octets, a peer that was hung up on may go on talking.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 256 * 1024);

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_MAX].into());
}

/// What has moved.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Moved {
    /// The session has received octets.
    Received,
    /// The peer has taken all of our replies.
    Flushed,
    /// The peer has closed its side.
    End,
    /// The connection is of no more use.
    Broken,
}

pub(super) struct Wire {
    stream: TcpStream,
    /// What the socket has not taken yet.
    unsent: Bytes,
    tls: Option<Box<TlsEngine>>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Wire {
        Wire { stream, unsent: Bytes::new(), tls: None }
    }

    /// Has the socket taken everything?
    pub(super) fn is_flushed(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Writes replies, or keeps what the socket does not take for [`Wire::poll`]. To be called when flushed.
    ///
    /// # Errors
    /// The connection is of no more use.
    pub(super) fn send(&mut self, replies: Bytes) -> io::Result<()> {
        match &mut self.tls {
            None => self.put(replies),
            Some(tls) => {
                tls.write_plain(&replies);
                let sealed = tls.take_tls();
                self.put(sealed)
            }
        }
    }

    /// Writes octets as they are.
    fn put(&mut self, mut octets: Bytes) -> io::Result<()> {
        if octets.is_empty() {
            return Ok(());
        }
        // Not through the runtime, which does not try before the system has said for the first time that there is room.
        match SockRef::from(&self.stream).send(&octets) {
            Ok(sent) => octets.advance(sent),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        self.unsent = octets;
        Ok(())
    }

    /// Writes what is unsent; if nothing is, and the session wants some, reads.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, session: &mut Session) -> Poll<Moved> {
        if !self.is_flushed() {
            return self.poll_flush(cx);
        }
        if !session.wants_input() {
            return Poll::Pending;
        }
        let Wire { stream, tls, .. } = self;
        let moved = BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            Pin::new(stream).poll_read(cx, &mut buffer).map(|read| match (read, buffer.filled(), tls) {
                (Ok(()), [], _) => Moved::End,
                (Ok(()), octets, None) => {
                    session.receive(octets);
                    Moved::Received
                }
                (Ok(()), octets, Some(tls)) => match tls.read_tls(octets, &mut |plain| session.receive(plain)) {
                    Ok(Inflow::Open) => Moved::Received,
                    Ok(Inflow::Closed) => Moved::End,
                    Err(_) => Moved::Broken,
                },
                (Err(_), _, _) => Moved::Broken,
            })
        });
        // An answer to what TLS says for itself, an alert among it.
        if let (Poll::Ready(_), Some(tls)) = (&moved, &mut self.tls) {
            let sealed = tls.take_tls();
            if self.put(sealed).is_err() {
                return Poll::Ready(Moved::Broken);
            }
        }
        moved
    }

    /// Begins TLS with what comes from now on. Gives what is known of the channel, and what the peer said under it already.
    ///
    /// # Errors
    /// Why there is no channel, for the log.
    pub(super) async fn shake_hands(
        &mut self,
        credentials: Arc<Credentials>,
    ) -> Result<(Arc<TlsFacts>, Vec<u8>), Box<str>> {
        let mut tls = Box::new(TlsEngine::new(credentials));
        let mut early = Vec::new();
        loop {
            let read = std::future::poll_fn(|cx| {
                let stream = Pin::new(&mut self.stream);
                BUFFER.with_borrow_mut(|buffer| {
                    let mut buffer = ReadBuf::new(buffer);
                    let read = stream.poll_read(cx, &mut buffer);
                    read.map(|read| match (read, buffer.filled()) {
                        (Err(error), _) => Err(error.to_string()),
                        (Ok(()), []) => Err("the client hung up".to_owned()),
                        (Ok(()), octets) => {
                            let taken = tls.read_tls(octets, &mut |plain| early.extend_from_slice(plain));
                            taken.map_err(|failure| failure.to_string())
                        }
                    })
                })
            });
            let read = read.await;
            let sealed = tls.take_tls();
            let written = self.stream.write_all(&sealed).await;
            read.map_err(String::into_boxed_str)?;
            written.map_err(|error| error.to_string().into_boxed_str())?;
            if let Some(facts) = tls.facts() {
                self.tls = Some(tls);
                return Ok((facts, early));
            }
        }
    }

    /// The connection goes at once, with whatever the peer has not read.
    pub(super) fn cut(&self) {
        // Closing alone would leave it to the system for minutes.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Says that nothing more comes, where TLS has a word for it.
    pub(super) fn say_goodbye(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close();
            let sealed = tls.take_tls();
            if self.unsent.is_empty() {
                // A peer that is gone misses nothing.
                let _ = self.put(sealed);
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Moved> {
        while !self.is_flushed() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.unsent) {
                Poll::Ready(Ok(sent)) if sent > 0 => self.unsent.advance(sent),
                Poll::Ready(_) => return Poll::Ready(Moved::Broken),
                Poll::Pending => return Poll::Pending,
            }
        }
        // Frees what was kept: `advance` alone would hold on to it.
        self.unsent = Bytes::new();
        Poll::Ready(Moved::Flushed)
    }

    /// Says that nothing more comes, and reads into the void for a moment: were the socket closed with octets unread, the
    /// system would reset the connection, and the peer might never see our last reply.
    pub(super) async fn close_lingering(&mut self) {
        let drained = async {
            if self.stream.shutdown().await.is_err() {
                return;
            }
            let mut seen = 0;
            while seen < LINGER.1 {
                match std::future::poll_fn(|cx| self.poll_discard(cx)).await {
                    0 => return,
                    octets => seen += octets,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER.0, drained).await;
    }

    /// Octets read and thrown away; 0 at the end.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut buffer);
            read.map(|read| if read.is_ok() { buffer.filled().len() } else { 0 })
        })
    }
}
