//! Badmail, Drop and Pickup for operators: list, look, requeue, delete.
//!
//! All of it waits for the disk, on threads of its own; orders about files are carried out one after the other, so that a message that
//! two operators requeue at the same time goes once.

mod requeue;
mod shelf;

pub(super) use shelf::Shelf;

use super::{Control, Fault};
use crate::service::Site;
use relay::admin::content::{self, CONTENT_READ_MAX};
use relay::admin::view::{ContentView, FileView, Outcome, Page};
use relay::admin::{Command, FolderName, FolderVerb, Operator, Sight, may_see};
use shelf::beginning;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// Messages on one page.
pub const FILES_PAGE_MAX: usize = 1_000;
/// Messages that one command names.
pub const FILES_NAMED_MAX: usize = 10_000;
/// Troubles that an outcome tells one by one.
const TROUBLES_TOLD: usize = 100;

/// A message in a folder as it lies there.
pub struct RawFile {
    /// The file, from its beginning.
    pub file: File,
    /// Octets.
    pub size: u64,
}

impl Control {
    /// Messages of a folder in the order of their names; `after`: those behind this name.
    ///
    /// # Errors
    /// He may not see them, there is no such virtual server, or the folder cannot be read.
    pub async fn files(
        &self,
        by: &Operator,
        server: &str,
        folder: FolderName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<FileView>, Fault> {
        may_see(by, Sight::Operation, Some(server))?;
        let (site, after) = (self.site(server).await?, after.map(str::to_owned));
        let limit = limit.clamp(1, FILES_PAGE_MAX);
        let page = self.on_a_thread(move || -> io::Result<Page<FileView>> {
            let Some(shelf) = Shelf::open(&site.server, folder)? else {
                return Ok(Page { items: Vec::new(), total: Some(0), next: None });
            };
            let found = shelf.names(after.as_deref(), limit)?;
            let next = found.names.last().filter(|_| found.more).cloned();
            let items = found.names.iter().filter_map(|name| shelf.line(name)).collect();
            Ok(Page { items, total: found.total, next })
        });
        page.await?.map_err(|error| unreadable(&error))
    }

    /// What a message in a folder says, and of one in Badmail, why it is there. Whoever may not read messages gets its header alone.
    ///
    /// # Errors
    /// He may not see it, or there is no such message.
    pub async fn file_content(
        &self,
        by: &Operator,
        server: &str,
        folder: FolderName,
        name: &str,
    ) -> Result<ContentView, Fault> {
        may_see(by, Sight::Operation, Some(server))?;
        let whole = may_see(by, Sight::Content, Some(server)).is_ok();
        let (site, name) = (self.site(server).await?, name.to_owned());
        let look = move || {
            let shelf = open(&site, folder, &name)?;
            let (file, look) = shelf.open_message(&name)?;
            let head = beginning(&file, CONTENT_READ_MAX).map_err(|error| unreadable(&error))?;
            let view = if whole { content::view } else { content::header_view };
            Ok(ContentView { why: shelf.why(&name), ..view(&name, look.size, &head) })
        };
        self.on_a_thread(look).await?
    }

    /// A message in a folder as it lies there.
    ///
    /// # Errors
    /// He may not read messages, or there is no such message.
    pub async fn file_raw(
        &self,
        by: &Operator,
        server: &str,
        folder: FolderName,
        name: &str,
    ) -> Result<RawFile, Fault> {
        may_see(by, Sight::Content, Some(server))?;
        let (site, name) = (self.site(server).await?, name.to_owned());
        self.on_a_thread(move || opened(&site, folder, &name).map(|(file, size)| RawFile { file, size })).await?
    }
}

fn open(site: &Site, folder: FolderName, name: &str) -> Result<Shelf, Fault> {
    let absent = || Fault::NotFound(format!("message \"{name}\" in this folder"));
    Shelf::open(&site.server, folder).map_err(|error| unreadable(&error))?.ok_or_else(absent)
}

fn opened(site: &Site, folder: FolderName, name: &str) -> Result<(File, u64), Fault> {
    let (file, look) = open(site, folder, name)?.open_message(name)?;
    Ok((file, look.size))
}

/// Carries out a command about files; `None`: it is another's.
pub(super) async fn carry_out(control: &Control, command: &Command, dry_run: bool) -> Option<Result<Outcome, Fault>> {
    let Command::Folder { server, folder, verb, names } = command else { return None };
    Some(order(control, server, *folder, *verb, names, dry_run).await)
}

async fn order(
    control: &Control,
    server: &str,
    folder: FolderName,
    verb: FolderVerb,
    names: &[String],
    dry_run: bool,
) -> Result<Outcome, Fault> {
    if verb == FolderVerb::Requeue && folder != FolderName::Badmail {
        return Err(Fault::invalid("only a message in Badmail can be put into the queue again"));
    }
    if names.is_empty() || names.len() > FILES_NAMED_MAX {
        return Err(Fault::invalid(format!("name one to {FILES_NAMED_MAX} messages, as the list has them")));
    }
    let site = control.site(server).await?;
    if dry_run {
        let text = format!("{} messages are named", names.len());
        return Ok(Outcome { text, count: names.len() as u64, ..Outcome::default() });
    }
    let alone = Arc::clone(&control.house.work.files).lock_owned().await;
    let (names, now): (Arc<[String]>, _) = (names.into(), control.house.clock.now());
    let done = control.on_a_thread(move || -> io::Result<Outcome> {
        // Kept until all is done, even if whoever asked has gone away meanwhile.
        let _alone = alone;
        let shelf = Shelf::open(&site.server, folder)?.ok_or(io::ErrorKind::NotFound)?;
        let mut tally = Tally::default();
        match verb {
            FolderVerb::Delete => names.iter().for_each(|name| match shelf.remove(name) {
                Ok(()) => tally.done += 1,
                Err(fault) => tally.failed(name, &fault.to_string()),
            }),
            FolderVerb::Requeue => names.iter().for_each(|name| match requeue::requeue(&shelf, name, &site, now) {
                Ok(requeued) => {
                    tally.done += 1;
                    if let Some(why) = requeued.left {
                        let id = requeued.id;
                        tally.told(format!(
                            "{name}: it is in the queue as {id} but still lies in Badmail ({why}): remove it there, or it may be sent twice"
                        ));
                    }
                }
                Err(why) => tally.failed(name, &why),
            }),
        }
        shelf.folder().sync_names()?;
        Ok(tally.outcome(verb))
    });
    done.await?.map_err(|error| unreadable(&error))
}

#[derive(Default)]
struct Tally {
    done: u64,
    failed: u64,
    troubles: Vec<String>,
}

impl Tally {
    fn failed(&mut self, name: &str, why: &str) {
        self.failed += 1;
        self.told(format!("{name}: {why}"));
    }

    fn told(&mut self, text: String) {
        if self.troubles.len() < TROUBLES_TOLD {
            self.troubles.push(text);
        }
    }

    fn outcome(self, verb: FolderVerb) -> Outcome {
        let word = match verb {
            FolderVerb::Requeue => "put into the queue again",
            FolderVerb::Delete => "deleted",
        };
        let mut text = format!("{} messages {word}", self.done);
        if self.failed > 0 {
            text.push_str(&format!("; {} were left as they are", self.failed));
        }
        Outcome { text, count: self.done, troubles: self.troubles, ..Outcome::default() }
    }
}

fn unreadable(error: &io::Error) -> Fault {
    Fault::Unavailable(format!("the folder cannot be read or written: {error}"))
}
