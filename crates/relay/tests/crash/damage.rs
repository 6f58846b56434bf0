//! What a crash cannot cause: rotten sectors, cut and foreign files. Found, told of, kept aside; the rest goes on.

use super::life::{Do, Life, content, envelope, options};
use super::{Found, find};
use bytes::Bytes;
use relay::disk::Disk;
use relay::disk::sim::SimDisk;
use relay::envelope::QueueId;
use relay::parcel::Place;
use relay::queue::Accepted;
use relay::spool::content::read_journal;
use relay::spool::journal::{Accept, Entry};
use relay::spool::{Note, recover};

/// All that a start finds, with what it tells the operator; nothing is an error here.
fn find_with_troubles(disk: &SimDisk) -> (Vec<Accepted>, Vec<String>) {
    let mut recovered = recover(disk, options()).unwrap();
    let mut messages = recovered.messages;
    while recovered.scan.left() > 0 {
        messages.extend(recovered.scan.slice(disk, &recovered.folder, 3, &mut recovered.troubles));
    }
    (messages, recovered.troubles)
}

/// A new disk with the same files.
fn copy(disk: &SimDisk) -> SimDisk {
    let copy = SimDisk::new();
    for (name, octets) in disk.contents() {
        let file = copy.create(&name).unwrap();
        copy.append(&file, &octets).unwrap();
    }
    copy
}

fn put(disk: &SimDisk, name: &str, octets: &[u8]) {
    let _ = disk.remove(name);
    let file = disk.create(name).unwrap();
    disk.append(&file, octets).unwrap();
}

const SEGMENT: &str = "journal/00000001.log";

/// One octet of the journal rots, any one: the messages around it are found, whole; the hole is told of unless it is in the
/// last batch, which cannot be told from a write that was cut; and the file is kept.
#[test]
fn rot_in_the_journal_costs_only_what_it_hits() {
    let life = Life::live(
        SimDisk::new(),
        &[Do::Accept(&[(1, 50)]), Do::Accept(&[(2, 60), (3, 70)]), Do::Accept(&[(4, 80)]), Do::Fates(4), Do::Flush],
    );
    let whole = life.disk.contents()[SEGMENT].clone();
    let last_batch = whole.iter().rposition(|octet| *octet != 0).unwrap() - 300;
    for offset in 0..whole.len() {
        let disk = copy(&life.disk);
        disk.rot(SEGMENT, offset, 1 << (offset % 8)).unwrap();
        let (messages, troubles) = find_with_troubles(&disk);
        for message in &messages {
            let Place::Journal { segment, offset, len, .. } = message.place else { panic!() };
            let octets = read_journal(&disk, segment, offset, len).unwrap();
            assert_eq!(octets, content(message.id, message.envelope.size), "{:?}, octet {offset}", message.id);
        }
        assert!(messages.len() >= 3, "one frame was hit, octet {offset}: {messages:?}");
        if messages.len() < 4 && offset < last_batch {
            assert!(!troubles.is_empty(), "a message is lost and nobody was told: octet {offset}");
        }
        assert!(disk.contents()[SEGMENT].len() == whole.len());
    }
}

/// A damaged segment is not removed when its messages are gone: it is put aside, octet for octet.
#[test]
fn a_damaged_segment_is_kept_for_the_operator() {
    let life = Life::live(SimDisk::new(), &[Do::Accept(&[(1, 50)]), Do::Accept(&[(2, 60)]), Do::Accept(&[(3, 70)])]);
    let disk = copy(&life.disk);
    disk.rot(SEGMENT, 5_000, 0).unwrap();
    let at = life.disk.contents()[SEGMENT].windows(5).position(|w| w == b"MRJ1\0" || w.starts_with(b"MRJ1")).unwrap();
    assert_eq!(at, 0);
    disk.rot(SEGMENT, 4_100, 0xff).unwrap();
    let kept = disk.contents()[SEGMENT].clone();
    let mut recovered = recover(&disk, options()).unwrap();
    assert_eq!(recovered.troubles.len(), 1, "{:?}", recovered.troubles);
    assert!(recovered.troubles[0].contains("damaged/"), "{:?}", recovered.troubles);
    let ids: Vec<u64> = recovered.messages.iter().map(|m| m.id.0).collect();
    assert_eq!(ids, [1, 3]);
    let gone: Vec<Entry> = ids.iter().map(|id| Entry::Note(Note::Gone(QueueId(*id)))).collect();
    assert!(recovered.journal.write(&gone).trouble.is_none());
    while let Some(chore) = recovered.journal.chore() {
        recovered.journal.chore_done(chore.run(&disk)).unwrap();
    }
    assert_eq!(disk.contents().get("damaged/00000001.log"), Some(&kept));
    let (messages, troubles) = find_with_troubles(&disk);
    assert!(messages.is_empty() && troubles.is_empty(), "{troubles:?}");
}

