//! What is handed to a thread, taken out in one go.
//!
//! A channel would hand over one thing at a time; the spool's threads want all that waits, because what they do together
//! costs one sync. Waking costs a system call only if the thread sleeps.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Things for one thread, in order.
pub(super) struct Inbox<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

struct State<T> {
    waiting: Vec<T>,
    asleep: bool,
    closed: bool,
}

/// How a wait for things ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Waited {
    /// There is something.
    Arrived,
    /// There is nothing yet.
    TimedOut,
    /// There is nothing, and nothing more will come.
    Closed,
}

impl<T> Inbox<T> {
    pub fn new() -> Inbox<T> {
        let state = State { waiting: Vec::new(), asleep: false, closed: false };
        Inbox { state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// A thread that panicked has left a whole list behind: nothing is half done under this lock.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over one thing; gives it back if nobody will take it any more.
    pub fn push(&self, thing: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(thing);
        }
        state.waiting.push(thing);
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Nothing more may come; what is there is still taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Waits for something and moves all of it into `taken`, which is empty.
    pub fn take(&self, taken: &mut Vec<T>, wait: Duration) -> Waited {
        let mut state = self.lock();
        if state.waiting.is_empty() && !state.closed && !wait.is_zero() {
            state.asleep = true;
            state = self
                .arrived
                .wait_timeout_while(state, wait, |s| s.waiting.is_empty() && !s.closed)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            state.asleep = false;
        }
        std::mem::swap(&mut state.waiting, taken);
        match (taken.is_empty(), state.closed) {
            (false, _) => Waited::Arrived,
            (true, false) => Waited::TimedOut,
            (true, true) => Waited::Closed,
        }
    }
}
