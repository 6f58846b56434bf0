//! Local delivery: the thread that writes into the Drop and Badmail folders of one virtual server.
//!
//! It takes whatever waits, writes all of it under temporary names, makes it durable with one sync, then visible
//! ([`staging`]), and reports each parcel to the queue as [`Event::Attempted`] and each Badmail job as [`Event::Badmailed`]
//! or [`Event::BadmailFailed`]. Only what is durable is reported as done; a crash before the report writes the same file once more,
//! under the same name.
//!
//! What can go wrong is for now, never for good: a full or read-only disk, a folder without permission, a folder over
//! its quota. The message waits in the queue and is tried again. A folder that somebody has deleted is made again.
//!
//! What the files hold is decided in [`relay::drop`] and [`relay::badmail`]; when to try again, in the queue.
//!
//! IIS: "Drop", "Badmail directory"; Delivery tab, "Local". threats: 2.9, K17, K18.

mod badmail_folder;
mod drop_folder;
pub(crate) mod folder;
mod room;
pub(crate) mod staging;
#[cfg(test)]
mod tests;

pub(crate) use badmail_folder::BadFile;

use crate::clock::Clock;
use crate::log::Log;
use crate::store::Store;
use badmail_folder::BadmailFolder;
use drop_folder::DropFolder;
use folder::Folder;
use relay::badmail::BadmailJob;
use relay::config::VirtualServer;
use relay::parcel::Parcel;
use relay::queue::Event;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Files written before they are synced together.
const BATCH_FILES: usize = 256;
/// Octets written before they are synced together.
const BATCH_OCTETS: u64 = 32 << 20;

/// The way to the thread. Cloning is cheap; the thread ends when the last clone is gone and its work is done.
#[derive(Clone)]
pub struct Local {
    jobs: Sender<Job>,
}

/// Something to do.
enum Job {
    Drop(Parcel),
    Badmail(BadmailJob),
    BadFile(BadFile),
    Configure(Arc<VirtualServer>),
}

impl Local {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        server: &VirtualServer,
        store: Store,
        events: Sender<Event>,
        clock: Clock,
        log: Log,
    ) -> io::Result<Local> {
        let (jobs, inbox) = channel();
        let worker = Worker::new(server, store, events, clock, log);
        thread::Builder::new().name("local".into()).spawn(move || worker.run(&inbox))?;
        Ok(Local { jobs })
    }

    /// Writes the parcel into Drop; [`Event::Attempted`] tells what came of it.
    pub fn drop_into(&self, parcel: Parcel) {
        self.send(Job::Drop(parcel));
    }

    /// Puts the message into Badmail; [`Event::Badmailed`] or [`Event::BadmailFailed`] tells what came of it.
    pub fn badmail(&self, job: BadmailJob) {
        self.send(Job::Badmail(job));
    }

    /// Another configuration holds from now on.
    pub fn configure(&self, server: Arc<VirtualServer>) {
        self.send(Job::Configure(server));
    }

    /// Puts a pickup file that cannot be read into Badmail; it is answered to its sender.
    pub(crate) fn bad_file(&self, file: BadFile) {
        self.send(Job::BadFile(file));
    }

    /// The thread ends after all who send to it, unless it panicked; then the queue keeps what it has, and the log says
    /// why.
    fn send(&self, job: Job) {
        let _ = self.jobs.send(job);
    }
}

/// What the thread has.
struct Worker {
    store: Store,
    events: Sender<Event>,
    clock: Clock,
    drop: DropFolder,
    badmail: BadmailFolder,
}

impl Worker {
    fn new(server: &VirtualServer, store: Store, events: Sender<Event>, clock: Clock, log: Log) -> Worker {
        let drop = DropFolder::new(server, log.clone());
        Worker { store, events, clock, drop, badmail: BadmailFolder::new(server, log) }
    }

    fn run(mut self, inbox: &Receiver<Job>) {
        self.drop.sweep();
        self.badmail.sweep();
        while let Ok(first) = inbox.recv() {
            let mut batch = Batch::default();
            self.add(first, &mut batch);
            while batch.files < BATCH_FILES && batch.octets < BATCH_OCTETS {
                match inbox.try_recv() {
                    Ok(job) => self.add(job, &mut batch),
                    Err(_) => break,
                }
            }
            self.carry_out(batch);
        }
    }

    fn add(&mut self, job: Job, batch: &mut Batch) {
        match job {
            Job::Drop(parcel) => {
                batch.add(1, parcel.envelope.size);
                batch.parcels.push(parcel);
            }
            Job::Badmail(job) => {
                batch.add(3, job.envelope.size);
                batch.badmail.push(job);
            }
            Job::BadFile(file) => {
                batch.add(3, 0);
                batch.bad_files.push(file);
            }
            Job::Configure(server) => {
                self.drop.configure(&server);
                self.badmail.configure(&server);
            }
        }
    }

    /// Nobody listens to an event only if the service is ending; the next start does the job again.
    fn carry_out(&mut self, batch: Batch) {
        if !batch.parcels.is_empty() {
            for outcome in self.drop.write(&batch.parcels, &self.store, &self.clock) {
                let _ = self.events.send(Event::Attempted { connection: None, outcome });
            }
        }
        if !batch.badmail.is_empty() || !batch.bad_files.is_empty() {
            let events = self.badmail.write(batch.badmail, batch.bad_files, &self.store, &self.clock);
            for event in events {
                let _ = self.events.send(event);
            }
        }
    }
}

/// Jobs that are done together.
#[derive(Default)]
struct Batch {
    parcels: Vec<Parcel>,
    badmail: Vec<BadmailJob>,
    bad_files: Vec<BadFile>,
    files: usize,
    octets: u64,
}

impl Batch {
    fn add(&mut self, files: usize, octets: u64) {
        self.files += files;
        self.octets += octets;
    }
}

/// A folder that is opened when it is needed and opened (or made) anew when it has gone.
#[derive(Debug)]
struct Opened {
    path: PathBuf,
    folder: Option<Folder>,
}

impl Opened {
    fn new(path: &Path) -> Opened {
        Opened { path: path.to_owned(), folder: None }
    }

    /// The folder, as it is now.
    fn get(&mut self) -> io::Result<&Folder> {
        if self.folder.as_ref().is_none_or(|folder| !folder.is_in_place()) {
            self.folder = None;
        }
        match &mut self.folder {
            Some(folder) => Ok(folder),
            none => Ok(none.insert(Folder::open(&self.path)?)),
        }
    }

    /// It is another one from now on.
    fn configure(&mut self, path: &Path) {
        if self.path != path {
            *self = Opened::new(path);
        }
    }
}
