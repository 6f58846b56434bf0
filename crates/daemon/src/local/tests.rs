//! The Drop and Badmail folders on this machine's disk.

use super::*;
use relay::badmail::BadmailReason;
use relay::config::Config;
use relay::envelope::{Envelope, Failure, FailureKind, Origin, QueueId, Recipient};
use relay::parcel::{Outcome, Place, Taken};
use relay::pickup::Unreadable;
use relay::route::{Hosts, NextHop, Protocol};
use smtp::address::{Mailbox, ReversePath};
use smtp::reply::EnhancedStatus;
use smtp::time::Timestamp;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CONTENT: &str = "Received: here\r\nSubject: hello\r\n\r\n.\r\nbody\r\n";
const ID: QueueId = QueueId(0x0006_4d2f_1f0a_9c00);

struct Home {
    folder: TempDir,
    local: Local,
    store: Store,
    events: Receiver<Event>,
}

/// A home with a local thread; `more` is added to the virtual server's configuration.
fn home(more: &str) -> Home {
    let folder = tempfile::tempdir().unwrap();
    home_in(folder, more)
}

fn home_in(folder: TempDir, more: &str) -> Home {
    let text = format!("[[virtual_server]]\nname = \"test\"\nhome = \"home\"\n{more}");
    let path = folder.path().join("mailroot.toml");
    let config =
        Config::parse(&text, &path.to_string_lossy(), "relay.example.com").map_err(|p| format!("{p:?}")).unwrap();
    let server = &config.servers[0];
    let (sender, events) = channel();
    let (store, _) = Store::open(server, sender.clone()).unwrap();
    let local = Local::start(server, store.clone(), sender, Clock::start(), Log::nowhere()).unwrap();
    Home { folder, local, store, events }
}

impl Home {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("home").join(name)
    }

    fn names(&self, folder: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    fn outcome(&self) -> Outcome {
        match self.event() {
            Event::Attempted { connection: None, outcome } => outcome,
            event => panic!("{event:?}"),
        }
    }

    fn event(&self) -> Event {
        loop {
            match self.events.recv_timeout(Duration::from_secs(20)).unwrap() {
                // The store's own words about its empty folder.
                Event::FoundAll => {}
                event => return event,
            }
        }
    }

    /// The only result of the next outcome.
    fn result(&self) -> Result<Taken, Failure> {
        self.outcome().results.pop().unwrap().1
    }
}

fn envelope(recipients: &[&str], size: u64) -> Arc<Envelope> {
    let recipient = |address: &&str| Recipient::new(Mailbox::parse(address).unwrap(), Timestamp(0));
    let recipients = recipients.iter().map(recipient).collect();
    let sender = ReversePath::Mailbox(Mailbox::parse("app@example.com").unwrap());
    let (origin, arrived) = (Origin::Pickup { file: "x".into() }, Timestamp(1_795_330_800_123));
    Arc::new(Envelope { size, ..Envelope::new(sender, recipients, origin, arrived) })
}

fn memory(content: &[u8]) -> Place {
    let len = u32::try_from(content.len()).unwrap();
    Place::Journal { segment: 1, offset: 0, len, memory: Some(content.to_vec().into()) }
}

fn parcel(id: QueueId, content: &str) -> Parcel {
    let hop = NextHop::plain(Hosts::Listed(Vec::new()), Protocol::Esmtp);
    Parcel {
        id,
        envelope: envelope(&["alice@example.com", "far@example.net", "bob@example.com"], content.len() as u64),
        recipients: vec![0, 2],
        place: memory(content.as_bytes()),
        hop: Arc::new(hop),
    }
}

fn job(id: QueueId, recipients: &[u32]) -> BadmailJob {
    BadmailJob {
        id,
        envelope: envelope(&["alice@example.com", "bob@example.com", "carol@example.com"], CONTENT.len() as u64),
        place: memory(CONTENT.as_bytes()),
        recipients: recipients.to_vec(),
        reason: BadmailReason::NdrOfDsn,
        text: "nobody wants it".to_owned(),
    }
}

