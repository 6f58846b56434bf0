//! The octets of one connection: TCP or a Unix socket, read and written without a task of their own.
//!
//! Reading uses one buffer per thread, so that a connection that waits holds none. Writing is vectored: a batch of
//! commands and the pieces of a message leave in as few system calls as the kernel allows, without being copied together
//! first. [`Alarm`] is one timer per connection that is moved, not made anew, for each step.
//!
//! Knows nothing of SMTP; [`super::talk`] does.

use bytes::{Buf, Bytes};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep};

/// Octets that are read at a time.
const READ_MAX: usize = 16 * 1024;
/// Pieces that one system call writes.
const PIECES_MAX: usize = 16;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_MAX].into());
}

/// An open connection.
#[derive(Debug)]
pub(super) enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Wire {
    /// Reads what is there and hands it to `take`; the number of octets, 0 at the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&[u8])) -> Poll<io::Result<usize>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(match self {
                Wire::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
                Wire::Unix(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            })?;
            let octets = buffer.filled();
            if !octets.is_empty() {
                take(octets);
            }
            Poll::Ready(Ok(octets.len()))
        })
    }

    /// Writes as much of `out` as the kernel takes now, and takes it off.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Pieces) -> Poll<io::Result<()>> {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let mut used = 0;
        for (slice, piece) in slices.iter_mut().zip(&out.list) {
            *slice = IoSlice::new(piece);
            used += 1;
        }
        let written = ready!(match self {
            Wire::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, &slices[..used]),
            Wire::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, &slices[..used]),
        })?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        out.advance(written);
        Poll::Ready(Ok(()))
    }
}

/// What waits to be written, in order.
#[derive(Default, Debug)]
pub(super) struct Pieces {
    list: VecDeque<Bytes>,
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
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.list.front_mut() {
            if written < first.len() {
                return first.advance(written);
            }
            written -= first.len();
            self.list.pop_front();
        }
    }
}

/// A timer whose end may be moved as often as one likes: moved later, which is the rule, it costs nothing until it fires.
#[derive(Debug)]
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    due: Instant,
}

impl Alarm {
    pub(super) fn new(due: Instant) -> Alarm {
        Alarm { sleep: Box::pin(tokio::time::sleep_until(due)), due }
    }

    /// It rings then, and not before.
    pub(super) fn set(&mut self, due: Instant) {
        self.due = due;
        if due < self.sleep.deadline() {
            self.sleep.as_mut().reset(due);
        }
    }

    /// Ready once the end that was set has come.
    pub(super) fn poll_ring(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if Instant::now() >= self.due {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;
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
        let mut wire = Wire::Unix(ours);
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

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_at_the_last_time_that_was_set() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut alarm = Alarm::new(after(1_000));
        alarm.set(after(5_000));
        alarm.set(after(3_000));
        poll_fn(|cx| alarm.poll_ring(cx)).await;
        assert_eq!(start.elapsed().as_millis(), 3_000, "later than the first, earlier than the second");
        alarm.set(after(4_000));
        alarm.set(after(3_500));
        poll_fn(|cx| alarm.poll_ring(cx)).await;
        assert_eq!(start.elapsed().as_millis(), 3_500, "it can be set again after it rang");
        alarm.set(after(2_000));
        poll_fn(|cx| alarm.poll_ring(cx)).await;
        assert_eq!(start.elapsed().as_millis(), 3_500, "what is past rings at once");
    }
}
