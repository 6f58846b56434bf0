//! Mail handed in by the clients that people use: swaks, Python's smtplib, curl; and what `mailroot try` tells to type.

use crate::harness::mail::{assert_same, tricky, values};
use crate::harness::relay::{PROGRAM, Relay, Settings};
use crate::harness::tools::{curl, python, swaks};
use crate::harness::{Process, SOON, Site, files, run_well, until};
use std::fs;
use std::process::Command;

#[test]
fn swaks_curl_and_smtplib_reach_drop_whole() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let sent = tricky("drop by swaks");
    let output = swaks(&site, relay.at, "a@apps.test", "b@local.test", &sent, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_same(&relay.wait_for_drop("drop by swaks"), &sent, "Drop");
    let sent = tricky("drop by curl");
    curl(&site, relay.at, "a@apps.test", &["b@local.test", "c@local.test"], &sent);
    assert_same(&relay.wait_for_drop("drop by curl"), &sent, "Drop");
    let sent = tricky("drop by smtplib");
    python(&site, relay.at, &sent, "s.sendmail('a@apps.test', ['b@local.test'], content)");
    assert_same(&relay.wait_for_drop("drop by smtplib"), &sent, "Drop");
}

#[test]
fn swaks_pipelines() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let sent = tricky("pipelined");
    let output = swaks(&site, relay.at, "a@apps.test", "b@local.test,c@local.test", &sent, &["--pipeline"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let dropped = relay.wait_for_drop("pipelined");
    assert_same(&dropped, &sent, "Drop");
    assert_eq!(values(&dropped, "x-receiver").len(), 2);
}

#[test]
fn smtplib_speaks_eight_bits_and_utf8() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let program = "
from email.message import EmailMessage
from email import policy
m = EmailMessage(policy=policy.SMTPUTF8)
m['From'] = 'Jörg <jörg@apps.test>'
m['To'] = 'Müller <müller@local.test>'
m['Subject'] = 'Grüße aus Köln'
m.set_content('Schöne Grüße\\n', cte='8bit')
s.ehlo()
print(sorted(s.esmtp_features))
s.send_message(m)
s.mail('x@apps.test', ['BODY=8BITMIME', 'SIZE=100'])
s.rset()
print(s.verify('bob')[0], s.help()[:3], s.noop()[0])
";
    let said = python(&site, relay.at, b"", program);
    for keyword in
        ["8bitmime", "binarymime", "chunking", "dsn", "enhancedstatuscodes", "pipelining", "size", "smtputf8"]
    {
        assert!(said.contains(&format!("'{keyword}'")), "{keyword} is not offered: {said}");
    }
    assert!(said.contains("252"), "{said}");
    let dropped = relay.wait_for_drop("Schöne Grüße");
    let text = String::from_utf8_lossy(&dropped).into_owned();
    assert!(text.contains("müller@local.test") && text.contains("Grüße aus Köln"), "{text}");
}

#[test]
fn try_makes_its_home_and_what_it_tells_works() {
    let site = Site::new();
    let out = site.folder.join("out");
    let file = fs::File::create(&out).unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("try").current_dir(site.folder.path()).stdout(file.try_clone().unwrap()).stderr(file);
    let mut process = Process::start(&mut command);
    let text = until(2 * SOON, "it tells of its port", || {
        let text = fs::read_to_string(&out).unwrap();
        (text.contains("is running") && text.contains("127.0.0.1:") && text.contains("Configuration:")).then_some(text)
    });
    for name in ["Pickup", "Drop", "Queue", "Badmail"] {
        assert!(text.contains(name), "{name} is not told:\n{text}");
        until(SOON, name, || site.folder.join("mailroot-try").join(name).is_dir().then_some(()));
    }
    // What it tells to type works as it stands.
    let drop = site.folder.join("mailroot-try/Drop");
    let told: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with("printf")).collect();
    assert!(told.len() >= 2, "an example each for curl and for Pickup:\n{text}");
    for (number, line) in told.iter().enumerate() {
        run_well(Command::new("sh").arg("-c").arg(line).current_dir(site.folder.path()));
        until(SOON, &format!("the message of {line:?} lies in Drop"), || {
            (files(&drop).len() == number + 1).then_some(())
        });
    }
    process.signal("INT");
    assert!(process.ended(SOON, "it ends").success());
}