#[test]
fn a_parcel_becomes_one_file() {
    let home = home("");
    home.local.drop_into(parcel(ID, CONTENT));
    let outcome = home.outcome();
    assert_eq!((outcome.id, &*outcome.host), (ID, "drop"));
    assert_eq!(outcome.results.iter().map(|(i, r)| (*i, r.is_ok())).collect::<Vec<_>>(), [(0, true), (2, true)]);
    let file = fs::read_to_string(home.path("Drop").join(format!("{ID}.eml"))).unwrap();
    assert!(file.starts_with("x-sender: app@example.com\r\nx-receiver: alice@example.com\r\nx-receiver: bob@example.com\r\nReceived: here\r\n"));
    assert!(file.contains("\r\nReturn-Path: app@example.com\r\nX-OriginalArrivalTime: "));
    assert!(file.ends_with("\r\n\r\n.\r\nbody\r\n"));
    assert_eq!(home.names("Drop").len(), 1, "nothing temporary is left");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(home.path("Drop").join(format!("{ID}.eml"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "mail is not for everybody");
    }
}

#[test]
fn many_parcels_are_written_together_and_each_is_answered() {
    let home = home("");
    let begin = Instant::now();
    for n in 0..500 {
        home.local.drop_into(parcel(QueueId(ID.0 + n), &format!("Subject: {n}\r\n\r\n{n}\r\n")));
    }
    for n in 0..500 {
        let outcome = home.outcome();
        assert_eq!(outcome.id, QueueId(ID.0 + n));
        assert!(outcome.results.iter().all(|(_, r)| r.is_ok()));
    }
    assert_eq!(home.names("Drop").len(), 500);
    // One sync for each file would take this disk seconds; a generous bound, because others use it too.
    eprintln!("500 files in {:?}", begin.elapsed());
}

#[test]
fn a_large_message_is_streamed_from_its_file() {
    let home = home("");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let id = home.store.begin().unwrap();
    let body = "0123456789abcdef\r\n".repeat(200_000);
    let mut incoming = home.store.incoming(id);
    let mut envelope = envelope(&["alice@example.com"], 0);
    runtime.block_on(async {
        incoming.append("Subject: large\r\n\r\n".into()).await.unwrap();
        incoming.append(body.clone().into()).await.unwrap();
        Arc::make_mut(&mut envelope).size = incoming.len();
        let _ = home.store.commit(incoming, (*envelope).clone()).await.unwrap();
    });
    let Event::Accepted(accepted) = home.event() else { panic!() };
    assert!(matches!(accepted[0].place, Place::File));
    let parcel = Parcel { id, envelope, recipients: vec![0], place: Place::File, hop: parcel(id, "").hop };
    home.local.drop_into(parcel);
    assert!(home.result().is_ok());
    let file = fs::read_to_string(home.path("Drop").join(format!("{id}.eml"))).unwrap();
    assert!(file.ends_with(&body));
    assert!(file.contains("Subject: large\r\nReturn-Path: "));
}

#[test]
fn over_the_quota_it_waits_until_somebody_makes_room() {
    let home = home("[[virtual_server.domain]]\nname = \"example.com\"\nkind = \"default\"\nquota = \"2 KB\"\n");
    let content = format!("Subject: x\r\n\r\n{}\r\n", "y".repeat(800));
    home.local.drop_into(parcel(QueueId(1), &content));
    assert!(home.result().is_ok());
    home.local.drop_into(parcel(QueueId(2), &content));
    home.local.drop_into(parcel(QueueId(3), &content));
    let results: Vec<_> = (0..2).map(|_| home.result()).collect();
    let refused = results.iter().filter_map(|r| r.as_ref().err()).next_back().unwrap();
    assert_eq!((refused.kind, refused.status), (FailureKind::Quota, EnhancedStatus(4, 2, 2)));
    assert!(!home.names("Drop").contains("0000000000000003.eml"));
    fs::remove_file(home.path("Drop/0000000000000001.eml")).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        home.local.drop_into(parcel(QueueId(3), &content));
        match home.result() {
            Ok(_) => break,
            Err(failure) => assert_eq!(failure.kind, FailureKind::Quota),
        }
        assert!(Instant::now() < until, "the room that was made is never seen");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_folder_that_was_deleted_is_made_again() {
    let home = home("");
    home.local.drop_into(parcel(QueueId(1), CONTENT));
    home.local.badmail(job(QueueId(1), &[0]));
    assert!(home.result().is_ok());
    assert!(matches!(home.event(), Event::Badmailed { .. }));
    fs::remove_dir_all(home.path("Drop")).unwrap();
    fs::remove_dir_all(home.path("Badmail")).unwrap();
    home.local.drop_into(parcel(QueueId(2), CONTENT));
    assert!(home.result().is_ok());
    home.local.badmail(job(QueueId(2), &[0]));
    assert!(matches!(home.event(), Event::Badmailed { .. }));
    assert_eq!(home.names("Drop"), ["0000000000000002.eml".to_owned()].into());
    assert_eq!(home.names("Badmail").len(), 3);
}

#[test]
fn what_cannot_be_written_is_for_now_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("home")).unwrap();
    fs::write(folder.path().join("home/Drop"), "a file where the folder should be").unwrap();
    fs::write(folder.path().join("home/Badmail"), "another").unwrap();
    let home = home_in(folder, "");
    home.local.drop_into(parcel(ID, CONTENT));
    let failure = home.result().unwrap_err();
    assert_eq!((failure.kind, failure.status.0), (FailureKind::Local, 4));
    assert!(!failure.text.contains("home"), "the sender does not hear of our paths: {}", failure.text);
    home.local.badmail(job(ID, &[0, 1]));
    let Event::BadmailFailed { id, recipients, why } = home.event() else { panic!() };
    assert_eq!((id, recipients.as_slice()), (ID, &[0, 1][..]));
    assert!(!why.is_empty());
    fs::remove_file(home.path("Drop")).unwrap();
    home.local.drop_into(parcel(ID, CONTENT));
    assert!(home.result().is_ok());
}

