//! The disk refuses: every call fails once, the disk fills up, a sync fails.

use super::life::{Do, Life, SCRIPTS, content, envelope, options};
use super::{check_cut, compare, find};
use bytes::Bytes;
use relay::disk::sim::SimDisk;
use relay::envelope::QueueId;
use relay::spool::journal::{Accept, Entry, JournalError};
use relay::spool::recover;
use std::io::ErrorKind;

/// Each call of each life fails once, with an error as a broken disk gives it and as a full one does. Whatever the spool
/// has said of a message holds, if the service goes on, if it is killed, and if the power goes.
#[test]
fn every_failing_call_is_survived() {
    let mut lives = 0;
    for script in SCRIPTS {
        let calls = Life::live(SimDisk::new(), script).disk.calls();
        for call in 1..=calls {
            for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
                let disk = SimDisk::new();
                disk.fail_at(call, kind);
                let Ok(life) = Life::try_live(disk, script) else { continue };
                lives += 1;
                let end = usize::try_from(life.disk.calls()).unwrap() + 1;
                let killed = find(&life.disk.moment(end).unwrap()).and_then(|found| compare(&found, &life.expected));
                let cut = check_cut(&life, end, &life.expected, false);
                if let Err(error) = killed.and(cut.map(|_| ())) {
                    panic!("call {call} failed ({kind}), {:?}: {error}", life.failed);
                }
            }
        }
    }
    println!("{lives} lives with a fault");
}

/// A life with some messages, at whose end the journal is to be tried.
fn with_messages() -> Life {
    Life::live(SimDisk::new(), &[Do::Chores, Do::Accept(&[(1, 100), (2, 200)])])
}

fn message(id: u64, size: u64) -> Entry {
    let id = QueueId(id);
    Entry::Accept(Accept::new(id, envelope(id, size, 0).print(), Bytes::from(content(id, size))))
}

/// After a sync that failed nothing is promised any more, even if the next one would succeed: what it covered is lost
/// already.
#[test]
fn a_failed_sync_poisons_for_ever() {
    let mut life = with_messages();
    // The write is the next call, the sync the one after it.
    life.disk.fail_at(life.disk.calls() + 2, ErrorKind::Other);
    let written = life.journal.write(&[message(3, 100)]);
    assert!(matches!(written.trouble, Some(JournalError::Poisoned(_))));
    assert!(written.receipts.is_empty());
    let calls = life.disk.calls();
    let again = life.journal.write(&[message(4, 100)]);
    assert!(matches!(again.trouble, Some(JournalError::Poisoned(_))) && again.receipts.is_empty());
    assert!(life.journal.flush().is_err());
    assert_eq!(life.disk.calls(), calls, "the disk is not even asked");
    let found = find(&life.disk.moment(usize::try_from(calls).unwrap() + 1).unwrap()).unwrap();
    assert!(found.contains_key(&QueueId(1)) && found.contains_key(&QueueId(2)));
}

/// A write that fails poisons too: half of it may be there.
#[test]
fn a_failed_write_poisons() {
    let mut life = with_messages();
    life.disk.fail_at(life.disk.calls() + 1, ErrorKind::Other);
    let written = life.journal.write(&[message(3, 100)]);
    assert!(matches!(written.trouble, Some(JournalError::Poisoned(_))) && written.receipts.is_empty());
}

/// A full disk refuses what needs a new segment, and takes it again once there is room. Nothing is poisoned.
#[test]
fn a_full_disk_recovers_by_itself() {
    let disk = SimDisk::new();
    let mut life = Life::live(disk.clone(), &[Do::Accept(&[(1, 100)])]);
    disk.set_room(Some(24_000));
    let written = life.journal.write(&[message(2, 5_000), message(3, 11_000), message(4, 10)]);
    assert_eq!((written.done, written.receipts.len()), (1, 1), "what had room is accepted");
    assert!(matches!(written.trouble, Some(JournalError::NoRoom(_))), "{:?}", written.trouble);
    assert!(life.journal.poisoned().is_none());
    assert!(disk.contents().values().map(|octets| octets.len()).sum::<usize>() <= 24_000, "nothing half made is left");
    disk.set_room(None);
    let written = life.journal.write(&[message(3, 11_000)]);
    assert!(written.trouble.is_none() && written.receipts.len() == 1);
    let found = find(&disk).unwrap();
    assert_eq!(found.keys().map(|id| id.0).collect::<Vec<_>>(), [1, 2, 3]);
}

/// A read-only or unreadable folder says what was tried and what the disk said.
#[test]
fn a_start_that_cannot_read_says_so() {
    for (call, words) in [(1, "cannot read the Queue folder"), (2, "cannot read the folder journal")] {
        let disk = SimDisk::new();
        disk.fail_at(call, ErrorKind::PermissionDenied);
        let Err(error) = recover(&disk, options()) else { panic!("it started") };
        assert!(error.to_string().starts_with(words), "{error}");
    }
}
