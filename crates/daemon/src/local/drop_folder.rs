//! Writes parcels into the Drop folder, a batch at a time.
//!
//! The quota is decided per message, before anything is written; what was refused costs no disk. Our own trouble with the
//! folder is told to the sender without its path, and to the operator, in the log, with it.

use super::Opened;
use super::folder::Folder;
use super::room::Held;
use super::staging::{self, Staging};
use crate::clock::Clock;
use crate::log::Log;
use crate::store::Store;
use bytes::Bytes;
use relay::config::VirtualServer;
use relay::drop::{Composer, admit, file_name};
use relay::envelope::{Failure, FailureKind};
use relay::parcel::{Outcome, Parcel, Taken};
use smtp::reply::EnhancedStatus;
use std::fs::File;
use std::io::{self, Write};
use std::time::Instant;

/// The Drop folder of a virtual server.
pub(super) struct DropFolder {
    opened: Opened,
    quota: Option<u64>,
    held: Held,
    log: Log,
}

/// What has become of one parcel so far.
enum Written {
    /// Its file is staged under this number, with so many octets.
    Staged(usize, u64),
    /// It came to nothing; the file of this number, if there is one, is given up.
    Failed(Option<usize>, Failure),
}

impl DropFolder {
    pub fn new(server: &VirtualServer, log: Log) -> DropFolder {
        let opened = Opened::new(&server.default_domain.drop);
        DropFolder { opened, quota: server.default_domain.quota, held: Held::default(), log }
    }

    pub fn configure(&mut self, server: &VirtualServer) {
        if self.opened.path != server.default_domain.drop {
            self.held = Held::default();
        }
        self.opened.configure(&server.default_domain.drop);
        self.quota = server.default_domain.quota;
    }

    /// Takes away what a crash left behind.
    pub fn sweep(&mut self) {
        if let Err(e) = self.opened.get().and_then(staging::sweep) {
            self.log.alarm(trouble(&self.opened, &e));
        }
    }

    /// Writes all parcels; says what came of each, in order.
    pub fn write(&mut self, parcels: &[Parcel], store: &Store, clock: &Clock) -> Vec<Outcome> {
        let mut staging = Staging::default();
        let written: Vec<Written> = match self.opened.get() {
            Ok(folder) => {
                let mut room = Room { quota: self.quota, held: &mut self.held, staged: 0 };
                let mut write = |parcel| stage(folder, &mut staging, parcel, &mut room, store);
                parcels.iter().map(&mut write).collect()
            }
            Err(e) => parcels.iter().map(|_| Written::Failed(None, failure(&e))).collect(),
        };
        let given_up: Vec<usize> =
            written.iter().filter_map(|w| if let Written::Failed(number, _) = w { *number } else { None }).collect();
        let published = match &self.opened.folder {
            Some(folder) => staging.publish(folder, &given_up),
            None => Vec::new(),
        };
        let at = clock.now();
        let mut alarm = None;
        let mut outcome = |(parcel, written): (&Parcel, Written)| {
            let result = match written {
                Written::Failed(_, failure) => Err(failure),
                Written::Staged(number, octets) => match published.get(number) {
                    Some(Ok(())) => {
                        self.held.add(octets);
                        Ok(Taken {
                            said: format!("written to Drop as {}", file_name(parcel.id, &parcel.recipients)).into(),
                            reports: false,
                        })
                    }
                    Some(Err(e)) => Err(failure(e)),
                    None => Err(failure(&io::ErrorKind::NotFound.into())),
                },
            };
            if let Err(failure) = &result
                && failure.kind == FailureKind::Local
            {
                alarm = Some(failure.text.clone());
            }
            let results = parcel.recipients.iter().map(|i| (*i, result.clone())).collect();
            Outcome { id: parcel.id, host: "drop".into(), at, channel: None, results }
        };
        let outcomes = parcels.iter().zip(written).map(&mut outcome).collect();
        if let Some(text) = alarm {
            self.log
                .alarm(format!("{}: {text} Mail for local domains waits in the queue.", self.opened.path.display()));
        }
        outcomes
    }
}

/// What the quota allows while a batch is written.
struct Room<'f> {
    quota: Option<u64>,
    held: &'f mut Held,
    /// Octets of this batch that are not among those held yet.
    staged: u64,
}

impl Room<'_> {
    /// Is there room for `size` octets more?
    fn admit(&mut self, folder: &Folder, size: u64) -> Result<(), Failure> {
        let Some(quota) = self.quota else { return Ok(()) };
        let held = self.held.before(folder, quota, size.saturating_add(self.staged), Instant::now());
        admit(self.quota, held.map_err(|e| failure(&e))?.saturating_add(self.staged), size)
    }
}

/// Writes one parcel's file under its temporary name, if there is room for it.
fn stage(folder: &Folder, staging: &mut Staging, parcel: &Parcel, room: &mut Room<'_>, store: &Store) -> Written {
    if let Err(failure) = room.admit(folder, parcel.envelope.size) {
        return Written::Failed(None, failure);
    }
    let (number, mut file) = match staging.create(folder, &file_name(parcel.id, &parcel.recipients)) {
        Ok(created) => created,
        Err(e) => return Written::Failed(None, failure(&e)),
    };
    match write(&mut file, parcel, store) {
        Ok(octets) => {
            room.staged += octets;
            Written::Staged(number, octets)
        }
        Err(e) => Written::Failed(Some(number), failure(&e)),
    }
}

/// The file's octets, streamed if they are many; says how many they are.
fn write(file: &mut File, parcel: &Parcel, store: &Store) -> io::Result<u64> {
    let mut content = store.content_blocking(parcel.id, &parcel.place)?;
    let (lines, mut composer) = Composer::new(&parcel.envelope, &parcel.recipients);
    let mut pieces = vec![Bytes::from(lines)];
    let mut octets = 0;
    loop {
        let next = content.next_blocking()?;
        let over = next.is_none();
        match next {
            Some(chunk) => composer.next(chunk, &mut pieces),
            None => composer.finish(&mut pieces),
        }
        octets += write_pieces(file, &mut pieces)?;
        if over {
            return Ok(octets);
        }
    }
}

/// All pieces with as few writes as they need.
pub(super) fn write_pieces(file: &mut File, pieces: &mut Vec<Bytes>) -> io::Result<u64> {
    let total: usize = pieces.iter().map(Bytes::len).sum();
    // Several small pieces in one write; a large one goes out as it is.
    if total <= JOIN_UP_TO {
        file.write_all(&pieces.concat())?;
    } else {
        pieces.iter().try_for_each(|piece| file.write_all(piece))?;
    }
    pieces.clear();
    Ok(total as u64)
}

/// Pieces are joined up to this.
const JOIN_UP_TO: usize = 64 << 10;

/// What a disk's error means for the recipients: always for now.
fn failure(e: &io::Error) -> Failure {
    let (status, words) = match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (EnhancedStatus(4, 3, 1), "The disk of the Drop folder is full.".to_owned())
        }
        _ => (EnhancedStatus(4, 3, 0), format!("The message could not be written to the Drop folder: {e}.")),
    };
    Failure { kind: FailureKind::Local, status, host: None, reply: None, text: words.into() }
}

fn trouble(opened: &Opened, e: &io::Error) -> String {
    format!("The Drop folder {} cannot be used: {e}. Mail for local domains waits in the queue.", opened.path.display())
}
