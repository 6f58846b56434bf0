//! Who has come how often: the one place where the sessions of a virtual server meet.
//!
//! [`relay::rate`] counts; here it is shared, and what was counted is counted down when a session ends, however it ends.
//! Peers of the relay list are not counted by connections, and where no limit is set on messages nobody asks: so those who bring most
//! of the mail never meet here.

use relay::config::RateLimits;
use relay::rate::{Limit, Rates};
use smtp::time::Timestamp;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counts of one virtual server.
#[derive(Debug)]
pub struct Turnstile {
    rates: Mutex<Rates>,
    counts_messages: AtomicBool,
}

/// One connection's turn; over when it is dropped.
#[derive(Debug)]
pub struct Turn {
    turnstile: Arc<Turnstile>,
    address: IpAddr,
    stage: Stage,
}

/// Among whom a connection is counted.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// Those whose names are being asked for.
    Waiting,
    /// Those who are in.
    In,
}

impl Default for Turnstile {
    fn default() -> Turnstile {
        Turnstile { rates: Mutex::new(Rates::new(RateLimits::default())), counts_messages: AtomicBool::new(false) }
    }
}

impl Turnstile {
    /// Other limits from now on.
    pub(super) fn set_limits(&self, limits: RateLimits) {
        let messages = [limits.messages_per_address, limits.messages_per_network, limits.messages_per_account];
        self.counts_messages.store(messages.iter().any(Option::is_some), Ordering::Relaxed);
        self.rates().set_limits(limits);
    }

    /// One more connection from there.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, now: Timestamp) -> Result<Turn, Limit> {
        self.rates().connected(address, now)?;
        Ok(Turn { turnstile: Arc::clone(self), address, stage: Stage::In })
    }

    /// One more connection from there that cannot be judged yet.
    pub(super) fn wait(self: &Arc<Self>, address: IpAddr) -> Result<Turn, Limit> {
        self.rates().waits(address)?;
        Ok(Turn { turnstile: Arc::clone(self), address, stage: Stage::Waiting })
    }

    /// One more message from there.
    pub(super) fn message(&self, address: IpAddr, account: Option<&str>, now: Timestamp) -> Result<(), Limit> {
        if !self.counts_messages.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.rates().message(address, account, now)
    }

    fn rates(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut rates = self.turnstile.rates();
        match self.stage {
            Stage::Waiting => rates.waited(self.address),
            Stage::In => rates.closed(self.address),
        }
    }
}
