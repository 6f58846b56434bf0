//! Lives that end between two steps, and files that change under our hands: nothing is lost, nothing is sent twice.

use super::*;

#[test]
fn a_file_claimed_before_a_crash_is_sent_after_it() {
    let home = home("");
    home.put("order.eml", MAIL);
    let life = home.open();
    let mut folder = PickupFolder::open(&home.path("")).unwrap();
    take(&mut folder, "order.eml", life.store.begin().unwrap());
    life.end();
    assert!(home.names("Pickup").is_empty());
    let life = home.start(IMPATIENT);
    assert_eq!(life.accepted().envelope.origin, Origin::Pickup { file: "order.eml".into() });
    wait_until(|| home.names("Queue/claimed").is_empty(), || "the file stays".into());
    life.end();
}

#[test]
fn a_file_accepted_before_a_crash_is_only_removed_after_it() {
    for gone in [false, true] {
        let home = home("");
        home.put("order.eml", MAIL);
        let life = home.open();
        let mut submitter = life.submitter();
        let mut folder = PickupFolder::open(&home.path("")).unwrap();
        let mut taken = vec![take(&mut folder, "order.eml", submitter.begin().unwrap())];
        assert!(matches!(submitter.submit(&mut taken)[..], [Fate::Accepted]));
        let accepted = life.accepted();
        if gone {
            // It was even delivered before the crash.
            life.store.note(Note::Gone(accepted.id));
        }
        drop(submitter);
        life.end();
        assert_eq!(home.names("Queue/claimed").len(), 1);
        let life = home.start(IMPATIENT);
        wait_until(|| home.names("Queue/claimed").is_empty(), || "the file stays".into());
        if gone {
            life.nothing();
        } else {
            assert_eq!(life.accepted().id, accepted.id);
        }
        life.nothing();
        life.end();
    }
}

#[test]
fn after_a_crash_in_the_midst_of_many_messages_the_rest_is_sent() {
    let home = home("[virtual_server.messages]\nrecipients_max = 10\n");
    let receivers: String = (0..95).map(|n| format!("x-receiver: user{n}@example.net\n")).collect();
    home.put("everybody.eml", receivers + "From: app@example.com\n\nhello\n");
    let life = home.open();
    let mut submitter = life.submitter();
    let mut folder = PickupFolder::open(&home.path("")).unwrap();
    let mut taken = vec![take(&mut folder, "everybody.eml", submitter.begin().unwrap())];
    assert!(matches!(submitter.submit(&mut taken)[..], [Fate::Accepted]));
    let mut accepted = life.accepted_many(10);
    accepted.sort_by_key(|a| a.id);
    life.end();
    // As if the crash had come after the fourth: the journal knows no more, the file is still there.
    for known in [0_u32, 1, 4, 9, 10] {
        let other = self::home("[virtual_server.messages]\nrecipients_max = 7\n");
        let life = other.open();
        for message in &accepted[..known as usize] {
            let mut incoming = life.store.incoming(message.id);
            life.runtime.block_on(async {
                incoming.append("Subject: x\r\n\r\n".into()).await.unwrap();
                let _ = life.store.commit(incoming, message.envelope.clone()).await.unwrap();
            });
        }
        life.end();
        let name = taken[0].claim.name();
        fs::create_dir_all(other.path("Queue/claimed")).unwrap();
        fs::copy(home.path("Queue/claimed").join(&name), other.path("Queue/claimed").join(&name)).unwrap();
        let life = other.start(IMPATIENT);
        wait_until(|| other.names("Queue/claimed").is_empty(), || format!("{known}: {}", life.said()));
        let rest = (95_usize.saturating_sub(known as usize * 10)).div_ceil(7);
        let mut all = life.accepted_many(known as usize + rest);
        all.sort_by_key(|a| a.id);
        let everybody: Vec<String> = all.iter().flat_map(|a| addresses(&a.envelope)).collect();
        assert_eq!(everybody, (0..95).map(|n| format!("user{n}@example.net")).collect::<Vec<_>>(), "{known} known");
        life.nothing();
        life.end();
    }
}

#[test]
fn a_file_that_was_sent_and_cannot_be_removed_is_not_sent_again() {
    let home = home("");
    home.put("order.eml", MAIL);
    let life = home.open();
    let mut submitter = life.submitter();
    let mut folder = PickupFolder::open(&home.path("")).unwrap();
    let mut taken = vec![take(&mut folder, "order.eml", submitter.begin().unwrap())];
    assert!(matches!(submitter.submit(&mut taken)[..], [Fate::Accepted]));
    assert_eq!(submitter.accepted(&taken[0].claim), 1, "remembered while the file is there");
    submitter.forget(&taken[0].claim);
    assert_eq!(submitter.accepted(&taken[0].claim), 0);
    life.end();
}

#[test]
fn a_file_that_grows_while_it_is_read_goes_back() {
    let home = home("");
    for text in [MAIL.to_owned(), format!("{MAIL}{}", "line\n".repeat(100_000))] {
        let life = home.open();
        home.put("grows.eml", &text);
        let mut writer = File::options().append(true).open(home.path("Pickup/grows.eml")).unwrap();
        let mut submitter = life.submitter();
        let mut folder = PickupFolder::open(&home.path("")).unwrap();
        let mut taken = vec![take(&mut folder, "grows.eml", submitter.begin().unwrap())];
        writer.write_all(b"more\n").unwrap();
        assert!(matches!(submitter.submit(&mut taken)[..], [Fate::Changed]));
        folder.give_back(&taken[0]).unwrap();
        life.nothing();
        // Our own lock would keep the next life from taking it.
        drop((submitter, taken));
        life.end();
        let life = home.start(IMPATIENT);
        assert!(life.content(&life.accepted()).ends_with("more\r\n"));
        life.end();
        // What was accepted is in the journal; the next text begins afresh.
        fs::remove_dir_all(home.path("Queue")).unwrap();
    }
}