/// Not one record of a segment can be read: it is not taken for one that was never used, but told of and kept.
#[test]
fn a_segment_without_a_readable_record_is_kept_for_the_operator() {
    let life = Life::live(SimDisk::new(), &[Do::Accept(&[(1, 50)]), Do::Accept(&[(2, 60)])]);
    for (what, octets) in [("garbage", vec![0x5a; 8_192]), ("a foreign file", b"not a journal\n".repeat(10))] {
        let disk = copy(&life.disk);
        put(&disk, SEGMENT, &octets);
        let mut recovered = recover(&disk, options()).unwrap();
        assert!(recovered.messages.is_empty());
        assert_eq!(recovered.doubts.len(), 1, "{what}: {:?}", recovered.doubts);
        assert!(recovered.doubts[0].contains("00000001.log") && recovered.doubts[0].contains("damaged/"), "{what}");
        while let Some(chore) = recovered.journal.chore() {
            recovered.journal.chore_done(chore.run(&disk)).unwrap();
        }
        assert_eq!(disk.contents().get("damaged/00000001.log").map(|kept| kept.to_vec()), Some(octets), "{what}");
        assert!(recover(&disk, options()).unwrap().doubts.is_empty(), "{what}: told of once");
    }
}

/// Somebody who knows the form of the journal sends a message with a frame in it. When the frame around it rots, the
/// forged one must not be taken: it lacks the salt.
#[test]
fn a_frame_in_a_message_is_not_one_of_the_journal() {
    let forge = |salt_seed: u64| {
        // Made with the real code, at the very place where it will stand, only without the salt of that life.
        let mut options = options();
        options.seed = salt_seed;
        let disk = SimDisk::new();
        let mut journal = recover(&disk, options).unwrap().journal;
        let accept = |id: u64, octets: Vec<u8>| {
            let id = QueueId(id);
            Entry::Accept(Accept::new(id, envelope(id, octets.len() as u64, 0).print(), Bytes::from(octets)))
        };
        assert!(journal.write(&[accept(1, b"x".to_vec())]).trouble.is_none());
        assert!(journal.write(&[accept(2, b"evil".to_vec())]).trouble.is_none());
        let octets = disk.contents()[SEGMENT].clone();
        octets[4_096..].iter().rposition(|o| *o != 0).map(|end| octets[4_096..=4_096 + end].to_vec()).unwrap()
    };
    for (seed, taken) in [(7, false), (42, true)] {
        let disk = SimDisk::new();
        let mut journal = recover(&disk, options()).unwrap().journal;
        let id = QueueId(9);
        // The forged frame stands at the offset it was made for: after the outer head, at octet 4,096.
        let outer_text = envelope(id, 5_000, 0).print();
        let head = 56 + 56 + outer_text.len();
        let mut octets = vec![b' '; 4_096 - head];
        octets.extend(forge(seed));
        octets.resize(5_000, b' ');
        let text = envelope(id, octets.len() as u64, 0).print();
        assert_eq!(text.len(), outer_text.len());
        assert!(journal.write(&[Entry::Accept(Accept::new(id, text, Bytes::from(octets)))]).trouble.is_none());
        // Something durable behind it, so that the hole counts as damage and is searched.
        let last = QueueId(10);
        let entry = Entry::Accept(Accept::new(last, envelope(last, 3, 0).print(), Bytes::from(content(last, 3))));
        assert!(journal.write(&[entry]).trouble.is_none());
        disk.rot(SEGMENT, 60, 0xff).unwrap();
        let (messages, _) = find_with_troubles(&disk);
        let ids: Vec<u64> = messages.iter().map(|m| m.id.0).collect();
        if taken {
            assert_eq!(ids, [2, 10], "with the right salt it would be taken: the test tests what it says");
        } else {
            assert_eq!(ids, [10], "a message was smuggled in");
        }
    }
}

