//! A timer that is cheap to move: moving it to a later time costs nothing until it rings.
//!
//! A session's deadline moves with every command, nearly always to a later time. So the runtime's timer is left where
//! it is; when it rings too early, it is set to the time that holds by then.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::time::Sleep;

/// Rings when the time is come to which it was set last.
pub(super) struct Timer {
    due: Instant,
    /// For when the runtime's timer is set; at or before `due`.
    armed: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    pub(super) fn new(due: Instant) -> Timer {
        Timer { due, armed: due, sleep: Box::pin(tokio::time::sleep_until(due.into())) }
    }

    /// Sets it to another time.
    pub(super) fn set_to(&mut self, due: Instant) {
        self.due = due;
        if due < self.armed {
            self.arm();
        }
    }

    fn arm(&mut self) {
        self.armed = self.due;
        self.sleep.as_mut().reset(self.due.into());
    }

    /// Ready when the time is come.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.due {
                return Poll::Ready(());
            }
            self.arm();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    fn in_ms(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    #[tokio::test]
    async fn it_rings_at_the_time_set_last() {
        let began = Instant::now();
        let mut timer = Timer::new(in_ms(20));
        timer.set_to(in_ms(60));
        assert!(timer.armed < timer.due, "a later time is not set before the first one has rung");
        poll_fn(|cx| timer.poll(cx)).await;
        assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn an_earlier_time_holds_at_once() {
        let began = Instant::now();
        let mut timer = Timer::new(in_ms(60_000));
        let first = poll_fn(|cx| Poll::Ready(timer.poll(cx))).await;
        assert!(first.is_pending());
        timer.set_to(in_ms(20));
        poll_fn(|cx| timer.poll(cx)).await;
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    }
}
