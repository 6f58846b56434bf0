//! TLS and AUTH by swaks, curl and Python's smtplib.

use super::{PASSWORD, python, settings};
use crate::harness::mail::{assert_same, plain, tricky, values};
use crate::harness::peer::{Peer, Script};
use crate::harness::relay::{Relay, Settings};
use crate::harness::tools::swaks;
use crate::harness::{Site, run, run_well};
use std::fs;
use std::process::Command;

/// The `Received:` of a message, unfolded.
fn received(message: &[u8]) -> String {
    let value = values(message, "received").into_iter().next().unwrap_or_default();
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn starttls_by_swaks_is_told_in_received() {
    let site = Site::new();
    let (settings, _) = settings(&site);
    let relay = Relay::start(&site, &settings);
    let sent = tricky("under tls");
    let output = swaks(&site, relay.at, "a@apps.test", "b@local.test", &sent, &["--tls"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let dropped = relay.wait_for_drop("under tls");
    assert_same(&dropped, &sent, "Drop");
    let received = received(&dropped);
    assert!(received.contains(" with ESMTPS id ") && received.contains(" tls TLS_AES_"), "{received}");
    assert!(received.contains(" (TLSv1.3);"), "{received}");
}

#[test]
fn plain_and_login_by_swaks_open_the_relay_and_are_told_everywhere() {
    let site = Site::new();
    let (settings, doors) = settings(&site);
    // The next hop asks to wait, so that the envelope is parked where one can read it.
    let next = Peer::start(site.at(10, 2525), Script::default());
    let relay = Relay::start(&site, &settings.smart_host(site.at(10, 2525)));
    for (at, tls, method) in [
        (relay.at, "--tls", "PLAIN"),
        (doors.submission, "--tls", "LOGIN"),
        (doors.implicit, "--tls-on-connect", "PLAIN"),
    ] {
        let content = plain(&format!("by {at}"), "c@elsewhere.test");
        let more = [tls, "--auth", method, "--auth-user", "alice", "--auth-password", PASSWORD];
        let output = swaks(&site, at, "alice@local.test", "c@elsewhere.test", &content, &more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let taken = next.wait_for(&format!("by {at}")).content;
        assert!(received(&taken).contains(" with ESMTPSA id "), "{}", received(&taken));
    }
    let log = relay.log();
    assert!(log.contains(" account=alice"), "{log}");
    for secret in [PASSWORD, "czNjcmV0LVdvcmQ", "YWxpY2UA", "s3cret"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn the_envelope_tells_who_handed_it_in() {
    let site = Site::new();
    let (settings, doors) = settings(&site);
    // Nobody answers there.
    let relay = Relay::start(&site, &settings.smart_host(site.at(99, 2525)));
    let content = plain("parked", "c@elsewhere.test");
    let more = ["--tls", "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", PASSWORD];
    let output = swaks(&site, doors.submission, "alice@local.test", "c@elsewhere.test", &content, &more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let envelope = crate::harness::until(crate::harness::SOON, "the envelope is parked", || {
        relay.queued().0.first().and_then(|path| fs::read_to_string(path).ok())
    });
    assert!(envelope.contains("\naccount: alice\n"), "{envelope}");
}

#[test]
fn curl_speaks_implicit_tls_and_starttls() {
    let site = Site::new();
    let (settings, doors) = settings(&site);
    let relay = Relay::start(&site, &settings);
    for (name, url, more) in [
        ("smtps", format!("smtps://{}/curl.test", doors.implicit), "--insecure"),
        ("starttls", format!("smtp://{}/curl.test", doors.submission), "--ssl-reqd"),
    ] {
        let file = site.folder.write(name, plain(&format!("by curl {name}"), "b@local.test"));
        run_well(
            Command::new("curl")
                .args(["-sS", "--max-time", "30", "--insecure", more, &url, "--mail-from", "alice@local.test"])
                .args(["--mail-rcpt", "b@local.test", "--user", &format!("alice:{PASSWORD}"), "--upload-file"])
                .arg(file),
        );
        let dropped = relay.wait_for_drop(&format!("by curl {name}"));
        assert!(received(&dropped).contains(" with ESMTPSA id "), "{}", received(&dropped));
    }
}

#[test]
fn smtplib_logs_on_and_may_send_as_itself_alone() {
    let site = Site::new();
    let (settings, doors) = settings(&site);
    let relay = Relay::start(&site, &settings);
    let said = python(
        &site,
        "logon.py",
        doors.submission,
        "
s = smtplib.SMTP(host, port, local_hostname='python.test', timeout=30)
s.starttls(context=tls)
s.ehlo()
print(s.esmtp_features['auth'])
print(s.login('bob', password)[0])
print(s.mail('bob@local.test')[0], s.rset()[0], s.mail('alice@local.test'))
s.quit()
",
    );
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].contains("PLAIN LOGIN"), "{said}");
    assert_eq!(lines[1], "235", "{said}");
    assert!(lines[2].starts_with("250 250 (553, b'5.7.1 "), "{said}");
    relay.wait_for_log(&["by=may_send_as"]);
}

#[test]
fn in_the_clear_nothing_is_offered_and_no_password_is_taken() {
    let site = Site::new();
    let (settings, doors) = settings(&site);
    let relay = Relay::start(&site, &settings);
    let program = "
s = connect()
lines(s)
print('AUTH' in say(s, 'EHLO x.test'))
print(say(s, 'AUTH PLAIN AGFsaWNlAHMzY3JldC1Xb3Jk')[:10])
print(say(s, 'AUTH LOGIN')[:10])
print(say(s, 'MAIL FROM:<a@x.test>')[:9])
print(say(s, 'STARTTLS now')[:9])
print(say(s, 'STARTTLS')[:9])
s = tls.wrap_socket(s, server_hostname='relay.test')
print('STARTTLS' in say(s, 'EHLO x.test'))
print(say(s, 'STARTTLS')[:9])
print(say(s, 'MAIL FROM:<a@x.test>')[:9])
print(say(s, 'AUTH PLAIN AGFsaWNlAHMzY3JldC1Xb3Jk')[:9])
print(say(s, 'AUTH PLAIN AGFsaWNlAHMzY3JldC1Xb3Jk')[:9])
";
    let said = python(&site, "clear.py", doors.submission, program);
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        "False",
        "538 5.7.11",
        "538 5.7.11",
        "530 5.7.0",
        "501 5.5.4",
        "220 2.0.0",
        "False",
        "503 5.5.1",
        "530 5.7.0",
        "235 2.7.0",
        "503 5.5.1",
    ];
    assert_eq!(lines, expected, "{said}");
    // Where TLS is not asked for, mail may be sent without; a password not.
    let program = program.split("print(say(s, 'STARTTLS now')").next().unwrap();
    let said = python(&site, "clear.py", relay.at, program);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines, ["False", "538 5.7.11", "538 5.7.11", "250 2.1.0"], "{said}");
}

/// Wrong passwords are answered late and end the session; the account's own network is locked out after five.
#[test]
fn thirty_wrong_passwords() {
    let site = Site::new();
    let (settings, doors) = settings(&site);
    let mut settings: Settings = settings;
    settings.access.retain(|line| !line.starts_with("authentication"));
    let lockout = "authentication = { methods = [\"PLAIN\"], lockout = { after = 3, for = \"1 min\" } }";
    let relay = Relay::start(&site, &settings.access(lockout));
    let said = python(
        &site,
        "wrong.py",
        doors.implicit,
        "
codes = []
started = time.time()
while len(codes) < 30 and time.time() - started < 30:
    s = tls.wrap_socket(connect(), server_hostname='relay.test')
    lines(s)
    say(s, 'EHLO x.test')
    for n in range(6):
        reply = say(s, 'AUTH PLAIN ' + base64.b64encode(b'\\0alice\\0wrong%d' % len(codes)).decode())
        codes.append(reply[:3])
        if reply[:3] == '421' or not reply: break
print(' '.join(codes))
",
    );
    let codes: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(codes[..4], ["535", "535", "535", "421"], "{said}");
    assert!(!codes.contains(&"235"), "{said}");
    let log = relay.log();
    assert!(log.contains("alice") && !log.contains("wrong1") && !log.contains("AGFsaWNl"), "{log}");
    // The right password is refused from there as well now, in the same words.
    let output = swaks(
        &site,
        doors.implicit,
        "alice@local.test",
        "b@local.test",
        &plain("locked", "b@local.test"),
        &["--tls-on-connect", "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", PASSWORD],
    );
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A file that others may read is no accounts file: nobody can log on, all else works, and the log says what to do.
#[test]
fn an_accounts_file_that_all_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let (settings, doors) = settings(&site);
    fs::set_permissions(site.folder.join("accounts.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let relay = Relay::start(&site, &settings);
    relay.wait_for_log(&["alarm", "accounts.toml", "chmod 600"]);
    let output = run(Command::new("swaks").args([
        "--server",
        &doors.implicit.to_string(),
        "--tls-on-connect",
        "--quit-after",
        "EHLO",
    ]));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("250") && !said.contains("AUTH"), "{said}");
}

/// An account has its own measure, over all connections, whatever address it comes from.
#[test]
fn an_account_may_send_so_much() {
    let site = Site::new();
    let (settings, doors) = settings(&site);
    let relay = Relay::start(&site, &settings.access("rate = { messages_per_account = \"2/h\" }"));
    let said = python(
        &site,
        "rate.py",
        doors.implicit,
        "
def send(account):
    s = tls.wrap_socket(connect(), server_hostname='relay.test')
    lines(s); say(s, 'EHLO x.test')
    say(s, 'AUTH PLAIN ' + base64.b64encode(('\\0%s\\0%s' % (account, password)).encode()).decode())
    return say(s, 'MAIL FROM:<%s@local.test>' % account)[:9]
print([send('alice'), send('Alice'), send('alice'), send('bob')])
",
    );
    assert_eq!(said, "['250 2.1.0', '250 2.1.0', '450 4.7.1', '250 2.1.0']\n");
    relay.wait_for_log(&["refused", "by=access.rate.messages_per_account"]);
}
