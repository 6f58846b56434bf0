//! The lying-disk test: lives of the spool, with the power cut at every disk call, in every way.
//!
//! A [`life`] accepts, notes, parks, replaces and removes messages over a [`SimDisk`] and writes down, before and after
//! each step, what may be found from then on. Then, for each call of that life: the power goes in the middle of it;
//! of the unsynced names each subset survives, of the unsynced octets all, none, halves, or a mixture with torn and
//! garbled sectors; the next start recovers. Then it must hold that
//!
//! - what was acknowledged is there and whole, exactly once, in the journal or in the folder;
//! - what was not acknowledged is absent or whole; what was durably gone stays gone; no envelope is older than its last
//!   durable version; nothing is reported as damage;
//! - recovering twice, or with the power cut at any call of the first recovery, finds the same.
//!
//! And, so that we know that this test can see: each sync of the life is left out once, and the test must fail.

mod damage;
mod faults;
mod life;

use life::{Expected, Life, SCRIPTS, content, options};
use relay::disk::sim::{Contents, Cut, Fate, SimDisk};
use relay::envelope::{Envelope, QueueId};
use relay::parcel::Place;
use relay::spool::content::{file_name, read_journal};
use relay::spool::recover;
use std::collections::BTreeMap;

/// What a start finds.
type Found = BTreeMap<QueueId, Envelope>;

/// All messages that a start finds on this disk, each read and compared with what was sent.
fn find(disk: &SimDisk) -> Result<Found, String> {
    let recovered = recover(disk, options()).map_err(|error| error.to_string())?;
    let mut troubles = recovered.troubles;
    let mut messages = recovered.messages;
    let mut scan = recovered.scan;
    while scan.left() > 0 {
        messages.extend(scan.slice(disk, &recovered.folder, 2, &mut troubles));
    }
    if !troubles.is_empty() {
        return Err(format!("reported as damage: {troubles:?}"));
    }
    let mut found = Found::new();
    for message in messages {
        let octets = match message.place {
            Place::Journal { segment, offset, len, .. } => read_journal(disk, segment, offset, len),
            Place::File => relay::disk::read(disk, &file_name(message.id), 1 << 20),
        };
        let octets = octets.map_err(|error| format!("{:?} cannot be read: {error}", message.id))?;
        if octets != content(message.id, message.envelope.size) {
            return Err(format!("{:?} is not whole", message.id));
        }
        if message.id > recovered.highest {
            return Err(format!("{:?} is above the highest id", message.id));
        }
        if found.insert(message.id, message.envelope).is_some() {
            return Err(format!("{:?} is there twice", message.id));
        }
    }
    Ok(found)
}

fn compare(found: &Found, expected: &Expected) -> Result<(), String> {
    if let Some(stranger) = found.keys().find(|id| !expected.contains_key(id)) {
        return Err(format!("{stranger:?} was never handed in"));
    }
    for (id, allowed) in expected {
        if !allowed.contains(&found.get(id).cloned()) {
            let is = if found.contains_key(id) { "there, or older than it may be" } else { "lost" };
            return Err(format!("{id:?} is {is}"));
        }
    }
    Ok(())
}

/// Ways in which the power can go.
fn cuts(disk: &SimDisk, thorough: bool) -> Vec<Cut> {
    let names = disk.unsynced_names();
    let masks: Vec<u64> = match names {
        0 => vec![0],
        1..=4 if thorough => (0..1 << names).collect(),
        _ => [0, u64::MAX].into_iter().chain((0..names).flat_map(|i| [1 << i, !(1 << i)])).collect(),
    };
    let fates: &[Fate] = match (disk.has_unsynced_octets(), thorough) {
        (false, _) => &[Fate::Kept],
        (true, true) => {
            &[Fate::Lost, Fate::Kept, Fate::First, Fate::Last, Fate::Mixed(1), Fate::Mixed(2), Fate::Mixed(3)]
        }
        (true, false) => &[Fate::Lost, Fate::Kept, Fate::Mixed(4)],
    };
    masks.iter().flat_map(|names| fates.iter().map(|octets| Cut { names: *names, octets: *octets })).collect()
}

/// The disks that a power cut at this moment can leave, each once.
fn ruins(moment: &SimDisk, thorough: bool, seen: &mut Vec<Contents>) -> Vec<(Cut, SimDisk)> {
    let mut ruins = Vec::new();
    for cut in cuts(moment, thorough) {
        let disk = moment.after_power_cut(cut);
        let there = disk.contents();
        if !seen.contains(&there) {
            seen.push(there);
            ruins.push((cut, disk));
        }
    }
    ruins
}

