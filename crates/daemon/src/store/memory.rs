//! How much message content is held in memory, counted where it is let go.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Octets of content held by everybody together.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<AtomicU64>);

impl Held {
    pub fn octets(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A share of nothing, to be grown.
    pub fn share(&self) -> Share {
        Share { held: self.clone(), octets: 0 }
    }
}

/// Somebody's part of it; given back when dropped.
pub(super) struct Share {
    held: Held,
    octets: u64,
}

impl Share {
    pub fn set(&mut self, octets: u64) {
        if octets >= self.octets {
            self.held.0.fetch_add(octets - self.octets, Ordering::Relaxed);
        } else {
            self.held.0.fetch_sub(self.octets - octets, Ordering::Relaxed);
        }
        self.octets = octets;
    }

    /// The octets as `Bytes`, counted until the last copy of them is dropped.
    pub fn count(mut self, octets: Vec<u8>) -> Bytes {
        self.set(octets.capacity() as u64);
        Bytes::from_owner(Counted { octets, _share: self })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

struct Counted {
    octets: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}
