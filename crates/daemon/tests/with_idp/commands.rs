//! `mailroot oauth`: list, login, logout, test.

use super::*;
use crate::harness::relay::{Relay, Settings};

fn relay(site: &Site, idp: &Idp, clients: &[&str]) -> Relay {
    let settings = clients.iter().fold(Settings::new(site), |settings, client| {
        let host = format!("hosts = [\"{}\"]", site.at(9, 587));
        settings.smart_host_object(client, &[&host, "tls = \"required\"", &idp.auth(client)])
    });
    Relay::prepare(site, &settings)
}

/// Standard output goes into a file, so that one can read it while the command waits.
fn log_in(site: &Site, relay: &Relay) -> (Process, PathBuf) {
    let file = site.folder.join("login.out");
    let out = fs::File::create(&file).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["oauth", "login", "by-device", "--config"]).arg(&relay.config);
    command.stdout(out.try_clone().unwrap()).stderr(out);
    (Process::start(&mut command), file)
}

#[test]
fn every_grant_brings_a_token_that_no_command_shows() {
    let site = Site::new();
    let idp = Idp::start(&site, 3_600);
    let clients = ["by-secret", "by-certificate", "by-account", "by-refresh"];
    let relay = relay(&site, &idp, &clients);
    // The second time with what was kept: a refresh token that was good once.
    for client in clients.iter().chain(&clients) {
        let output = oauth(&relay.config, &["test", client]);
        let text = said(&output);
        assert!(output.status.success(), "{client}: {text}");
        assert!(text.contains("roles: SMTP.SendAsApp") && text.contains("aud: https://mail.test"), "{client}: {text}");
        assert!(text.contains("for logging on as relay@contoso.com"), "{text}");
        assert!(!text.contains("eyJ") && !text.contains("s3cret"), "{text}");
    }
    assert_eq!(idp.asked().lines().count(), 8, "{}", idp.asked());
    let output = oauth(&relay.config, &["list", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for (at, client) in clients.iter().enumerate() {
        assert_eq!(
            (listed[at]["name"].as_str(), listed[at]["standing"].as_str()),
            (Some(*client), Some("good")),
            "{listed}"
        );
        assert_eq!(listed[at]["has_refresh_token"].as_bool(), Some(*client == "by-refresh"));
    }
    assert!(!said(&output).contains("eyJ"), "{}", said(&output));
    let folder = relay.config.parent().unwrap().join("state/oauth");
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn a_person_logs_in_and_out() {
    let site = Site::new();
    let idp = Idp::start(&site, 3_600);
    let relay = relay(&site, &idp, &["by-device", "by-secret"]);
    let output = oauth(&relay.config, &["list"]);
    assert!(said(&output).contains("nobody has logged in"), "{}", said(&output));
    assert_eq!(output.status.code(), Some(1));

    let (mut login, file) = log_in(&site, &relay);
    idp.does(&format!("agree/{}/relay@contoso.com", code_in(&file)));
    let status = login.ended(SOON, "the log-in ends");
    let text = fs::read_to_string(&file).unwrap();
    assert!(status.success() && text.contains("Logged in."), "{text}");
    assert!(text.contains("Log in there as relay@contoso.com") && text.contains("/device-log-in"), "{text}");
    assert!(!text.contains("eyJ"), "{text}");
    let output = oauth(&relay.config, &["test", "by-device"]);
    assert!(output.status.success() && said(&output).contains("upn: relay@contoso.com"), "{}", said(&output));

    let output = oauth(&relay.config, &["logout", "by-device"]);
    assert!(output.status.success() && said(&output).contains("are forgotten"), "{}", said(&output));
    let output = oauth(&relay.config, &["test", "by-device"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("mailroot oauth login by-device"), "{}", said(&output));
    let output = oauth(&relay.config, &["logout", "by-device"]);
    assert!(output.status.success() && said(&output).contains("No tokens of"), "{}", said(&output));
}

#[test]
fn what_does_not_work_says_why_and_ends_with_1() {
    let site = Site::new();
    let idp = Idp::start(&site, 3_600);
    let relay = relay(&site, &idp, &["by-device", "by-secret"]);
    let fails = |words: &[&str], expected: &str| {
        let output = oauth(&relay.config, words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(said(&output).contains(expected), "{words:?}: {}", said(&output));
    };
    fails(&["login", "by-secret"], "nobody needs to log in");
    fails(&["test", "elsewhere"], "those that do: \"by-device\", \"by-secret\"");
    idp.secret("secret", "wrong");
    fails(&["test", "by-secret"], "Check client_id, and the secret or certificate.");
    fs::set_permissions(idp.folder.join("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    fails(&["test", "by-secret"], "chmod 600");
    idp.secret("secret", "s3cret&value");
    idp.does("trouble/html");
    fails(&["test", "by-secret"], "a web page");
    idp.does("trouble/down");
    fails(&["test", "by-secret"], "temporarily_unavailable");
    idp.does("trouble/none");
    assert!(oauth(&relay.config, &["test", "by-secret"]).status.success());
    // The person says no.
    let (mut login, file) = log_in(&site, &relay);
    idp.does(&format!("agree/{}/nobody", code_in(&file)));
    assert_eq!(login.ended(SOON, "the log-in ends").code(), Some(1));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("Log in: mailroot oauth login by-device"), "{text}");
}
