//! The octets of one connection: TCP or a Unix socket, in the clear or under TLS, read and written without a task of their own.
//!
//! Reading uses one buffer per thread, so that a connection that waits holds none. Writing is vectored: a batch of
//! commands and the pieces of a message leave in as few system calls as the kernel allows, without being copied together
//! first. Under TLS the pieces go into as few records as they fit in, and the records leave together.
//!
//! Knows nothing of SMTP; [`super::talk`] does. Whom TLS trusts: [`crate::tls::client`].

use crate::tls::client::{ClientEngine, ClientFacts};
use crate::tls::{Inflow, TlsFailure};
use bytes::{Buf, Bytes};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Octets that are read at a time.
const READ_MAX: usize = 16 * 1024;
/// Pieces that one system call writes.
const PIECES_MAX: usize = 16;
/// Octets that are encrypted before the kernel has taken them all: four records of TLS.
const SEALED_MAX: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_MAX].into());
}

/// What carries the octets.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    tls: Option<Box<ClientEngine>>,
}

impl Wire {
    /// In the clear.
    pub(super) fn new(stream: Stream) -> Wire {
        Wire { stream, tls: None }
    }

    /// Reads what is there and hands it to `take`; the number of octets, 0 at the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, mut take: impl FnMut(&[u8])) -> Poll<io::Result<usize>> {
        let Wire { stream, tls } = self;
        let Some(tls) = tls else { return stream.poll_read(cx, |octets| take(octets)) };
        loop {
            if tls.is_closed() {
                return Poll::Ready(Ok(0));
            }
            let mut outcome = Ok(Inflow::Open);
            let mut plain = 0;
            let read = ready!(stream.poll_read(cx, |octets| {
                outcome = tls.read_tls(octets, &mut |octets| {
                    plain += octets.len();
                    take(octets);
                });
            }));
            // What TLS has to say for itself, an alert among it. What does not fit now leaves with what is written next.
            let _ = poll_flush(stream, tls, cx);
            match (read?, outcome) {
                (0, _) => return Poll::Ready(Ok(0)),
                (_, Err(failure)) => return Poll::Ready(Err(io::Error::other(failure))),
                (_, Ok(_)) if plain > 0 => return Poll::Ready(Ok(plain)),
                // Tickets, and the like: nothing for the session.
                (_, Ok(_)) => {}
            }
        }
    }

    /// Writes as much of `out` as the kernel takes now, and takes it off.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Pieces) -> Poll<io::Result<()>> {
        let Wire { stream, tls } = self;
        let Some(tls) = tls else {
            let mut slices = [IoSlice::new(&[]); PIECES_MAX];
            let used = out.slices(&mut slices, usize::MAX).0;
            let written = ready!(stream.poll_write(cx, &slices[..used]))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            out.advance(written);
            return Poll::Ready(Ok(()));
        };
        if out.sealed == 0 {
            // What is left of earlier records first, so that they do not pile up.
            ready!(poll_flush(stream, tls, cx))?;
            let mut slices = [IoSlice::new(&[]); PIECES_MAX];
            let (used, octets) = out.slices(&mut slices, SEALED_MAX);
            tls.write_plain(&slices[..used]);
            out.sealed = octets;
        }
        ready!(poll_flush(stream, tls, cx))?;
        out.advance(out.sealed);
        Poll::Ready(Ok(()))
    }

    /// Begins TLS; what the peer says under it already. To be called when nothing waits to be written, and bounded in time.
    ///
    /// # Errors
    /// Why there is no channel, in words that follow the host's name. The connection is of no more use.
    pub(super) async fn shake_hands(&mut self, engine: ClientEngine) -> Result<Vec<u8>, Box<str>> {
        let mut tls = Box::new(engine);
        let mut early = Vec::new();
        while tls.facts().is_none() {
            poll_fn(|cx| poll_flush(&mut self.stream, &mut tls, cx)).await.map_err(|error| cut(&error))?;
            let mut outcome = Ok(Inflow::Open);
            let read = poll_fn(|cx| {
                self.stream.poll_read(cx, |octets| {
                    outcome = tls.read_tls(octets, &mut |plain| early.extend_from_slice(plain));
                })
            });
            let read = read.await.map_err(|error| cut(&error))?;
            if let Err(failure) = outcome {
                // The alert; nobody waits for it.
                let _ = poll_fn(|cx| Poll::Ready(poll_flush(&mut self.stream, &mut tls, cx).is_ready())).await;
                return Err(failure.to_string().into());
            }
            if read == 0 {
                return Err("the server hung up in the middle of the TLS handshake".into());
            }
        }
        poll_fn(|cx| poll_flush(&mut self.stream, &mut tls, cx)).await.map_err(|error| cut(&error))?;
        self.tls = Some(tls);
        Ok(early)
    }

    /// Our own address, where it has one.
    pub(super) fn local(&self) -> Option<SocketAddr> {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            Stream::Unix(_) => None,
        }
    }

    /// What is known about the TLS channel, if there is one.
    pub(super) fn facts(&self) -> Option<Arc<ClientFacts>> {
        self.tls.as_ref().and_then(|tls| tls.facts())
    }

    /// The certificate that the peer has shown, in DER.
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        self.tls.as_ref().and_then(|tls| tls.certificate())
    }

    /// What broke the TLS channel, if something did.
    pub(super) fn tls_failure(&self) -> Option<&TlsFailure> {
        self.tls.as_ref().and_then(|tls| tls.failure())
    }

    /// Says that nothing more comes, where TLS has a word for it. Nobody waits for it.
    pub(super) fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        if let Some(tls) = &mut self.tls {
            tls.close();
            let _ = poll_flush(&mut self.stream, tls, cx);
        }
    }
}

