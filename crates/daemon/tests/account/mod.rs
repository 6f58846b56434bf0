//! `mailroot account` as an operator uses it: the file that it leaves, and what it says when something is wrong.

mod with_clients;

use crate::harness::client::{Client, stuffed};
use crate::harness::mail::plain;
use crate::harness::relay::{PROGRAM, Relay, Settings};
use crate::harness::{SOON, Site, run, until};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the program did: its exit code, standard output, standard error.
fn account(folder: &Path, arguments: &str, input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mailroot"))
        .arg("account")
        .args(arguments.split(' '))
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn file(folder: &Path) -> String {
    fs::read_to_string(folder.join("accounts.toml")).unwrap()
}

const AT: &str = "--accounts accounts.toml";

#[test]
fn the_life_of_an_account() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let add = format!("add alice --password-stdin --may-send-as *@example.com {AT}");
    assert_eq!(account(folder, &add, "s3cret\n"), (0, String::new(), String::new()));
    assert_eq!(fs::metadata(folder.join("accounts.toml")).unwrap().permissions().mode() & 0o7777, 0o600);
    let first = file(folder);
    assert!(
        first.contains("password = \"$argon2id$v=19$m=19456,t=2,p=1$")
            && first.contains("scram = { iterations = 100000")
    );
    assert!(!first.contains("s3cret") && !first.contains("nt_hash"));

    let (code, _, warning) = account(folder, &format!("add bob --ntlm --password-stdin {AT}"), "Password\r\n");
    assert_eq!(code, 0);
    assert!(
        warning.starts_with("Warning: the NT hash") && warning.contains("as good as the password itself"),
        "{warning}"
    );
    assert!(file(folder).contains("nt_hash = \"a4f49c406510bdcab6824ee7c30fd852\""));

    assert_eq!(account(folder, &format!("disable ALICE {AT}"), "").0, 0);
    let list = account(folder, &format!("list {AT}"), "").1;
    assert_eq!(list, "alice  PLAIN LOGIN SCRAM  *@example.com  disabled\nbob  PLAIN LOGIN SCRAM NTLM  any sender\n");
    assert_eq!(account(folder, &format!("enable alice {AT}"), "").0, 0);
    assert!(!account(folder, &format!("list {AT}"), "").1.contains("disabled"));

    let (code, _, note) = account(folder, &format!("passwd bob --password-stdin {AT}"), "other\n");
    assert_eq!(code, 0);
    assert!(note.starts_with("Note: the NT hash is gone"), "{note}");
    let salt_key = |text: &str| text.lines().find(|line| line.starts_with("salt_key")).map(str::to_owned);
    assert!(salt_key(&first).is_some() && salt_key(&first) == salt_key(&file(folder)));

    assert_eq!(account(folder, &format!("remove bob {AT}"), "").0, 0);
    assert_eq!(account(folder, &format!("list {AT}"), "").1, "alice  PLAIN LOGIN SCRAM  *@example.com\n");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing is left beside the file");
}

/// Each of them reads the file, changes it and writes it anew: none may forget what another has written meanwhile.
#[test]
fn commands_at_the_same_time_lose_no_account() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let names: Vec<String> = (0..12).map(|number| format!("user{number}")).collect();
    let add = |name: &str| account(folder, &format!("add {name} --password-stdin {AT}"), "s3cret\n");
    std::thread::scope(|scope| {
        let all: Vec<_> = names.iter().map(|name| scope.spawn(move || add(name))).collect();
        for one in all {
            assert_eq!(one.join().unwrap(), (0, String::new(), String::new()));
        }
    });
    let list = account(folder, &format!("list {AT}"), "").1;
    for name in &names {
        assert!(list.contains(&format!("{name}  PLAIN")), "{name} is lost: {list}");
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing is left beside the file");
}

/// Whoever reads an NT hash can log on with it where NTLM is on: it is kept for nothing else.
#[test]
fn an_nt_hash_is_kept_only_where_ntlm_is_on() {
    let site = Site::new();
    let folder = site.folder.path();
    let config = |methods: &str| {
        let settings = Settings::new(&site).access(&format!("authentication = {{ methods = [{methods}] }}"));
        format!("--config {}", Relay::prepare(&site, &settings).config.display())
    };
    let at = config("\"SCRAM-SHA-256\"");
    let (code, _, said) = account(folder, &format!("add alice --ntlm --password-stdin {at}"), "s3cret");
    assert!(code == 1 && said.contains("NTLM is not among access.authentication.methods"), "{code} {said}");
    assert_eq!(account(folder, &format!("add alice --password-stdin {at}"), "s3cret").0, 0);
    let before = file(folder);
    let (code, _, said) = account(folder, &format!("passwd alice --ntlm --password-stdin {at}"), "s3cret");
    assert!(code == 1 && said.contains("NTLM is not among"), "{code} {said}");
    assert_eq!(file(folder), before);

    let at = config("\"NTLM\"");
    assert_eq!(account(folder, &format!("passwd alice --ntlm --password-stdin {at}"), "s3cret").0, 0);
    assert!(file(folder).contains("nt_hash"));
}