/// The power goes at call `call`: every way of it must be survived. Says how many ways there were.
fn check_cut(life: &Life, call: usize, expected: &Expected, nested: bool) -> Result<usize, String> {
    let moment = life.disk.moment(call).ok_or("no such call")?;
    let mut ways = 0;
    for (cut, disk) in ruins(&moment, true, &mut Vec::new()) {
        ways += 1;
        let tell = |error: String| {
            let calls = life.disk.trace();
            let before = &calls[call.saturating_sub(25)..call.min(calls.len())];
            format!("power cut in the last of these calls, {cut:?}: {error}\n{}", before.join("\n"))
        };
        disk.record();
        let found = find(&disk).map_err(tell)?;
        compare(&found, expected).map_err(tell)?;
        let calls = usize::try_from(disk.calls()).map_err(|e| e.to_string())?;
        if find(&disk) != Ok(found.clone()) {
            return Err(tell("the second start finds something else".into()));
        }
        let mut seen = Vec::new();
        for call in (1..=calls + 1).filter(|_| nested) {
            for (second, ruin) in ruins(&disk.moment(call).ok_or("no such call")?, false, &mut seen) {
                ways += 1;
                if find(&ruin) != Ok(found.clone()) {
                    return Err(tell(format!("recovery cut at its call {call}, {second:?}, finds something else")));
                }
            }
        }
    }
    Ok(ways)
}

/// All cuts from call `from` on; says how many ways there were, or what went wrong first.
fn check_life(life: &Life, from: usize, nested: bool) -> Result<usize, String> {
    let calls = usize::try_from(life.disk.calls()).map_err(|e| e.to_string())?;
    let mut ways = 0;
    for call in from.max(1)..=calls + 1 {
        ways += check_cut(life, call, life.expected_during(call), nested)?;
    }
    Ok(ways)
}

/// The program is killed at call `call`, without a power cut; it starts again; *then* the power goes, during that start or
/// right after it. What the start has gone by must not be gone afterwards.
fn check_kill(life: &Life, call: usize, ignored_sync: Option<usize>) -> Result<usize, String> {
    let disk = life.disk.moment(call).ok_or("no such call")?;
    let expected = life.expected_during(call);
    disk.record();
    if let Some(nth) = ignored_sync {
        disk.ignore_sync(nth);
    }
    let found = find(&disk)?;
    compare(&found, expected)?;
    let calls = usize::try_from(disk.calls()).map_err(|e| e.to_string())?;
    let mut ways = 0;
    let mut seen = Vec::new();
    for later in 1..=calls {
        for (cut, ruin) in ruins(&disk.moment(later).ok_or("no such call")?, false, &mut seen) {
            ways += 1;
            let tell =
                |error| format!("killed at call {call}, power cut at call {later} of the start, {cut:?}: {error}");
            compare(&find(&ruin).map_err(tell)?, expected).map_err(tell)?;
        }
    }
    for (cut, ruin) in ruins(&disk, false, &mut Vec::new()) {
        ways += 1;
        if find(&ruin) != Ok(found.clone()) {
            return Err(format!("killed at call {call}, power cut after the start, {cut:?}: something else is found"));
        }
    }
    Ok(ways)
}

/// All kills of all lives.
fn check_kills(ignored_sync: Option<usize>) -> Result<usize, String> {
    let mut ways = 0;
    for script in SCRIPTS {
        let life = Life::live(SimDisk::new(), script);
        for call in 1..=usize::try_from(life.disk.calls()).unwrap() + 1 {
            ways += check_kill(&life, call, ignored_sync)?;
        }
    }
    Ok(ways)
}

#[test]
fn every_power_cut_is_survived() {
    let mut ways = 0;
    for script in SCRIPTS {
        ways += check_life(&Life::live(SimDisk::new(), script), 1, true).unwrap();
    }
    println!("{ways} ways to lose power");
    assert!(ways > 1_000);
}

#[test]
fn every_kill_is_survived() {
    println!("{} ways to lose power after a kill", check_kills(None).unwrap());
    for nth in 0..life::SYNCS_OF_A_START {
        assert!(check_kills(Some(nth)).is_err(), "sync {nth} of a start was left out, and nobody missed it");
    }
}

/// Where a sync stands, as far as one sees from outside: in which step, after which deed, of what.
type Site = (&'static str, String, String);

/// The sites of a life's syncs, in order, each with the number of its call.
fn sites(life: &Life) -> Vec<(usize, Site)> {
    let trace = life.disk.trace();
    let verb = |call: usize| trace[call].split(' ').next().unwrap_or_default().to_owned();
    let site = |(call, what): &(u64, String)| {
        let call = usize::try_from(*call).unwrap();
        let what: String = what.chars().filter(|c| !c.is_ascii_hexdigit() || c.is_ascii_lowercase()).collect();
        (call, (life.step_during(call), verb(call - 2), what))
    };
    life.disk.syncs().iter().map(site).collect()
}

/// Leaves each sync out, one at a time: wherever a sync stands in the code, there must be a life that misses it.
#[test]
fn every_sync_is_needed() {
    let mut missed: BTreeMap<Site, bool> = BTreeMap::new();
    for script in SCRIPTS {
        for (nth, (call, site)) in sites(&Life::live(SimDisk::new(), script)).into_iter().enumerate() {
            // The syncs of a start have their own test: they matter after a kill.
            if missed.get(&site) == Some(&true) || site.0 == "Start" {
                continue;
            }
            let is_missed = std::panic::catch_unwind(|| {
                let disk = SimDisk::new();
                disk.ignore_sync(nth);
                check_life(&Life::live(disk, script), call, false).is_err()
            });
            *missed.entry(site).or_default() |= is_missed.unwrap_or(true);
        }
    }
    for (site, is_missed) in &missed {
        println!("{} {site:?}", if *is_missed { "needed  " } else { "NEEDLESS" });
    }
    assert!(missed.values().all(|m| *m), "some syncs were left out and nobody missed them");
}
