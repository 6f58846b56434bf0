//! `mailroot explain` answers as a session does, for every form of an address; and it names what decides, by file and line.

mod with_clients;

use crate::gate::FORMS;
use crate::harness::client::Client;
use crate::harness::relay::{PROGRAM, Relay, Settings};
use crate::harness::{Site, run};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// `mailroot explain --config FILE WORDS`
fn explain(config: &Path, words: &[&str]) -> Output {
    run(Command::new(PROGRAM).arg("explain").arg("--config").arg(config).args(words))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The last decision's reply; `None`: accepted. From the JSON, whose shape the test knows.
fn refusal(output: &Output) -> Option<String> {
    let json = String::from_utf8(output.stdout.clone()).unwrap();
    let accepted = json.contains("\n  \"accepted\": true") || json.starts_with("{\n  \"accepted\": true");
    assert_eq!(output.status.code(), Some(if accepted { 0 } else { 1 }), "{}", text(output));
    let at = json.rfind("\"reply\": \"")? + "\"reply\": \"".len();
    let mut reply = String::new();
    let mut rest = json[at..].chars();
    while let Some(c) = rest.next().filter(|c| *c != '"') {
        match c {
            '\\' => match rest.next().unwrap() {
                'u' => {
                    let code: String = rest.by_ref().take(4).collect();
                    reply.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap());
                }
                c => reply.push(c),
            },
            c => reply.push(c),
        }
    }
    assert!(!accepted, "{json}");
    Some(reply)
}

/// The first refusal of a session; `None`: the recipient is taken.
fn session(relay: &Relay, sender: &str, recipient: &str) -> Option<String> {
    let mut client = Client::connect(relay.at);
    let banner = client.reply();
    if banner.code != 220 {
        return Some(banner.text());
    }
    client.say("EHLO client.test");
    let utf8 = if sender.is_ascii() && recipient.is_ascii() { "" } else { " SMTPUTF8" };
    let replies = [format!("MAIL FROM:{sender}{utf8}"), format!("RCPT TO:{recipient}")].map(|line| client.say(&line));
    replies.into_iter().find(|reply| reply.code != 250).map(|reply| reply.text())
}

#[test]
fn it_answers_as_a_session_does_for_every_form_of_an_address() {
    let senders = ["<>", "<boss@local.test>", "<root@[127.0.0.1]>", "<x@out.example>", "<bare>", "<a%b@local.test>"];
    let more = ["<v@local.test>", "<V@LOCAL.TEST.>", "<postmaster>", "<v@partner.test>", "<v@a.alias.test>", "<>"];
    // Nobody may relay, everybody here may, and everybody who may connect.
    for relay in ["{ only = [\"192.0.2.1\"] }", "{ only = [\"127.0.0.0/8\"] }", "{ all_except = [\"127.0.0.7\"] }"] {
        let site = Site::new();
        let settings = Settings::new(&site)
            .access(&format!("relay = {relay}"))
            .access("connection = { only = [\"127.0.0.0/8\"] }")
            .smart_host(site.at(2, 2525))
            .alias("*.alias.test")
            .remote("partner.test", &["allow_relay = true"]);
        let relay = Relay::start(&site, &settings);
        let mut refused = 0;
        for (number, form) in FORMS.iter().chain(&more).enumerate() {
            // No program can be handed a NUL in an argument.
            if form.contains('\0') {
                continue;
            }
            let form = form.replace("IP", &relay.at.ip().to_string());
            let sender = senders[number % senders.len()];
            let said = session(&relay, sender, &form);
            let words = ["--json", "--from", "127.0.0.1", "--sender", sender, "--rcpt", &form];
            let explained = refusal(&explain(&relay.config, &words));
            refused += usize::from(said.is_some());
            assert_eq!(explained, said, "{sender} {form}");
        }
        assert!(refused > 10, "{refused}");
    }
}