/// What the start would raise an alarm about, the check tells before.
#[test]
fn check_tells_what_is_wrong_with_accounts() {
    let site = Site::new();
    let folder = site.folder.path();
    let path = folder.join("accounts.toml");
    let check = |authentication: &str| {
        let settings = Settings::new(&site).access(&format!("authentication = {{ {authentication} }}"));
        let config = Relay::prepare(&site, &settings).config.clone();
        let output = run(Command::new(PROGRAM).arg("check").arg("--config").arg(config));
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    };
    let put = |text: &str, mode: u32| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let scram = "methods = [\"SCRAM-SHA-256\"]";
    let (code, said) = check(scram);
    assert!(code == 1 && said.contains("'Test': ") && said.contains("Make the first account"), "{said}");
    put("[[account]]\nname = 1\n", 0o600);
    let (code, said) = check(scram);
    assert!(code == 1 && said.contains("accounts.toml, line 2"), "{said}");
    put("", 0o644);
    let (code, said) = check(scram);
    assert!(code == 1 && said.contains("Mend it: chmod 600 "), "{said}");
    assert_eq!(check("methods = []").0, 0, "nobody looks into it");
    put("", 0o600);
    assert_eq!(check(scram).0, 0);

    put("[[account]]\nname = \"alice\"\nnt_hash = \"a4f49c406510bdcab6824ee7c30fd852\"\n", 0o600);
    let (code, said) = check(scram);
    assert!(code == 0 && said.contains("note: alice has an NT hash"), "{said}");
    let (code, said) = check("methods = [\"NTLM\"]");
    assert!(code == 0 && !said.contains("NT hash"), "{said}");

    let tokens = |more: &str| {
        let oauth = format!("issuer = \"https://login.test\", audience = \"relay\"{more}");
        check(&format!("methods = [\"XOAUTH2\"], oauth = {{ {oauth} }}"))
    };
    let (code, said) = tokens(", authority = \"none.pem\"");
    assert!(code == 1 && said.contains("none.pem cannot be used"), "{said}");
    fs::remove_file(&path).unwrap();
    let (code, said) = tokens("");
    assert_eq!(code, 0, "whom the provider vouches for needs no account: {said}");
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(account(folder, &format!("add alice --password-stdin {AT}"), "s3cret").0, 0);
    let before = file(folder);
    for (arguments, input, code, words) in [
        ("add Alice --password-stdin", "x", 1, "There is an account \"Alice\" already"),
        ("add a@b@c --password-stdin", "x", 1, "cannot be an account: write `name`"),
        ("add bob --password-stdin", "", 1, "A password is text of 1 to 1024 octets"),
        ("add bob --password-stdin", "a\tb", 1, "without control characters"),
        ("add bob --password-stdin --may-send-as everybody", "x", 1, "\"everybody\" is no sender"),
        ("add bob", "x", 1, "is no terminal to ask for the password at"),
        ("add bob --password secret", "", 2, "unexpected argument"),
        ("passwd bob --password-stdin", "x", 1, "There is no account \"bob\" in accounts.toml"),
        ("remove bob", "", 1, "There is no account \"bob\""),
        ("disable bob", "", 1, "There is no account \"bob\""),
    ] {
        let (ended, _, said) = account(folder, &format!("{arguments} {AT}"), input);
        assert!(ended == code && said.contains(words), "{arguments}: {ended} {said}");
        assert_eq!(file(folder), before, "{arguments}");
    }
    assert_eq!(account(folder, "list", "").0, 2, "which file, must be said");
    let missing = account(folder, "list --accounts none.toml", "");
    assert!(missing.0 == 1 && missing.2.contains("Make the first account: mailroot account add"), "{missing:?}");
}

#[test]
fn a_file_that_is_open_to_others_or_broken_is_refused_with_what_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let path = folder.join("accounts.toml");
    assert_eq!(account(folder, &format!("add alice --password-stdin {AT}"), "s3cret").0, 0);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, said) = account(folder, &format!("list {AT}"), "");
    assert!(code == 1 && said.contains("Mend it: chmod 600 accounts.toml"), "{said}");
    fs::write(&path, "[[account]]\nname = \"alice\"\npassword = \"s3cret\"\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, _, said) = account(folder, &format!("list {AT}"), "");
    assert!(
        code == 1 && said.contains("accounts.toml, line 3: `password` of \"alice\" is not an argon2id hash"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");
}

/// A session that has proved who it is does not outlive its account.
#[test]
fn who_is_disabled_hands_in_nothing_more() {
    let site = Site::new();
    let folder = site.folder.path();
    assert_eq!(account(folder, &format!("add alice --password-stdin {AT}"), "s3cret\n").0, 0);
    let settings =
        Settings::new(&site).access("authentication = { methods = [\"PLAIN\"], clear_text_from = [\"127.0.0.0/8\"] }");
    let relay = Relay::start(&site, &settings);
    let mut client = Client::greet(relay.at);
    // base64 of NUL alice NUL s3cret
    assert_eq!(client.say("AUTH PLAIN AGFsaWNlAHMzY3JldA==").code, 235);
    assert_eq!(client.message("alice@local.test", &["b@local.test"], &plain("one", "b@local.test")).code, 250);
    assert_eq!(account(folder, &format!("disable alice {AT}"), "").0, 0);
    let refused = until(SOON, "the next message is refused", || {
        assert_eq!(client.say("MAIL FROM:<alice@local.test>").code, 250);
        assert_eq!(client.say("RCPT TO:<b@local.test>").code, 250);
        let reply = client.say("DATA");
        if reply.code != 354 {
            return Some(reply);
        }
        client.send(stuffed(&plain("another", "b@local.test")));
        client.reply();
        None
    });
    assert_eq!(refused.code, 535, "{refused:?}");
    assert!(client.say("RSET").code == 250, "the session goes on, as nobody's");
}