#[test]
fn content_that_cannot_be_read_harms_nobody_else() {
    let home = home("");
    let mut lost = parcel(QueueId(1), CONTENT);
    lost.place = Place::File;
    let mut lost_too = job(QueueId(1), &[0]);
    lost_too.place = Place::File;
    home.local.badmail(lost_too);
    home.local.drop_into(lost);
    home.local.drop_into(parcel(QueueId(2), CONTENT));
    home.local.badmail(job(QueueId(2), &[0]));
    let (mut good, mut bad) = (0, 0);
    for _ in 0..4 {
        match home.event() {
            Event::Attempted { outcome, .. } if outcome.results[0].1.is_ok() => good += 1,
            // Nothing will bring its content back: the envelope and the reason go to Badmail.
            Event::Badmailed { .. } => good += 1,
            Event::Attempted { outcome, .. } => {
                assert_eq!(outcome.id, QueueId(1));
                bad += 1;
            }
            event => panic!("{event:?}"),
        }
    }
    assert_eq!((good, bad), (3, 1));
    assert_eq!(home.names("Drop"), ["0000000000000002.eml".to_owned()].into());
    assert_eq!(home.names("Badmail").len(), 6);
}

#[test]
fn what_a_crash_left_half_written_is_swept_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let drop = folder.path().join("home/Drop");
    fs::create_dir_all(&drop).unwrap();
    let others = [".hidden", ".x.tmp", "0000000000000001.eml", ".0000000000000001.eml", "0000000000000001.eml.tmp"];
    for name in others.iter().chain(&[".0000000000000001.eml.tmp", ".0000000000000002-7.eml.tmp"]) {
        fs::write(drop.join(name), "x").unwrap();
    }
    let home = home_in(folder, "");
    home.local.drop_into(parcel(QueueId(9), CONTENT));
    assert!(home.result().is_ok());
    let mut expected: BTreeSet<String> = others.iter().map(|s| (*s).to_owned()).collect();
    expected.insert("0000000000000009.eml".to_owned());
    assert_eq!(home.names("Drop"), expected);
}

