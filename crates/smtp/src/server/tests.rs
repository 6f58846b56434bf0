//! What a transcript cannot show: sizes, buffers, and which replies leave together.

use super::*;
use crate::address::Domain;

const START: Timestamp = Timestamp(1_000_000);

struct Receipt;

impl Durable for Receipt {
    fn id(&self) -> String {
        "q1".to_owned()
    }
}

fn session() -> Session {
    let name = |text| Domain::parse(text).unwrap();
    let settings = Settings::new(name("mx.test"), name("contoso.test"));
    let mut session = Session::new(Arc::new(settings), Arc::default(), IpAddr::from([192, 0, 2, 1]), START);
    assert!(matches!(session.next(START), Some(Step::Send(_))));
    session
}

/// Carries out all steps, saying yes to every question; what was sent, each `Send` by itself, and content.
fn drive(session: &mut Session, octets: &[u8]) -> (Vec<String>, Vec<Bytes>) {
    assert!(session.wants_input());
    session.receive(octets);
    let (mut sent, mut content) = (Vec::new(), Vec::new());
    while let Some(step) = session.next(START) {
        match step {
            Step::Send(octets) => sent.push(String::from_utf8(octets.to_vec()).unwrap()),
            Step::Body(piece) => content.push(piece),
            Step::Ask(Question::Begin) => session.answer(Answer::Begun),
            Step::Ask(Question::Commit) => session.queued(&Receipt),
            Step::Ask(_) => session.answer(Answer::Accept),
            Step::Abandon | Step::StartTls | Step::Close(_) => {}
        }
    }
    (sent, content)
}

fn holds_nothing(session: &Session) -> bool {
    session.input.capacity() == 0 && session.replies.capacity() == 0
}

#[test]
fn half_a_password_is_not_shown() {
    let mut session = session();
    drive(&mut session, b"EHLO c.test\r\nAUTH PLAIN AGFsaWNl");
    assert!(!format!("{session:?}").contains("AGFsaWNl"));
}

#[test]
fn a_session_is_small_and_holds_nothing_when_idle() {
    let size = size_of::<Session>();
    assert!(size <= 512, "{size} octets");
    let mut session = session();
    assert!(holds_nothing(&session));
    drive(&mut session, b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n");
    assert!(holds_nothing(&session));
    drive(&mut session, &[b"x".repeat(100_000).as_slice(), b"\r\n.\r\n"].concat());
    assert!(holds_nothing(&session));
    drive(&mut session, &b"NOOP\r\n".repeat(50));
    assert!(holds_nothing(&session));
    drive(&mut session, &[b"NOOP\r\n".repeat(30).as_slice(), b"NO"].concat());
    assert!(session.input.capacity() <= 16, "the beginning of a command does not keep what came before it");
}

#[test]
fn the_replies_of_a_batch_leave_together() {
    let mut session = session();
    let (sent, _) = drive(&mut session, b"EHLO c.test\r\n");
    assert_eq!(sent.len(), 1);
    let (sent, _) =
        drive(&mut session, b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nRCPT TO:<e@d.test>\r\nDATA\r\n");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].lines().count(), 4);
    let batch = b"x\r\n.\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nBDAT 3 LAST\r\nx\r\nQUIT\r\n";
    let (sent, content) = drive(&mut session, batch);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].lines().map(|line| &line[..3]).collect::<Vec<_>>(), ["250", "250", "250", "250", "221"]);
    assert_eq!(content, [b"x\r\n".as_slice(), b"x\r\n"]);
}

