//! Writers who are not done, whatever the system told of them: their files are waited for, never sent cut off.

use super::*;

const HALF: &str = "From: app@example.com\nTo: alice@example.com\n\nhalf";

/// A file that somebody has begun to write, and holds open.
fn begin(path: &Path) -> File {
    let mut file = File::options().write(true).create_new(true).open(path).unwrap();
    file.write_all(HALF.as_bytes()).unwrap();
    file
}

fn end(mut file: File) {
    file.write_all(b" and half\n").unwrap();
}

fn arrives_whole(life: &Life) {
    assert!(life.content(&life.accepted()).ends_with("half and half\r\n"));
}

#[test]
fn one_who_began_before_the_start_is_waited_for() {
    let home = home("");
    let file = begin(&home.path("Pickup/order.eml"));
    let life = home.start(IMPATIENT);
    life.nothing();
    end(file);
    arrives_whole(&life);
    life.end();
}

#[test]
fn one_whose_file_looks_long_forgotten_is_waited_for() {
    let home = home("");
    let file = begin(&home.path("Pickup/order.eml"));
    let life = home.start(Patience { long_past: Duration::ZERO, ..IMPATIENT });
    life.nothing();
    end(file);
    arrives_whole(&life);
    life.end();
}

#[test]
fn one_who_gives_his_file_another_name_before_he_is_done_is_waited_for() {
    let home = home("");
    let life = home.start_and_look(SIGNS_ONLY);
    for first in ["order.tmp", ".order", "../order"] {
        let (before, after) = (home.path("Pickup").join(first), home.path("Pickup/order.eml"));
        let file = begin(&before);
        fs::rename(before, after).unwrap();
        life.nothing();
        end(file);
        arrives_whole(&life);
        wait_until(|| home.names("Queue/claimed").is_empty(), || "the claimed file stays".into());
    }
    life.end();
}

#[test]
fn one_who_has_written_nothing_yet_is_waited_for_however_long() {
    let home = home("");
    let mut file = File::options().write(true).create_new(true).open(home.path("Pickup/order.eml")).unwrap();
    let life = home.start(IMPATIENT);
    life.nothing();
    assert_eq!(home.names("Badmail").len(), 0, "{}", life.said());
    file.write_all(HALF.as_bytes()).unwrap();
    end(file);
    arrives_whole(&life);
    life.end();
}

/// A file that was accepted under our hands, with somebody who still has it open.
fn accepted_with_a_writer(home: &Home, life: &Life) -> (Service, Taken, File) {
    let mut service = life.service();
    let file = begin(&home.path("Pickup/order.eml"));
    let mut folder = PickupFolder::open(&home.path("")).unwrap();
    let mut taken = vec![take(&mut folder, "order.eml", service.submitter.begin().unwrap())];
    assert!(matches!(service.submitter.submit(&mut taken)[..], [Fate::Accepted]));
    (service, taken.remove(0), file)
}

fn bad_text(home: &Home) -> Option<String> {
    let bad = home.names("Badmail").into_iter().find(|name| name.ends_with(".BAD"))?;
    Some(fs::read_to_string(home.path("Badmail").join(bad)).unwrap())
}

#[test]
fn what_is_written_after_the_file_was_read_lies_in_badmail() {
    let home = home("");
    let life = home.open();
    let (mut service, taken, file) = accepted_with_a_writer(&home, &life);
    end(file);
    let sent = taken.claim.id;
    let putting = service.finish(taken).unwrap();
    service.see_put_away(putting);
    assert!(bad_text(&home).unwrap().ends_with("half and half\n"));
    assert!(!home.names("Badmail").iter().any(|name| name.starts_with(&sent.to_string())), "the message's own name");
    life.wait_for("Somebody wrote to the file after it had been read and sent");
    assert!(home.names("Queue/claimed").is_empty());
    life.end();
}

#[test]
fn what_is_written_before_a_crash_and_was_not_read_lies_in_badmail_after_it() {
    let home = home("");
    let life = home.open();
    let (service, taken, file) = accepted_with_a_writer(&home, &life);
    end(file);
    drop((service, taken));
    life.end();
    let life = home.start(IMPATIENT);
    life.wait_for("Somebody wrote to the file after it had been read and sent");
    assert!(bad_text(&home).unwrap().ends_with("half and half\n"));
    assert_eq!(life.accepted_many(1).len(), 1, "the one before the crash");
    life.nothing();
    life.end();
}

#[test]
fn a_file_that_was_cut_without_being_opened_is_taken_when_nobody_has_it() {
    let home = home("");
    home.put(".order", format!("{MAIL}and more\n"));
    let life = home.start_and_look(Patience { open: SHORT, rescan: LONG, ..IMPATIENT });
    let (hidden, path) = (home.path("Pickup/.order"), home.path("Pickup/order.eml"));
    // The system tells of writing, and never of closing.
    nix::unistd::truncate(&hidden, i64::try_from(MAIL.len()).unwrap()).unwrap();
    fs::rename(&hidden, &path).unwrap();
    if Writers::new(Instant::now()).sees_everybody() {
        life.accepted();
    } else {
        life.nothing();
    }
    life.end();
}

#[test]
fn a_bad_file_that_badmail_does_not_take_does_not_stop_the_others() {
    let home = home("[virtual_server.messages]\nbadmail = \"bad\"\n");
    let bad = home.folder.path().join("bad");
    fs::write(&bad, "no folder").unwrap();
    let life = home.start_and_look(Patience { pause: LONG, ..IMPATIENT });
    home.put("bad.eml", "To: alice@example.com\n\nbody\n");
    life.wait_for("Pickup file bad.eml belongs into Badmail");
    home.put("good.eml", MAIL);
    assert_eq!(life.accepted().envelope.origin, Origin::Pickup { file: "good.eml".into() });
    fs::remove_file(&bad).unwrap();
    life.wait_for("Pickup file bad.eml is in Badmail");
    assert_eq!(life.said().matches("belongs into Badmail").count(), 1, "{}", life.said());
    life.end();
}
