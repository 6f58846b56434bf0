//! What is handed to a thread, taken out in one go.
//!
//! A channel would hand over one thing at a time; the spool's threads want all that waits, because what they do together
//! costs one sync. Waking costs a system call only if the thread sleeps.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Things for one thread, in order; with some among them that come first, and that a second thread may take while the first
/// one is away.
pub(super) struct Inbox<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    help_needed: Condvar,
}

struct State<T> {
    first: Vec<T>,
    waiting: Vec<T>,
    asleep: bool,
    /// The thread waits for something else, and what comes first must not wait for it.
    away: bool,
    closed: bool,
}

impl<T> State<T> {
    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.waiting.is_empty()
    }
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
        let (first, waiting) = (Vec::new(), Vec::new());
        let state = State { first, waiting, asleep: false, away: false, closed: false };
        Inbox { state: Mutex::new(state), arrived: Condvar::new(), help_needed: Condvar::new() }
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

    /// Hands over one thing that comes before all that [`Inbox::push`] brings, and need not wait for the thread.
    pub fn push_first(&self, thing: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(thing);
        }
        state.first.push(thing);
        let wake = std::mem::take(&mut state.asleep);
        let help = state.away && state.first.len() == 1;
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
        if help {
            self.help_needed.notify_one();
        }
        Ok(())
    }

    /// Nothing more may come; what is there is still taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
        self.help_needed.notify_one();
    }

    /// Lets the second thread help while the first one does this.
    pub fn while_away<R>(&self, deed: impl FnOnce() -> R) -> R {
        let mut state = self.lock();
        state.away = true;
        let help = !state.first.is_empty();
        drop(state);
        if help {
            self.help_needed.notify_one();
        }
        let result = deed();
        self.lock().away = false;
        result
    }

    /// For the second thread: waits until there is something to help with; `false` if there never will be.
    pub fn wait_to_help(&self) -> bool {
        let state = self.lock();
        let idle = |s: &mut State<T>| !s.closed && (!s.away || s.first.is_empty());
        !self.help_needed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner).closed
    }

    /// Takes what comes first. Does not wait.
    pub fn take_first(&self) -> Vec<T> {
        std::mem::take(&mut self.lock().first)
    }

    /// Waits for something and moves all that does not come first into `taken`, which is empty.
    pub fn take(&self, taken: &mut Vec<T>, wait: Duration) -> Waited {
        let mut state = self.lock();
        if state.is_empty() && !state.closed && !wait.is_zero() {
            state.asleep = true;
            state = self
                .arrived
                .wait_timeout_while(state, wait, |s| s.is_empty() && !s.closed)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            state.asleep = false;
        }
        std::mem::swap(&mut state.waiting, taken);
        match (taken.is_empty() && state.first.is_empty(), state.closed) {
            (false, _) => Waited::Arrived,
            (true, false) => Waited::TimedOut,
            (true, true) => Waited::Closed,
        }
    }
}