#[test]
fn many_replies_leave_in_portions() {
    let mut session = session();
    let (sent, _) = drive(&mut session, b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\n");
    assert_eq!(sent.len(), 1);
    let (sent, _) = drive(&mut session, &b"RCPT TO:<c@d.test>\r\n".repeat(3_000));
    assert!(sent.len() > 1);
    assert!(sent.iter().all(|send| send.len() < REPLIES_MAX + 600));
    assert_eq!(sent.concat().lines().count(), 3_000);
}

#[test]
fn content_in_small_pieces_is_gathered() {
    let mut session = session();
    drive(&mut session, b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n");
    let text = b"0123456789\r\n".repeat(1_000);
    let mut pieces = Vec::new();
    for octet in text.chunks(1) {
        pieces.extend(drive(&mut session, octet).1);
    }
    pieces.extend(drive(&mut session, b".\r\n").1);
    assert!(pieces.len() <= text.len() / PIECE_MIN + 1);
    assert_eq!(pieces.concat(), text);
}

#[test]
fn content_does_not_keep_what_came_with_it() {
    let mut session = session();
    drive(&mut session, b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n");
    let (_, content) = drive(&mut session, &[b"x\r\n.\r\n".as_slice(), &b"NOOP\r\n".repeat(50)].concat());
    let piece = content[0].clone();
    drop(content);
    let kept = piece.try_into_mut().unwrap().capacity();
    assert!(kept <= 16, "{kept} octets for three");
}

#[test]
fn a_full_buffer_wants_no_more() {
    let mut session = session();
    drive(&mut session, b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n");
    let mut given = 0;
    while session.wants_input() {
        session.receive(&[b'x'; 1_000]);
        given += 1_000;
        assert!(given < INPUT_MAX + 1_000);
    }
    assert!(given >= INPUT_MAX);
    assert!(matches!(session.next(START), Some(Step::Body(_))));
    assert!(session.wants_input());
}

/// A receipt answers nothing but Commit.
#[test]
fn only_the_end_of_a_message_is_acknowledged() {
    let mut session = session();
    session.receive(b"EHLO c.test\r\n");
    for _ in 0..2 {
        session.queued(&Receipt);
        assert!(matches!(session.next(START), Some(Step::Ask(_))));
        session.queued(&Receipt);
        assert_eq!((session.next(START), session.wants_input()), (None, false));
        session.answer(Answer::Accept);
        let Some(Step::Send(replies)) = session.next(START) else { panic!() };
        assert!(!String::from_utf8_lossy(&replies).contains("queued"));
        session.receive(b"MAIL FROM:<a@b.test>\r\n");
    }
}

/// A driver that reads on while a question is open: what came before the 354 is no content all the same.
#[test]
fn what_comes_before_the_354_is_no_content() {
    let mut session = session();
    session.receive(b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n");
    for _ in 0..3 {
        assert!(matches!(session.next(START), Some(Step::Ask(_))));
        session.answer(Answer::Accept);
    }
    assert_eq!(session.next(START), Some(Step::Ask(Question::Begin)));
    session.receive(b"Subject: x\r\n\r\n.\r\n");
    session.answer(Answer::Begun);
    let Some(Step::Send(replies)) = session.next(START) else { panic!() };
    assert!(String::from_utf8_lossy(&replies).contains("\r\n554 5.5.0 "));
    assert_eq!(session.next(START), Some(Step::Close(Closing::Protocol)));
    assert_eq!(session.next(START), None);
}

/// Our own slowness is not the peer's: a disk that takes an hour does not time a peer out.
#[test]
fn the_time_that_the_driver_takes_is_not_counted() {
    let hour = Duration::from_secs(3_600);
    let mut session = session();
    let mut now = START;
    session.receive(b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n");
    for _ in 0..4 {
        assert!(matches!(session.next(now), Some(Step::Ask(_))));
        now = now.plus(hour);
        assert_eq!((session.next(now), session.deadline()), (None, Timestamp::NEVER));
        session.answer(if session.transaction.as_ref().is_some_and(|t| t.recipients > 0) {
            Answer::Begun
        } else {
            Answer::Accept
        });
    }
    assert!(matches!(session.next(now), Some(Step::Send(_))));
    now = now.plus(hour);
    session.receive(&[b"x".repeat(PIECE_MIN).as_slice(), b"\r\n"].concat());
    assert!(matches!(session.next(now), Some(Step::Body(_))));
    now = now.plus(hour);
    assert_eq!(session.next(now), None);
    now = now.plus(Duration::from_secs(599));
    session.receive(b".\r\n");
    assert_eq!(session.next(now), Some(Step::Ask(Question::Commit)));
    now = now.plus(hour);
    session.queued(&Receipt);
    assert!(matches!(session.next(now), Some(Step::Send(_))));
    assert_eq!(session.next(now), None);
    assert_eq!(session.deadline(), now.plus(TIMEOUT));
}

/// After ten errors each answer takes a second, in which nothing is read; that time is not the peer's.
#[test]
fn who_errs_again_and_again_waits_for_each_answer() {
    let mut session = session();
    drive(&mut session, b"EHLO c.test\r\n");
    assert_eq!(drive(&mut session, &b"XYZ\r\n".repeat(10)).0.concat().lines().count(), 10);
    session.receive(b"XYZ\r\nXYZ\r\nNOOP\r\n");
    let mut now = START;
    for _ in 0..2 {
        assert_eq!((session.next(now), session.wants_input()), (None, false));
        assert_eq!(session.deadline(), now.plus(SLOW_BY));
        assert_eq!(session.next(now.plus(SLOW_BY - Duration::from_millis(1))), None);
        now = now.plus(SLOW_BY);
    }
    let Some(Step::Send(replies)) = session.next(now) else { panic!() };
    assert_eq!(
        String::from_utf8_lossy(&replies).lines().map(|line| &line[..3]).collect::<Vec<_>>(),
        ["500", "500", "250"]
    );
    assert!(session.wants_input() && session.next(now).is_none());
    assert_eq!(session.deadline(), now.plus(TIMEOUT));
}

/// What proves who somebody is can be read nowhere once it has been asked about.
#[test]
fn a_response_is_in_no_output_and_no_buffer() {
    let name = |text| Domain::parse(text).unwrap();
    let settings = Settings::new(name("mx.test"), name("contoso.test"));
    let offer = Offer { mechanisms: vec![crate::sasl::Mechanism::Login], ..Offer::default() };
    let mut session = Session::new(Arc::new(settings), Arc::new(offer), IpAddr::from([192, 0, 2, 1]), START);
    assert!(matches!(session.next(START), Some(Step::Send(_))));
    drive(&mut session, b"EHLO c.test\r\n");
    session.receive(b"AUTH LOGIN aHVudGVyMg==\r\n");
    let step = session.next(START).unwrap();
    let shown = format!("{step:?} {session:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");
    session.answer(Answer::Challenge(Vec::new()));
    assert_eq!(session.next(START), Some(Step::Send(Bytes::from_static(b"334 \r\n"))));
    session.receive(b"aHVudGVyMg==\r\n");
    let step = session.next(START).unwrap();
    let shown = format!("{step:?} {session:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");
    assert_eq!(step, Step::Ask(Question::AuthResponse(b"hunter2".to_vec())));
    session.answer(Answer::Accept);
    assert!(matches!(session.next(START), Some(Step::Send(_))));
    assert!(holds_nothing(&session));
}

mod oracle;
mod robustness;
