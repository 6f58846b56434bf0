//! A provider that changes its keys, whose clock is wrong, and a person who has yet to log in: mail waits for as long as it must, and then
//! goes.

use super::delivery::{Hub, hand_in, nothing_is_shown, one_waits_and_nothing_is_returned, patient};
use super::*;
use crate::harness::relay::Relay;

/// Refreshed every few seconds, so that a test need not wait for long.
const SHORT: u32 = 5;

#[test]
fn a_person_who_logs_in_lets_the_mail_go() {
    let site = Site::new();
    let idp = Idp::start(&site, 3_600);
    let hub = Hub::start(&idp);
    let mut relay = Relay::start(&site, &patient(&site, &idp, &hub, "by-device"));
    hand_in(&relay, "bob@hub.test", "waits for a person");
    let line = relay.wait_for_log(&["deferred", "bob@hub.test", "trouble=auth"]);
    assert!(line.contains("mailroot oauth login office"), "{line}");
    relay.wait_for_log(&["alarm", "mailroot oauth login office"]);
    one_waits_and_nothing_is_returned(&relay);

    let file = site.folder.join("login.out");
    let out = fs::File::create(&file).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["oauth", "login", "office", "--config"]).arg(&relay.config);
    let mut login = Process::start(command.stdout(out.try_clone().unwrap()).stderr(out));
    let code = code_in(&file);
    one_waits_and_nothing_is_returned(&relay);
    idp.does(&format!("agree/{code}/relay@contoso.com"));
    assert!(login.ended(SOON, "the log-in ends").success(), "{}", fs::read_to_string(&file).unwrap());
    // At once: both pauses, the provider's and the queue's, are longer than this waits.
    hub.got("waits for a person");
    // What was granted outlives the process.
    relay.stop();
    relay.up();
    hand_in(&relay, "bob@hub.test", "needs no person");
    hub.got("needs no person");
    assert_eq!(relay.log().matches(" deferred ").count(), 1, "{}", relay.log());
    nothing_is_shown(&relay);
}

/// A hub that knows only the new keys refuses the tokens of old; the next one is signed by a new key.
#[test]
fn new_keys_of_the_provider_hold_up_no_mail_for_long() {
    let site = Site::new();
    let idp = Idp::start(&site, SHORT);
    let mut hub = Hub::start(&idp);
    let settings = patient(&site, &idp, &hub, "by-secret").delivery("retry = [\"1 s\"]");
    let relay = Relay::start(&site, &settings);
    hand_in(&relay, "bob@hub.test", "by the old key");
    hub.got("by the old key");
    idp.does("rotate");
    // It asks anew when it sees a key that it does not know.
    hand_in(&relay, "bob@hub.test", "by whichever key");
    hub.got("by whichever key");
    idp.does("rotate");
    hub.relay.stop();
    hub.relay.up();
    hand_in(&relay, "bob@hub.test", "by the new key");
    hub.got("by the new key");
    until(SOON, "nothing waits", || relay.queued().0.is_empty().then_some(()));
    let log = relay.log();
    assert!(!log.contains(" failed id=") && relay.dropped().is_empty(), "{log}");
    nothing_is_shown(&relay);
}

/// Tried again when there has been time for a new token; a hub locks out whom it refuses too often.
const PATIENCE: &str = "retry = [\"5 s\"]";

/// Tokens that are over when they come, and such that hold only later: the hub refuses both, and the mail waits for the right time.
#[test]
fn a_provider_whose_clock_is_wrong_holds_up_the_mail_until_it_is_right() {
    let site = Site::new();
    let idp = Idp::start(&site, SHORT);
    let hub = Hub::start(&idp);
    let settings = patient(&site, &idp, &hub, "by-secret").delivery(PATIENCE);
    for (seconds, subject) in [("-7200", "from the past"), ("7200", "from the future")] {
        idp.does(&format!("clock/{seconds}"));
        let mut relay = Relay::start(&site, &settings);
        hand_in(&relay, "bob@hub.test", subject);
        let line = relay.wait_for_log(&["deferred", "bob@hub.test", "trouble=auth", "535 5.7.8"]);
        assert!(line.contains("refused to log us on"), "{line}");
        one_waits_and_nothing_is_returned(&relay);
        idp.does("clock/0");
        hub.got(subject);
        nothing_is_shown(&relay);
        relay.stop();
        fs::remove_dir_all(site.folder.join("state")).unwrap();
        fs::remove_file(site.folder.join("mailroot.log")).unwrap();
    }
}

/// An assertion that we sign holds for minutes: it is signed by the provider's clock, and the log says whose clock is wrong.
#[test]
fn a_clock_that_differs_does_not_spoil_an_assertion() {
    let site = Site::new();
    let idp = Idp::start(&site, SHORT);
    idp.does("clock/-7200");
    let hub = Hub::start(&idp);
    let settings = patient(&site, &idp, &hub, "by-certificate").delivery(PATIENCE);
    let relay = Relay::start(&site, &settings);
    // A second more when the provider's clock struck between its answer and our reading it.
    relay.wait_for_log(&[
        "alarm",
        "The clock of this machine is 720",
        " seconds ahead of that of the identity provider",
    ]);
    hand_in(&relay, "bob@hub.test", "signed in the past");
    // A token there is; the hub's clock is ours, and for it the token is over.
    relay.wait_for_log(&["deferred", "bob@hub.test", "trouble=auth", "535 5.7.8"]);
    one_waits_and_nothing_is_returned(&relay);
    idp.does("clock/0");
    hub.got("signed in the past");
    nothing_is_shown(&relay);
}
