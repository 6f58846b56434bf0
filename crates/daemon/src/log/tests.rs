//! The log as its readers and its callers see it.

use super::*;
use relay::envelope::QueueId;
use std::io;
use std::sync::Mutex;

/// A target that keeps what is written, and can be blocked or broken.
#[derive(Clone, Default)]
pub(super) struct Target {
    written: Arc<Mutex<Vec<u8>>>,
    gate: Arc<Mutex<()>>,
    broken: Arc<AtomicU64>,
}

impl Write for Target {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let _open = self.gate.lock().unwrap();
        if self.broken.load(Ordering::Relaxed) > 0 {
            // As a full disk does: a part, then an error.
            self.written.lock().unwrap().extend_from_slice(&octets[..octets.len().min(7)]);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.written.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Target {
    fn text(&self) -> String {
        String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
    }
}

fn start(level: Level, target: &Target) -> (Log, Flush) {
    Log::start(level, Clock::starting_at(Timestamp(1_795_330_800_123)), Box::new(target.clone())).unwrap()
}

/// What the log says after `deed`.
pub(super) fn text_of(level: Level, deed: impl FnOnce(&Log)) -> String {
    let target = Target::default();
    let (log, flush) = start(level, &target);
    deed(&log);
    drop(flush);
    target.text()
}

fn reported(id: u64) -> Record {
    Record::Reported { id: QueueId(id), recipients: 1 }
}

/// Without the time.
fn words(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.split_once(' ').unwrap().1).collect()
}

#[test]
fn a_line_has_the_time_the_event_and_nothing_else() {
    let text = text_of(Level::Info, |log| log.write(&reported(0x10)));
    let (time, rest) = text.split_once(' ').unwrap();
    assert!(time.starts_with("2026-11-22T07:00:00.") && time.ends_with('Z') && time.len() == 24, "{time}");
    assert_eq!(rest, "reported id=0000000000000010 recipients=1\n");
}

#[test]
fn of_several_servers_each_line_names_its_own() {
    let text = text_of(Level::Info, |log| {
        log.of_server("Default SMTP Virtual Server").write(&Record::Stopped);
        log.of_server("x\nforged").write(&Record::Stopped);
        let renamed = log.of_server("old");
        let clone = renamed.clone();
        renamed.set_server(Some("new"));
        clone.write(&Record::Stopped);
        renamed.set_server(None);
        clone.write(&Record::Stopped);
    });
    let expected = [
        "stopped server=\"Default SMTP Virtual Server\"",
        "stopped server=\"x\\nforged\"",
        "stopped server=new",
        "stopped",
    ];
    assert_eq!(words(&text), expected);
}

#[test]
fn levels_choose_the_lines() {
    let everything = |log: &Log| {
        let peer = "192.0.2.1:99".parse().unwrap();
        log.write(&Record::Connected { peer, local: peer });
        log.write(&reported(1));
        log.alarm("The disk is full.");
    };
    assert_eq!(words(&text_of(Level::Quiet, everything)), ["alarm text=\"The disk is full.\""]);
    assert_eq!(text_of(Level::Info, everything).lines().count(), 2);
    assert_eq!(text_of(Level::Debug, everything).lines().count(), 3);
}

#[test]
fn order_is_kept_and_nothing_is_lost_when_the_program_ends() {
    let text = text_of(Level::Info, |log| (0..10_000).for_each(|id| log.write(&reported(id))));
    assert_eq!(text.lines().count(), 10_000);
    for (id, line) in words(&text).into_iter().enumerate() {
        assert_eq!(line, reported(id as u64).to_string());
    }
}

#[test]
fn a_stuck_target_stops_nobody_and_losses_are_told() {
    let target = Target::default();
    let (log, flush) = start(Level::Info, &target);
    let closed = target.gate.lock().unwrap();
    let more = LINES_WAITING_MAX as u64 + 20_000;
    let began = Instant::now();
    (0..more).for_each(|id| log.write(&reported(id)));
    assert!(began.elapsed() < Duration::from_secs(2), "writers wait for the target: {:?}", began.elapsed());
    let lost = log.lost();
    assert!(lost > 0);
    drop(closed);
    flush.flush();
    let text = target.text();
    let lines = words(&text);
    assert_eq!(lines.len() as u64, more - lost + 1);
    assert_eq!(*lines.last().unwrap(), format!("log_lost lines={lost}"));
    log.write(&reported(1));
    flush.flush();
    assert_eq!(target.text().matches("log_lost").count(), 1, "a loss is told once");
}

#[test]
fn a_full_disk_loses_lines_but_the_next_ones_are_whole() {
    let target = Target::default();
    let (log, flush) = start(Level::Info, &target);
    target.broken.store(1, Ordering::Relaxed);
    log.write(&reported(1));
    flush.flush();
    assert!(log.lost() > 0);
    target.broken.store(0, Ordering::Relaxed);
    log.write(&reported(2));
    flush.flush();
    let text = target.text();
    let lines: Vec<_> = text.lines().collect();
    let whole = |line: &&&str| line.split_once(' ').is_some_and(|(time, _)| time.len() == 24);
    let words: Vec<_> = lines.iter().filter(whole).map(|line| line.split_once(' ').unwrap().1).collect();
    assert!(words.contains(&reported(2).to_string().as_str()), "{text}");
    assert!(words.iter().any(|line| line.starts_with("log_lost lines=")), "{text}");
    assert!(lines.iter().all(|line| line.len() == 7 || whole(&line)), "a torn line goes on in the next: {text}");
}

#[test]
fn repeated_lines_are_folded() {
    let text = text_of(Level::Info, |log| {
        (0..1_000).for_each(|_| log.alarm("No more files."));
        log.write(&reported(1));
        log.alarm("No more files.");
        log.alarm("No more files.");
    });
    let alarm = "alarm text=\"No more files.\"";
    let reported = reported(1).to_string();
    assert_eq!(words(&text), [alarm, "repeated times=999", reported.as_str(), alarm, "repeated times=1"]);
}

#[test]
fn lines_are_written_soon() {
    let target = Target::default();
    let (log, _flush) = start(Level::Info, &target);
    log.write(&reported(1));
    let began = Instant::now();
    while target.text().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(5), "never written");
        std::thread::yield_now();
    }
    // 25 ms are meant; the machine that runs the tests may be busy.
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
}

#[test]
fn a_log_that_nobody_reads_takes_everything() {
    let log = Log::nowhere();
    log.alarm("x");
    assert_eq!(log.lost(), 0);
}
