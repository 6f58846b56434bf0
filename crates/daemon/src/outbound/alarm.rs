//! One timer per connection that is moved, not made anew, for each step.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep};

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