#[test]
fn it_answers_for_a_configuration_that_is_not_in_force_and_names_the_line() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site).access("relay = { only = [\"192.0.2.1\"] }"));
    let words = ["--from", "127.0.0.1", "--helo", "app.test", "--sender", "a@local.test", "--rcpt", "v@out.example"];
    let before = explain(&relay.config, &words);
    assert_eq!(before.status.code(), Some(1), "{}", text(&before));
    let lines = fs::read_to_string(&relay.config).unwrap();
    let line = 1 + lines.lines().position(|line| line.starts_with("relay = ")).unwrap();
    let decided = format!("access.relay.only = [192.0.2.1] ({}:{line})", relay.config.display());
    assert!(text(&before).contains(&decided), "{decided}\n{}", text(&before));
    assert!(text(&before).contains("550 5.7.1"), "{}", text(&before));

    let new = site.folder.write("new.toml", lines.replace("\"192.0.2.1\"", "\"192.0.2.1\",\n\"127.0.0.1\""));
    let after = explain(&new, &words);
    assert_eq!(after.status.code(), Some(0), "{}", text(&after));
    for stage in ["connection ", "TLS ", "authentication ", "sender ", "recipient ", "rewriting ", "route "] {
        assert!(text(&after).lines().any(|line| line.starts_with(stage)), "{stage}: {}", text(&after));
    }
    let decided = format!("access.relay.only = 127.0.0.1 ({}:{})", new.display(), line + 1);
    assert!(text(&after).contains(&decided), "{decided}\n{}", text(&after));
    assert!(session(&relay, "<a@local.test>", "<v@out.example>").is_some(), "the old one is in force");
}

#[test]
fn questions_that_cannot_be_answered_end_with_2() {
    let site = Site::new();
    let relay = Relay::prepare(&site, &Settings::new(&site));
    let asked = ["--from", "127.0.0.1", "--sender", "a@b.test", "--rcpt", "c@d.test"];
    let with = |more: &[&str]| explain(&relay.config, &[&asked[..], more].concat());
    for (more, words) in [
        (&["--server", "Other"][..], "There is no virtual server \"Other\""),
        (&["--port", "1"], "does not listen on port 1"),
        (&["--method", "PLAIN"], "--auth"),
        (&["--auth", "x", "--method", "MAGIC"], "no such method"),
        (&["--certificate", "sha256:1"], "64 hexadecimal digits"),
    ] {
        let output = with(more);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", text(&output));
        assert!(text(&output).contains(words), "{more:?}: {}", text(&output));
    }
    let missing = explain(&site.folder.join("none.toml"), &asked);
    assert_eq!(missing.status.code(), Some(2));
    let broken = site.folder.write("broken.toml", "[[virtual_server]]\nname = 1\n");
    let output = explain(&broken, &asked);
    assert!(output.status.code() == Some(2) && text(&output).contains("broken.toml:2:8"), "{}", text(&output));
    let output = explain(&relay.config, &["--from", "nobody", "--sender", "a@b.test", "--rcpt", "c@d.test"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

/// Two virtual servers: which one is meant must be said, by name or by port.
#[test]
fn one_of_several_is_chosen_by_name_or_port() {
    let site = Site::new();
    let config = site.folder.write(
        "two.toml",
        "[[virtual_server]]\nname = \"One\"\nhome = \"one\"\ngeneral.listen = [\"127.0.0.1:2501\"]\ndelivery.fqdn = \"one.test\"\n\
         [[virtual_server]]\nname = \"Two\"\nhome = \"two\"\ngeneral.listen = [\"127.0.0.1:2502\"]\ndelivery.fqdn = \"two.test\"\n\
         access.relay.only = [\"127.0.0.1\"]\n",
    );
    let asked = ["--from", "127.0.0.1", "--sender", "a@b.test", "--rcpt", "c@d.test"];
    let code = |more: &[&str]| explain(&config, &[&asked[..], more].concat()).status.code();
    assert_eq!(code(&[]), Some(2));
    assert_eq!((code(&["--server", "one"]), code(&["--server", "Two"])), (Some(1), Some(0)));
    assert_eq!((code(&["--port", "2501"]), code(&["--port", "2502"])), (Some(1), Some(0)));
}

#[test]
fn what_command_inspection_stops_is_explained_as_it_is_said() {
    let site = Site::new();
    let verbs = "{ EHLO = 255, MAIL = 60, RCPT = 40, DATA = 6, QUIT = 6 }";
    let settings = Settings::new(&site).access(&format!("inspection = {{ verbs = {verbs}, extensions = [\"SIZE\"] }}"));
    let relay = Relay::start(&site, &settings);
    let long = format!("<{}@apps.test>", "a".repeat(60));
    for (sender, rcpt, taken) in [
        ("<a@apps.test>", "<v@local.test>", true),
        (long.as_str(), "<v@local.test>", false),
        ("<a@apps.test>", "<v.with.a.name.too.long@local.test>", false),
        ("<jörg@apps.test>", "<v@local.test>", false),
    ] {
        let said = session(&relay, sender, rcpt);
        assert_eq!(said.is_none(), taken, "{sender} {rcpt}: {said:?}");
        let words = ["--json", "--from", "127.0.0.1", "--sender", sender, "--rcpt", rcpt];
        assert_eq!(refusal(&explain(&relay.config, &words)), said, "{sender} {rcpt}");
    }
}