#[test]
fn a_job_done_twice_has_one_set_of_files_and_each_group_its_own() {
    let home = home("");
    for recipients in [&[0, 1][..], &[0, 1], &[2]] {
        home.local.badmail(job(ID, recipients));
        assert!(matches!(home.event(), Event::Badmailed { id: ID, .. }));
    }
    let expected: BTreeSet<String> =
        ["", "-2"].iter().flat_map(|n| ["BAD", "BDP", "BDR"].map(|extension| format!("{ID}{n}.{extension}"))).collect();
    assert_eq!(home.names("Badmail"), expected);
    let bad = fs::read_to_string(home.path("Badmail").join(format!("{ID}-2.BAD"))).unwrap();
    assert_eq!(bad, format!("x-sender: app@example.com\r\nx-receiver: carol@example.com\r\n{CONTENT}"));
    let reason = fs::read_to_string(home.path("Badmail").join(format!("{ID}-2.BDR"))).unwrap();
    assert!(reason.contains("nobody wants it\r\n"));
}

/// A claimed file that cannot be read, and where the answer comes.
fn bad_file(home: &Home) -> (BadFile, Receiver<io::Result<()>>) {
    let claimed = Arc::new(Folder::open(&home.path("Queue/claimed")).unwrap());
    let name = OsString::from("0000000000000005.1.0.0.x.eml");
    fs::write(claimed.path().join(&name), "To: nobody\n\n").unwrap();
    let file = claimed.open_file(&name).unwrap();
    let (done, answer) = sync_channel(1);
    let origin = Origin::Pickup { file: "x.eml".into() };
    (BadFile { id: QueueId(5), origin, why: Unreadable::NoFrom, folder: claimed, name, file, done }, answer)
}

#[test]
fn a_bad_pickup_file_is_moved_as_it_is() {
    let home = home("");
    let (file, answer) = bad_file(&home);
    home.local.bad_file(file);
    answer.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
    assert_eq!(fs::read_to_string(home.path("Badmail/0000000000000005.BAD")).unwrap(), "To: nobody\n\n");
    assert!(fs::read_to_string(home.path("Badmail/0000000000000005.BDR")).unwrap().contains("0xC00402CE"));
    assert_eq!(home.names("Badmail").len(), 3);
    assert!(home.names("Queue/claimed").is_empty());
    let told = home.events.try_iter().filter(|event| !matches!(event, Event::FoundAll)).count();
    assert_eq!(told, 0, "the queue knows nothing of it");
}

#[test]
fn a_bad_pickup_file_that_cannot_be_put_away_stays() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("home")).unwrap();
    fs::write(folder.path().join("home/Badmail"), "no folder").unwrap();
    let home = home_in(folder, "");
    let (file, answer) = bad_file(&home);
    home.local.bad_file(file);
    assert!(answer.recv_timeout(Duration::from_secs(20)).unwrap().is_err());
    assert_eq!(home.names("Queue/claimed").len(), 1);
}

#[test]
fn no_bad_file_is_seen_without_its_reason() {
    let home = home("");
    // The reason cannot be written: its temporary name is taken by a folder.
    fs::create_dir_all(home.path("Badmail/.0000000000000005.BDR.tmp/x")).unwrap();
    let (file, answer) = bad_file(&home);
    home.local.bad_file(file);
    assert!(answer.recv_timeout(Duration::from_secs(20)).unwrap().is_err());
    assert_eq!(home.names("Queue/claimed").len(), 1);
    home.local.badmail(job(QueueId(5), &[0]));
    assert!(matches!(home.event(), Event::BadmailFailed { .. }));
    assert_eq!(home.names("Badmail"), [".0000000000000005.BDR.tmp".to_owned()].into());
}