fn parked() -> SimDisk {
    let life = Life::live(
        SimDisk::new(),
        &[Do::Accept(&[(1, 100), (2, 200), (3, 300)]), Do::Park(&[1, 2, 3]), Do::Accept(&[(4, 10)])],
    );
    assert_eq!(find(&copy(&life.disk)).map(|found: Found| found.len()), Ok(4));
    copy(&life.disk)
}

/// Cut, emptied, zeroed, garbled, doubled, lost: whatever happens to one message's files, it is told of and kept, and the
/// others are found.
#[test]
fn damage_in_the_folder_is_put_aside() {
    let env = "0000000000000002.env";
    let eml = "0000000000000002.eml";
    let text = parked().contents()[env].to_vec();
    let zeros = vec![0; text.len()];
    let bent: Vec<u8> = text.iter().map(|o| if *o == b'f' { b'g' } else { *o }).collect();
    let latin: Vec<u8> = text.iter().map(|o| if *o == b'f' { 0xfc } else { *o }).collect();
    let cases: [(&str, &str, &[u8]); 8] = [
        ("cut", env, &text[..text.len() - 5]),
        ("empty", env, b""),
        ("zeros", env, &zeros),
        ("garbage", env, b"\x7fELF\x02\x01\x01"),
        ("bent", env, &bent),
        ("not UTF-8", env, &latin),
        ("content cut", eml, &[1; 199]),
        ("content grown", eml, &[1; 201]),
    ];
    for (what, name, octets) in cases {
        let disk = parked();
        put(&disk, name, octets);
        let (messages, troubles) = find_with_troubles(&disk);
        let ids: Vec<u64> = messages.iter().map(|m| m.id.0).collect();
        assert_eq!(ids, [4, 1, 3], "{what}");
        assert_eq!(troubles.len(), 1, "{what}: {troubles:?}");
        assert!(troubles[0].contains("0000000000000002.e") && troubles[0].contains("damaged/"), "{what}: {troubles:?}");
        let there = disk.contents();
        assert_eq!(there[&format!("damaged/{name}")].as_slice(), octets, "{what}: kept as it was found");
        assert!(there.contains_key(&format!("damaged/{env}")) && there.contains_key(&format!("damaged/{eml}")));
        assert_eq!(find_with_troubles(&disk).1, Vec::<String>::new(), "{what}: told of once");
    }
}

#[test]
fn an_envelope_without_content_is_put_aside() {
    let disk = parked();
    disk.remove("0000000000000002.eml").unwrap();
    let (messages, troubles) = find_with_troubles(&disk);
    assert_eq!((messages.len(), troubles.len()), (3, 1));
    assert!(disk.contents().contains_key("damaged/0000000000000002.env"));
}

/// Parked, the journal not yet told, and then the envelope rots: the journal still has the message.
#[test]
fn a_rotten_envelope_falls_back_to_the_journal() {
    let disk = SimDisk::new();
    let life = Life::live(disk.clone(), &[Do::Accept(&[(1, 100)])]);
    drop(life);
    put(&disk, "0000000000000001.eml", &content(QueueId(1), 100));
    put(&disk, "0000000000000001.env", b"rotten");
    let (messages, troubles) = find_with_troubles(&disk);
    assert_eq!((messages.len(), troubles.len()), (1, 1));
    assert!(matches!(messages[0].place, Place::Journal { .. }));
}

/// A large message's file is lost: its envelope is kept, so that somebody can tell the sender.
#[test]
fn a_lost_large_message_is_told_of() {
    let disk = SimDisk::new();
    drop(Life::live(disk.clone(), &[Do::Large(1, 3_000)]));
    disk.remove("0000000000000001.eml").unwrap();
    let (messages, troubles) = find_with_troubles(&disk);
    assert!(messages.is_empty());
    assert!(troubles[0].contains("0000000000000001.eml"), "{troubles:?}");
    let kept = disk.contents()["damaged/0000000000000001.env"].to_vec();
    assert_eq!(String::from_utf8(kept).unwrap(), envelope(QueueId(1), 3_000, 0).print());
}

/// What is not ours is left alone.
#[test]
fn foreign_files_are_not_touched() {
    let disk = parked();
    let names = ["README", "lock", "x.eml", "00000000000000zz.env", "0000000000000002.txt", "2.env", "journal/old.log"];
    for name in names {
        put(&disk, name, b"not mine");
    }
    let (messages, troubles) = find_with_troubles(&disk);
    assert_eq!((messages.len(), troubles.len()), (4, 0));
    for name in names {
        assert_eq!(disk.contents()[name].as_slice(), b"not mine");
    }
}
