//! The limit on open files: raised as far as the system lets us, once, at start.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files that are kept for everything but connections: journal, Queue, Pickup, Drop, log.
const FILES_KEPT: u64 = 256;
/// What is reckoned with if the system does not say.
const USUAL: u64 = 1_024;

/// Raises the limit as far as it goes; how many files may be open from now on.
#[must_use]
pub fn open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return USUAL };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}

/// How many of `files` the inbound connections of each of `servers` virtual servers may take: three quarters of what is
/// left for connections; the rest is for outbound ones.
pub(super) fn inbound_share(files: u64, servers: usize) -> usize {
    let share = files.saturating_sub(FILES_KEPT) / 4 * 3 / u64::try_from(servers.max(1)).unwrap_or(1);
    usize::try_from(share).unwrap_or(usize::MAX).max(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        assert_eq!(inbound_share(1_024, 1), 576);
        assert_eq!(inbound_share(1_024, 3), 192);
        assert_eq!(inbound_share(100, 1), 16);
        assert!(inbound_share(u64::MAX, 1) > 1_000_000);
    }

    #[test]
    fn the_limit_is_raised() {
        let files = open_files();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, files);
    }
}