fn cut(error: &io::Error) -> Box<str> {
    format!("the connection broke in the middle of the TLS handshake: {error}").into()
}

/// Writes what the channel has encrypted, until nothing of it is left.
fn poll_flush(stream: &mut Stream, tls: &mut ClientEngine, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    while tls.wants_write() {
        match tls.write_to(&mut Sink { stream, cx }) {
            Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(()))
}

impl Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&[u8])) -> Poll<io::Result<usize>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(match self {
                Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
                Stream::Unix(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            })?;
            let octets = buffer.filled();
            if !octets.is_empty() {
                take(octets);
            }
            Poll::Ready(Ok(octets.len()))
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }
}

/// The socket as TLS writes into it.
struct Sink<'a, 'b> {
    stream: &'a mut Stream,
    cx: &'a mut Context<'b>,
}

impl Write for Sink<'_, '_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(octets)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.stream.poll_write(self.cx, slices) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What waits to be written, in order.
#[derive(Default, Debug)]
pub(super) struct Pieces {
    list: VecDeque<Bytes>,
    /// So many octets of it are encrypted already, and the kernel has not taken them all.
    sealed: usize,
}

impl Pieces {
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.list.push_back(piece);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.sealed = 0;
    }

    /// The first pieces, at most `limit` octets of them; how many pieces and octets.
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>], limit: usize) -> (usize, usize) {
        let (mut used, mut octets) = (0, 0);
        for (slice, piece) in slices.iter_mut().zip(&self.list) {
            let room = limit - octets;
            if room == 0 {
                break;
            }
            let piece = &piece[..piece.len().min(room)];
            *slice = IoSlice::new(piece);
            used += 1;
            octets += piece.len();
        }
        (used, octets)
    }

    fn advance(&mut self, mut written: usize) {
        self.sealed = 0;
        while let Some(first) = self.list.front_mut() {
            if written < first.len() {
                return first.advance(written);
            }
            written -= first.len();
            self.list.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn pieces(list: &[&'static str]) -> Pieces {
        let mut out = Pieces::default();
        for piece in list {
            out.push(Bytes::from_static(piece.as_bytes()));
        }
        out
    }

    #[test]
    fn what_is_written_is_taken_off() {
        let mut out = pieces(&["abc", "", "de", "f"]);
        assert_eq!(out.list.len(), 3, "an empty piece would look like a closed connection");
        out.advance(2);
        assert_eq!(out.list[0], "c");
        out.advance(2);
        assert_eq!(out.list[0], "e");
        out.advance(2);
        assert!(out.is_empty());
    }

    #[tokio::test]
    async fn octets_go_through_in_order() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut wire = Wire::new(Stream::Unix(ours));
        let mut out = pieces(&["MAIL\r\n", "RCPT\r\n", "DATA\r\n"]);
        poll_fn(|cx| wire.poll_write(cx, &mut out)).await.unwrap();
        assert!(out.is_empty(), "one call wrote all");
        let mut got = [0; 18];
        theirs.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"MAIL\r\nRCPT\r\nDATA\r\n");
        theirs.write_all(b"250 ok\r\n").await.unwrap();
        let mut seen = Vec::new();
        assert_eq!(poll_fn(|cx| wire.poll_read(cx, |octets| seen.extend_from_slice(octets))).await.unwrap(), 8);
        drop(theirs);
        assert_eq!(poll_fn(|cx| wire.poll_read(cx, |octets| seen.extend_from_slice(octets))).await.unwrap(), 0);
        assert_eq!(seen, b"250 ok\r\n");
    }
}
