//! With a real Dovecot: LMTP in, POP3 out. Needs root. This is the old service's own picture: relay, mailbox server,
//! POP3 client.

use crate::harness::client::{Client, stuffed};
use crate::harness::dovecot::Dovecot;
use crate::harness::mail::{assert_same, tricky};
use crate::harness::relay::{Relay, Settings};
use crate::harness::tools::{Dotnet, curl, python, swaks};
use crate::harness::{Site, files, run_well, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn dovecot_itself_takes_a_message_whole() {
    let site = Site::new();
    let dovecot = Dovecot::start(&site, 3);
    let sent = tricky("dovecot by itself");
    let mut lmtp = Client::connect(dovecot.lmtp);
    assert_eq!(lmtp.reply().code, 220);
    assert_eq!(lmtp.say("LHLO client.test").code, 250);
    lmtp.open("a@apps.test", &["bob@dest.test"]);
    lmtp.send(stuffed(&sent));
    let reply = lmtp.reply();
    assert_eq!(reply.code, 250, "{reply:?}\n{}", dovecot.log());
    assert_same(&dovecot.wait_for("dovecot by itself"), &sent, "the POP3 download");
}

#[test]
fn every_client_reaches_a_mailbox_over_lmtp() {
    let site = Site::new();
    let dovecot = Dovecot::start(&site, 3);
    let route = format!("route = \"lmtp://[{}]:{}\"", dovecot.lmtp.ip(), dovecot.lmtp.port());
    let relay = Relay::start(&site, &Settings::new(&site).local(&route));
    let by_swaks = tricky("lmtp by swaks");
    let output = swaks(&site, relay.at, "a@apps.test", "bob@local.test", &by_swaks, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let by_curl = tricky("lmtp by curl");
    curl(&site, relay.at, "a@apps.test", &["bob@local.test"], &by_curl);
    let by_python = tricky("lmtp by smtplib");
    python(&site, relay.at, &by_python, "s.sendmail('a@apps.test', ['bob@local.test'], content)");
    let by_dotnet = tricky("lmtp by dotnet");
    let mut file = Dotnet::create(&relay.folder("Pickup"), "1.eml", "a@apps.test", &["bob@local.test"]);
    file.write(&by_dotnet);
    file.close();
    assert_same(&dovecot.wait_for("lmtp by swaks"), &by_swaks, "the POP3 download");
    assert_same(&dovecot.wait_for("lmtp by curl"), &by_curl, "the POP3 download");
    assert_same(&dovecot.wait_for("lmtp by smtplib"), &by_python, "the POP3 download");
    assert_same(&dovecot.wait_for("lmtp by dotnet"), &by_dotnet, "the POP3 download");
    // Another POP3 client, the way people fetch their mail.
    let folder = fetched(&site, &dovecot);
    let all: Vec<Vec<u8>> = files(&folder).iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(all.len(), 4, "fetchmail brought {} messages", all.len());
}

/// Downloads all mail with fetchmail, one file a message.
fn fetched(site: &Site, dovecot: &Dovecot) -> std::path::PathBuf {
    let folder = site.folder.join("fetched");
    fs::create_dir(&folder).unwrap();
    let text = format!(
        "set no bouncemail\npoll {} protocol pop3 port {} auth password user bob password secret sslproto ''\n\
         mda \"cat > {}/$(date +%N)\"\n",
        dovecot.pop3.ip(),
        dovecot.pop3.port(),
        folder.display()
    );
    let rc = site.folder.write("fetchmailrc", text);
    fs::set_permissions(&rc, fs::Permissions::from_mode(0o600)).unwrap();
    run_well(
        Command::new("fetchmail")
            .args(["--silent", "--nosyslog", "--fetchall", "--keep", "--fetchmailrc"])
            .arg(&rc)
            .arg("--pidfile")
            .arg(site.folder.join("fetchmail.pid"))
            .arg("--idfile")
            .arg(site.folder.join("fetchmail.ids")),
    );
    folder
}

#[test]
fn lmtp_over_a_unix_socket_with_one_unknown_mailbox() {
    let site = Site::new();
    let dovecot = Dovecot::start(&site, 3);
    let route = format!("route = \"lmtp+unix:{}\"", dovecot.socket.display());
    let settings = Settings::new(&site).remote("boxes.test", &[&route]);
    let relay = Relay::start(&site, &settings);
    let sent = tricky("over the socket");
    let mut client = Client::greet(relay.at);
    let reply = client.message("alice@local.test", &["bob@boxes.test", "nobody@boxes.test"], &sent);
    assert_eq!(reply.code, 250, "{reply:?}");
    assert_same(&dovecot.wait_for("over the socket"), &sent, "the POP3 download");
    let report = relay.wait_for_drop("nobody@boxes.test");
    assert!(crate::harness::has(&report, "Action: failed"), "{}", String::from_utf8_lossy(&report));
    until(crate::harness::SOON, "Queue is empty", || relay.queued().0.is_empty().then_some(()));
    assert_eq!(dovecot.download().len(), 1);
}

#[test]
fn each_mailbox_behind_lmtp_has_its_own_outcome_after_the_content() {
    let site = Site::new();
    let dovecot = Dovecot::start(&site, 3);
    let route = format!("route = \"lmtp://[{}]:{}\"", dovecot.lmtp.ip(), dovecot.lmtp.port());
    let settings = Settings::new(&site)
        .remote("boxes.test", &[&route])
        .delivery("glitch_retry = { every = \"1 s\", times = 0 }")
        .delivery("retry = [\"1 s\"]");
    let relay = Relay::start(&site, &settings);
    dovecot.break_mailbox("carol");
    let mut client = Client::greet(relay.at);
    let reply = client.message("alice@local.test", &["bob@boxes.test", "carol@boxes.test"], &tricky("for both"));
    assert_eq!(reply.code, 250, "{reply:?}");
    dovecot.wait_for("for both");
    let envelope = until(crate::harness::SOON, "Carol's outcome is noted", || {
        let text = relay.queued().0.iter().filter_map(|path| fs::read_to_string(path).ok()).collect::<String>();
        text.contains("attempt: ").then_some(text)
    });
    assert!(envelope.contains("recipient: carol@boxes.test\n number: 1\n fate: pending"), "{envelope}");
    assert!(envelope.contains("recipient: bob@boxes.test\n number: 0\n fate: delivered"), "{envelope}");
    dovecot.mend("carol");
    until(crate::harness::SOON, "Carol has hers", || (dovecot.delivered_to("carol") == 1).then_some(()));
    until(crate::harness::SOON, "Queue is empty", || relay.queued().0.is_empty().then_some(()));
    assert_eq!(dovecot.download().len(), 1, "Bob has it once");
}
