//! Writes messages into the Badmail folder, with the reason beside them.
//!
//! A message from the queue becomes three new files. A pickup file that cannot be read is not copied but moved, whole as
//! it is, and gets its reason and properties first: a `.BAD` file without a reason is never seen, not even after a crash.
//! Where Badmail is another disk, it is copied after all, and removed from our folder when the copy is durable.
//!
//! threats: K18, 2.9 ("Badmail: never re-sent").

use super::Opened;
use super::drop_folder::write_pieces;
use super::folder::Folder;
use super::staging::{self, Staging, again};
use crate::clock::Clock;
use crate::log::Log;
use crate::store::{Content, Store, is_lost};
use bytes::Bytes;
use nix::errno::Errno;
use relay::badmail::{BadmailJob, Slip, base_name};
use relay::config::VirtualServer;
use relay::drop::envelope_lines;
use relay::envelope::{Origin, QueueId};
use relay::pickup::Unreadable;
use relay::queue::Event;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// A pickup file that cannot be read as a message, claimed and waiting to be put away.
pub(crate) struct BadFile {
    /// The id that its message would have had: names the files in Badmail.
    pub id: QueueId,
    /// How it was called in Pickup.
    pub origin: Origin,
    /// What is wrong with it.
    pub why: Unreadable,
    /// The folder it lies in now.
    pub folder: Arc<Folder>,
    /// Its name there.
    pub name: OsString,
    /// The open file, to be copied if it cannot be moved.
    pub file: File,
    /// Told when it is put away (then its name is gone from `folder`), or why it could not be.
    pub done: SyncSender<io::Result<()>>,
}

/// The Badmail folder of a virtual server.
pub(super) struct BadmailFolder {
    opened: Opened,
    log: Log,
}

impl BadmailFolder {
    pub fn new(server: &VirtualServer, log: Log) -> BadmailFolder {
        BadmailFolder { opened: Opened::new(&server.messages.badmail), log }
    }

    pub fn configure(&mut self, server: &VirtualServer) {
        self.opened.configure(&server.messages.badmail);
    }

    /// Takes away what a crash left behind.
    pub fn sweep(&mut self) {
        if let Err(e) = self.opened.get().and_then(staging::sweep) {
            self.log.alarm(format!("The Badmail folder {} cannot be used: {e}.", self.opened.path.display()));
        }
    }

    /// Puts everything away; the events tell the queue what came of its jobs.
    pub fn write(&mut self, jobs: Vec<BadmailJob>, files: Vec<BadFile>, store: &Store, clock: &Clock) -> Vec<Event> {
        let mut staging = Staging::default();
        let mut given_up = Vec::new();
        let folder = self.opened.get();
        let staged: Vec<io::Result<Vec<usize>>> = match &folder {
            Ok(folder) => {
                let mut each = |entry: Entry<'_>| entry.stage(folder, &mut staging, &mut given_up, store, clock);
                jobs.iter().map(Entry::Job).chain(files.iter().map(Entry::File)).map(&mut each).collect()
            }
            Err(e) => (0..jobs.len() + files.len()).map(|_| Err(again(e))).collect(),
        };
        let published = match &folder {
            Ok(folder) => staging.publish(folder, &given_up),
            Err(_) => Vec::new(),
        };
        let mut results = staged.into_iter().map(|staged| {
            staged?.into_iter().try_for_each(|number| match published.get(number) {
                Some(Ok(())) => Ok(()),
                Some(Err(e)) => Err(again(e)),
                None => Err(io::ErrorKind::NotFound.into()),
            })
        });
        let of_jobs: Vec<io::Result<()>> = results.by_ref().take(jobs.len()).collect();
        let of_files: Vec<io::Result<()>> = results.collect();
        let of_files = match &folder {
            Ok(folder) => put_away(folder, &files, of_files),
            Err(_) => of_files,
        };
        let trouble = of_jobs.iter().chain(&of_files).find_map(|result| result.as_ref().err());
        if let Some(e) = trouble {
            self.log.alarm(format!(
                "The Badmail folder {} cannot be written: {e}. What belongs there is kept and tried again.",
                self.opened.path.display()
            ));
        }
        for (file, result) in files.into_iter().zip(of_files) {
            // The other end is gone only if the service is ending; the file is found again at the next start.
            let _ = file.done.send(result);
        }
        jobs.into_iter().zip(of_jobs).map(|(job, result)| event(job, result)).collect()
    }
}

