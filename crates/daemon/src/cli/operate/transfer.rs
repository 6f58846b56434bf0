//! `mailroot queue export` and `import`: messages carried out of a queue into a file, and in again.
//!
//! Without `--remove` messages stay in the queue and are delivered: the file is a copy. With it they are held first, written, made durable,
//! and deleted after; what is under way meanwhile stays where it is, so that no message is in both places or in none.

use super::progress::Progress;
use super::queue::{Sieve, doing, messages};
use super::table::lines;
use super::{Desk, Failure, Place, complain, run};
use crate::control::ExportOrder;
use clap::Args;
use relay::admin::archive::{Item, Part, Reader, SUMMARY_NAME, member};
use relay::admin::view::Outcome;
use relay::admin::{Command, Filter, QueueVerb, Which};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ids of one order.
const IDS_AT_ONCE: usize = 10_000;
/// How long attempts that are under way are waited for before messages are carried out for good.
const UNDER_WAY: Duration = Duration::from_secs(60);
/// How often it is looked whether attempts are still under way.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Args, Debug)]
pub(in crate::cli) struct Export {
    /// The archive (tar) to write; - is standard output
    file: PathBuf,
    /// Ids of messages; or choose by the options
    ids: Vec<String>,
    #[command(flatten)]
    sieve: Sieve,
    /// All messages that wait
    #[arg(long)]
    all: bool,
    /// Take them out of the queue when the file is safe on the disk
    #[arg(long)]
    remove: bool,
    /// Do it without a question
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Import {
    /// The archive that an export has written; - is standard input
    file: PathBuf,
    /// They wait until an operator releases them
    #[arg(long)]
    hold: bool,
    /// Those, too, that were carried in before or are in the queue
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn export(wanted: &Export) -> ExitCode {
    let Export { file, ids, sieve, all, remove, yes, .. } = wanted;
    let (file, ids, filter, all, remove, yes) = (file.clone(), ids.clone(), sieve.filter(), *all, *remove, *yes);
    run(&wanted.place, |desk| async move {
        let chosen = [!ids.is_empty(), filter != Filter::default(), all].iter().filter(|given| **given).count();
        if chosen != 1 {
            return Err(Failure::Text("Which messages? Name their ids, or choose them by options, or --all.".into()));
        }
        let which = if ids.is_empty() { Which::Matching(filter) } else { Which::Ids(ids) };
        if remove {
            carry_out(&desk, &file, which, yes).await
        } else {
            let copied = copy(&desk, &file, ExportOrder { which, as_queued: Vec::new() }).await?;
            told(&desk, &file, &copied, "written; they stay in the queue, so that importing them makes second copies");
            Ok(())
        }
    })
}

/// Holds, writes, deletes.
async fn carry_out(desk: &Desk, file: &Path, which: Which, yes: bool) -> Result<(), Failure> {
    if file == Path::new("-") {
        return Err(Failure::Text(
            "--remove needs a file that can be made safe on the disk, not standard output.".into(),
        ));
    }
    let all = states(desk, &which).await?;
    if all.is_empty() {
        return Err(Failure::Text("There are no such messages.".into()));
    }
    if !yes {
        desk.confirmed(&format!("{} messages are taken out of the queue", all.len()))?;
    }
    let ours: Vec<String> = all.iter().filter(|(_, state)| state != "held").map(|(id, _)| id.clone()).collect();
    // First, so that no signal finds them held and nobody who releases them.
    let mut signals = Signals::new()?;
    let ids = all.into_iter().map(|(id, _)| id).collect();
    // The order to hold is waited for in any case: one that comes behind the release would hold them for good.
    let written = match order(desk, QueueVerb::Hold, &ours).await {
        Err(failure) => Err(failure),
        Ok(_) => tokio::select! {
            biased;
            () = signals.any() => Err(Failure::Text("Interrupted; nothing was taken out of the queue.".into())),
            written = rested_and_written(desk, file, &which, ids, &ours) => written,
        },
    };
    let (copied, busy) = match written {
        Ok(written) => written,
        Err(failure) => {
            let_go(desk, &ours, &mut signals).await;
            return Err(failure);
        }
    };
    // From here on a signal changes nothing: what is deleted is in the file.
    let deleted = order(desk, QueueVerb::Delete, &copied.ids).await;
    let in_file: HashSet<&str> = copied.ids.iter().map(String::as_str).collect();
    let rest: Vec<String> = ours.iter().filter(|id| !in_file.contains(id.as_str())).cloned().collect();
    let all_free = let_go(desk, &rest, &mut signals).await;
    let left = copied.ids.len() as u64 - deleted.as_ref().map_or(0, |deleted| *deleted).min(copied.ids.len() as u64);
    if deleted.is_ok() {
        told(desk, file, &copied, "written and taken out of the queue");
    }
    if busy > 0 {
        complain(&format!("{busy} messages were being sent: they are not in the file and stay in the queue.\n"));
    }
    if left > 0 {
        complain(&format!(
            "{left} messages in the file may still be in the queue, held. See mailroot queue list --held, and delete \
             them there or do not import them.\n"
        ));
    }
    deleted?;
    if left == 0 && all_free { Ok(()) } else { Err(Failure::Told(ExitCode::FAILURE)) }
}

/// Writes what rests of these, which are held; how many do not.
async fn rested_and_written(
    desk: &Desk,
    file: &Path,
    which: &Which,
    mut ids: Vec<String>,
    ours: &[String],
) -> Result<(Copied, usize), Failure> {
    let busy = rested(desk, which).await?;
    let all = ids.len();
    ids.retain(|id| !busy.contains(id));
    let busy = all - ids.len();
    let copied = copy(desk, file, ExportOrder { which: Which::Ids(ids), as_queued: ours.to_vec() }).await?;
    Ok((copied, busy))
}

/// Releases what was held for the carrying alone, and tells if some of it may be held still.
async fn let_go(desk: &Desk, ours: &[String], signals: &mut Signals) -> bool {
    if ours.is_empty() {
        return true;
    }
    let released = async {
        order(desk, QueueVerb::Release, ours).await?;
        states(desk, &Which::Ids(ours.to_vec())).await
    };
    // A second signal: he will not wait.
    let released = tokio::select! {
        () = signals.any() => None,
        released = released => released.ok(),
    };
    let held = released.map(|states| states.iter().filter(|(_, state)| state == "held").count());
    if held != Some(0) {
        let held = held.unwrap_or(ours.len());
        complain(&format!(
            "{held} messages may be held still: see mailroot queue list --held, and mailroot queue release.\n"
        ));
    }
    held == Some(0)
}

/// What ends a command early.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let on = |kind| signal(kind).map_err(|error| Failure::Text(format!("The system gives no signals: {error}.")));
        Ok(Signals([on(SignalKind::interrupt())?, on(SignalKind::terminate())?, on(SignalKind::hangup())?]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The messages that are meant, and how each stands.
async fn states(desk: &Desk, which: &Which) -> Result<Vec<(String, String)>, Failure> {
    let filter = match which {
        Which::Matching(filter) => filter.clone(),
        Which::Ids(_) => Filter::default(),
    };
    let found = messages(desk, &filter, u64::MAX).await?.0;
    let mut all: Vec<(String, String)> = found.into_iter().map(|message| (message.id, message.state)).collect();
    if let Which::Ids(ids) = which {
        let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
        all.retain(|(id, _)| wanted.contains(id.as_str()));
    }
    Ok(all)
}

/// Waits until nothing of it is under way; gives what still is.
async fn rested(desk: &Desk, which: &Which) -> Result<HashSet<String>, Failure> {
    let until = Instant::now() + UNDER_WAY;
    loop {
        let now = states(desk, which).await?;
        let busy: HashSet<String> =
            now.into_iter().filter(|(_, state)| state == "sending" || state == "reporting").map(|(id, _)| id).collect();
        if busy.is_empty() || Instant::now() > until {
            return Ok(busy);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Gives an order about these; how many it concerned.
async fn order(desk: &Desk, verb: QueueVerb, ids: &[String]) -> Result<u64, Failure> {
    let mut done = 0;
    for ids in ids.chunks(IDS_AT_ONCE) {
        let which = Which::Ids(ids.to_vec());
        let command = Command::Queue { server: desk.server.clone(), verb, which };
        done += desk.carried_out(&command, doing(verb), Some(ids.len() as u64)).await?.count;
    }
    Ok(done)
}

/// What was written.
#[derive(Default)]
struct Copied {
    ids: Vec<String>,
    octets: u64,
    summary: String,
}

/// Writes the archive; a file is new, and durable when this returns.
async fn copy(desk: &Desk, file: &Path, order: ExportOrder) -> Result<Copied, Failure> {
    let mut target: Box<dyn Write> = Box::new(io::stdout().lock());
    let mut made = None;
    if file != Path::new("-") {
        let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
        let new = new.map_err(|error| Failure::Text(format!("{} cannot be made: {error}.", file.display())))?;
        made = Some(new.try_clone().map_err(|error| Failure::Text(format!("{}: {error}.", file.display())))?);
        target = Box::new(new);
    }
    let mut unfinished = Unfinished(made.is_some().then_some(file));
    let copied = receive(desk, &order, &mut *target).await;
    let safe = copied.and_then(|copied| {
        let synced = match &made {
            Some(made) => made.sync_all().and_then(|()| sync_name(file)),
            None => target.flush(),
        };
        synced.map_err(|error| Failure::Text(format!("{} cannot be written: {error}.", file.display())))?;
        Ok(copied)
    });
    if safe.is_ok() {
        unfinished.0 = None;
    }
    safe
}

/// A file that is removed again, unless it is finished.
struct Unfinished<'f>(Option<&'f Path>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Makes durable that the file is where it is.
fn sync_name(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

async fn receive(desk: &Desk, order: &ExportOrder, target: &mut dyn Write) -> Result<Copied, Failure> {
    let mut reader = Reader::default();
    let mut copied = Copied::default();
    let mut progress = Progress::new("Exporting", desk.json);
    let all = if progress.is_shown() { counted(desk, &order.which).await } else { None };
    let mut last = String::new();
    let mut damage = None;
    let each = |octets: &[u8]| -> io::Result<()> {
        target.write_all(octets)?;
        copied.octets += octets.len() as u64;
        reader.feed(octets);
        loop {
            match reader.item() {
                Ok(None) => break,
                Ok(Some(Item::Begin { name, .. })) => {
                    if let Some((id, Part::Content)) = member(&name) {
                        copied.ids.push(id.to_string());
                    }
                    last = name;
                }
                Ok(Some(Item::Data(data))) if last == SUMMARY_NAME => {
                    copied.summary.push_str(&String::from_utf8_lossy(&data));
                }
                Ok(Some(_)) => {}
                Err(why) => {
                    damage = Some(why);
                    break;
                }
            }
        }
        let (done, of) = (copied.ids.len(), all.map(|all| format!(" of {all}")).unwrap_or_default());
        progress.tell(done as u64, all, &format!("{done}{of} messages, {} MB", copied.octets / 1_000_000));
        Ok(())
    };
    desk.client.download(&desk.address("/queue-export"), order, each).await?;
    drop(progress);
    let whole = damage.is_none() && reader.finish().is_ok() && !copied.summary.is_empty();
    if whole { Ok(copied) } else { Err(Failure::Text("The service broke off; nothing was kept of the file.".into())) }
}

/// How many messages are meant, for the bar.
async fn counted(desk: &Desk, which: &Which) -> Option<u64> {
    let which = which.clone();
    let command = Command::Queue { server: desk.server.clone(), verb: QueueVerb::Retry, which };
    desk.client.command(&command, true).await.ok().map(|preview| preview.count)
}

fn told(desk: &Desk, file: &Path, copied: &Copied, what: &str) {
    let text = format!("{} messages {what}", copied.ids.len());
    let skipped: Vec<String> =
        copied.summary.lines().skip_while(|line| !line.starts_with("Not here")).skip(1).map(lines).collect();
    let outcome = Outcome { text, count: copied.ids.len() as u64, troubles: skipped, ..Outcome::default() };
    if file == Path::new("-") {
        complain(&format!("{}\n", outcome.text));
    } else {
        desk.tell(&outcome);
    }
}

pub(super) fn import(wanted: &Import) -> ExitCode {
    let Import { file, hold, again, .. } = wanted;
    let (file, hold, again) = (file.clone(), *hold, *again);
    run(&wanted.place, |desk| async move {
        let mut all = None;
        let source: Box<dyn Read + Send> = if file == Path::new("-") {
            Box::new(io::stdin())
        } else {
            let open = File::open(&file);
            let open = open.map_err(|error| Failure::Text(format!("{} cannot be read: {error}.", file.display())))?;
            all = open.metadata().ok().map(|data| data.len()).filter(|len| *len > 0);
            Box::new(open)
        };
        let mut progress = Progress::new("Importing", desk.json);
        let of = all.map(|all| format!(" of {}", all / 1_000_000)).unwrap_or_default();
        let sent = move |octets: u64| progress.tell(octets, all, &format!("{}{of} MB", octets / 1_000_000));
        let address = desk.address(&format!("/queue-import?hold={hold}&again={again}"));
        let outcome: Outcome = desk.client.upload(&address, source, sent).await?;
        desk.tell(&outcome);
        if outcome.troubles.is_empty() { Ok(()) } else { Err(Failure::Told(ExitCode::FAILURE)) }
    })
}