fn event(job: BadmailJob, result: io::Result<()>) -> Event {
    let BadmailJob { id, recipients, .. } = job;
    match result {
        Ok(()) => Event::Badmailed { id, recipients },
        Err(e) => Event::BadmailFailed { id, recipients, why: format!("The Badmail folder cannot be written: {e}") },
    }
}

/// Something to put away.
enum Entry<'a> {
    Job(&'a BadmailJob),
    File(&'a BadFile),
}

impl Entry<'_> {
    /// Writes its new files under their temporary names; gives their numbers. What was begun in vain is given up.
    fn stage(
        &self,
        folder: &Folder,
        staging: &mut Staging,
        given_up: &mut Vec<usize>,
        store: &Store,
        clock: &Clock,
    ) -> io::Result<Vec<usize>> {
        let mut numbers = Vec::with_capacity(3);
        let staged = match self {
            Entry::Job(job) => {
                let name = base_name(job.id, &job.recipients);
                let slip = Slip::of_job(job, &name, clock.now());
                // The message last: who sees it finds its reason.
                stage_slip(&slip, folder, staging, &mut numbers)
                    .and_then(|()| stage_message(job, &name, folder, staging, &mut numbers, store))
            }
            Entry::File(file) => {
                let (name, text) = (base_name(file.id, &[]), file.why.to_string());
                let slip = Slip::of_pickup(&file.why, &text, &file.origin, &name, clock.now());
                stage_slip(&slip, folder, staging, &mut numbers)
            }
        };
        if staged.is_err() {
            given_up.append(&mut numbers);
        }
        staged.map(|()| numbers)
    }
}

fn stage_slip(slip: &Slip<'_>, folder: &Folder, staging: &mut Staging, numbers: &mut Vec<usize>) -> io::Result<()> {
    for (extension, text) in [("BDR", slip.reason_text()), ("BDP", slip.properties())] {
        let (number, mut file) = staging.create(folder, &format!("{}.{extension}", slip.name))?;
        numbers.push(number);
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}

/// The message, with lines before it that let Pickup send it to the same recipients again.
fn stage_message(
    job: &BadmailJob,
    name: &str,
    folder: &Folder,
    staging: &mut Staging,
    numbers: &mut Vec<usize>,
    store: &Store,
) -> io::Result<()> {
    let (number, mut file) = staging.create(folder, &bad_name(name))?;
    numbers.push(number);
    let mut pieces = vec![Bytes::from(envelope_lines(&job.envelope, &job.recipients))];
    let mut content = match store.content_blocking(job.id, &job.place) {
        // What is left of the message is its envelope and the reason.
        Err(error) if is_lost(&error) => Content::from(Bytes::new()),
        content => content?,
    };
    while let Some(chunk) = content.next_blocking()? {
        pieces.push(chunk);
        write_pieces(&mut file, &mut pieces)?;
    }
    write_pieces(&mut file, &mut pieces)?;
    Ok(())
}

/// Moves the pickup files whose reasons are durable, and makes that durable too.
fn put_away(folder: &Folder, files: &[BadFile], reasons: Vec<io::Result<()>>) -> Vec<io::Result<()>> {
    if files.is_empty() {
        return reasons;
    }
    let mut results: Vec<io::Result<()>> =
        files.iter().zip(reasons).map(|(file, reason)| reason.and_then(|()| move_or_copy(folder, file))).collect();
    if let Err(e) = folder.sync_names() {
        for result in &mut results {
            *result = Err(again(&e));
        }
    }
    results
}

fn move_or_copy(folder: &Folder, bad: &BadFile) -> io::Result<()> {
    let name = bad_name(&base_name(bad.id, &[]));
    match bad.folder.rename(&bad.name, folder, OsStr::new(&name)) {
        Err(e) if e.raw_os_error() == Some(Errno::EXDEV as i32) => {}
        moved => return moved,
    }
    let mut staging = Staging::default();
    let (_, mut copy) = staging.create(folder, &name)?;
    let copied = copy_whole(&bad.file, &mut copy);
    let given_up: &[usize] = if copied.is_ok() { &[] } else { &[0] };
    let published = staging.publish(folder, given_up).into_iter().next().unwrap_or(Ok(()));
    copied.and(published)?;
    bad.folder.remove(&bad.name)
}

/// From its beginning, wherever it has been read to.
fn copy_whole(from: &File, to: &mut File) -> io::Result<()> {
    let mut from = from.try_clone()?;
    io::Seek::rewind(&mut from)?;
    io::copy(&mut from, to).map(drop)
}

fn bad_name(name: &str) -> String {
    format!("{name}.BAD")
}
