//! Exchanges as the session drives them, with accounts on a real disk.

mod ntlm;
mod peers;
mod tokens;

use super::*;
use relay::account::{Account, Accounts, Cost, Identity};
use relay::record::Level;
use smtp::sasl::Secret;
use smtp::time::Timestamp;
use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Cheap, as the rule and not the cost is tested.
const CHEAP: Cost = Cost { memory: 8, passes: 1, lanes: 1 };
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// What the log wrote.
#[derive(Clone, Default)]
struct Pages(Arc<Mutex<Vec<u8>>>);

impl Write for Pages {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct World {
    folder: TempDir,
    authenticator: Arc<Authenticator>,
    passwords: Passwords,
    pages: Pages,
    flush: crate::log::Flush,
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn account(name: &str, password: &str) -> Account {
    let mut account = Account::new(name);
    account.password = hash(&secret(password), CHEAP);
    account
}

fn accounts() -> Accounts {
    let mut accounts = Accounts::new(None);
    accounts.put(account("alice", "s3cret"));
    accounts.put(Account { disabled: true, ..account("bob", "s3cret") });
    accounts.put(Account::new("carol"));
    let patterns = ["dave@example.com"].iter().filter_map(|text| relay::account::SenderPattern::parse(text)).collect();
    accounts.put(Account { may_send_as: patterns, ..account("dave", "other") });
    accounts
}

fn plan(folder: &Path) -> Plan {
    Plan {
        methods: vec![Mechanism::Plain, Mechanism::Login],
        default_domain: None,
        accounts: folder.join("accounts.toml"),
        keytab: None,
        host: "relay.example.com".into(),
        oauth: None,
        lockout: LockoutRule { after: 5, lasts: Duration::from_secs(900) },
    }
}

impl World {
    fn new() -> World {
        World::with(&accounts(), |_| {})
    }

    fn with(accounts: &Accounts, change: impl FnOnce(&mut Plan)) -> World {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan(folder.path());
        change(&mut plan);
        write_accounts(&plan.accounts, &accounts.print()).unwrap();
        let clock = Clock::starting_at(Timestamp(1_795_330_800_000));
        let pages = Pages::default();
        let (log, flush) = Log::start(Level::Debug, clock.clone(), Box::new(pages.clone())).unwrap();
        let passwords = Passwords::new(1);
        let authenticator = Authenticator::open(plan, passwords.clone(), log, clock, None).unwrap();
        World { folder, authenticator, passwords, pages, flush }
    }

    fn begin(&self, mechanism: Mechanism) -> Exchange {
        self.begin_over(mechanism, &ChannelFacts::default())
    }

    /// Offered is what is on, and bound to the channel only where it can be; the rule itself is the gate's, and tested there.
    fn begin_over(&self, mechanism: Mechanism, channel: &ChannelFacts) -> Exchange {
        let mut offered = self.authenticator.plan.methods.clone();
        offered.retain(|method| *method != Mechanism::ScramSha256Plus || channel.tls.is_some());
        self.authenticator.begin(mechanism, &offered, PEER, channel)
    }

    async fn plain(&self, message: &str) -> Verdict {
        self.begin(Mechanism::Plain).step(Some(message.as_bytes().to_vec())).await
    }

    fn log(&self) -> String {
        self.flush.flush();
        String::from_utf8(self.pages.0.lock().unwrap().clone()).unwrap()
    }
}

#[track_caller]
fn accepted(verdict: Verdict) -> Identity {
    match verdict {
        Verdict::Accepted(identity) => identity,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(verdict: Verdict) -> String {
    match verdict {
        Verdict::Refused(reply) => reply.one_line(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn challenge(verdict: Verdict) -> Vec<u8> {
    match verdict {
        Verdict::Challenge(octets) => octets,
        other => panic!("{other:?}"),
    }
}

const WRONG: &str = "535 5.7.8 Authentication failed: check the account name and the password";

#[tokio::test]
async fn plain_with_and_without_an_initial_response() {
    let world = World::new();
    let alice = accepted(world.plain("\0alice\0s3cret").await);
    assert_eq!((&*alice.account, alice.mechanism, alice.may_send_as.len()), ("alice", Mechanism::Plain, 0));
    let mut later = world.begin(Mechanism::Plain);
    assert!(challenge(later.step(None).await).is_empty());
    assert_eq!(&*accepted(later.step(Some(b"ALICE\0Alice\0s3cret".to_vec())).await).account, "alice");
    assert_eq!(accepted(world.plain("\0dave\0other").await).may_send_as[0].to_string(), "dave@example.com");
    assert!(world.log().contains(" logon account=alice method=PLAIN peer=192.0.2.1\n"));
}

#[tokio::test]
async fn login_in_both_forms() {
    let world = World::new();
    let mut asked = world.begin(Mechanism::Login);
    assert_eq!(challenge(asked.step(None).await), b"Username:");
    assert_eq!(challenge(asked.step(Some(b"alice".to_vec())).await), b"Password:");
    assert_eq!(accepted(asked.step(Some(b"s3cret".to_vec())).await).mechanism, Mechanism::Login);
    let mut at_once = world.begin(Mechanism::Login);
    assert_eq!(challenge(at_once.step(Some(b"alice".to_vec())).await), b"Password:");
    assert!(matches!(at_once.step(Some(b"s3cret".to_vec())).await, Verdict::Accepted(_)));
}

#[tokio::test(start_paused = true)]
async fn every_wrong_proof_gets_the_same_words_and_costs_one_hash() {
    for (message, why) in [
        ("\0alice\0s3cre", "wrong_password"),
        ("\0alice\0S3cret", "wrong_password"),
        ("\0nobody\0s3cret", "no_such_account"),
        ("\0bob\0s3cret", "disabled"),
        ("\0carol\0s3cret", "no_key_for_method"),
        ("dave\0alice\0s3cret", "acts_as_another"),
        ("nobody\0alice\0s3cret", "acts_as_another"),
    ] {
        let world = World::new();
        let before = tokio::time::Instant::now();
        assert_eq!(refused(world.plain(message).await), WRONG, "{message:?}");
        assert_eq!(world.passwords.runs(), 1, "{message:?}");
        assert_eq!(before.elapsed().as_millis(), 500, "{message:?}");
        let log = world.log();
        assert!(log.contains(&format!("logon_refused account={}", message.split('\0').nth(1).unwrap())), "{log}");
        assert!(log.contains(&format!(" why={why}\n")) && !log.contains("3cre"), "{log}");
    }
}

#[tokio::test]
async fn what_is_no_message_is_501_and_costs_nothing() {
    let world = World::new();
    for message in ["", "\0", "alice", "\0alice\0", "\0\0s3cret", "a\0b\0c\0d"] {
        let reply = refused(world.plain(message).await);
        assert_eq!(reply, "501 5.5.2 The response does not belong to this authentication method", "{message:?}");
    }
    let mut login = world.begin(Mechanism::Login);
    login.step(None).await;
    assert!(refused(login.step(Some(Vec::new())).await).starts_with("501 5.5.2"));
    assert_eq!(world.passwords.runs(), 0);
    // … and what came to its end stays there.
    assert!(refused(login.step(Some(b"alice".to_vec())).await).starts_with("504 5.5.4"));
}

#[tokio::test(start_paused = true)]
async fn guessing_is_slow_and_ends() {
    let world = World::new();
    let mut waited = Vec::new();
    for _ in 0..5 {
        let before = tokio::time::Instant::now();
        assert_eq!(refused(world.plain("\0nobody\0x").await), WRONG);
        waited.push(before.elapsed().as_millis());
    }
    assert_eq!(waited, [500, 1_000, 2_000, 4_000, 8_000]);
    // The network is locked now, for every name and for the right password; nothing is computed any more.
    for message in ["\0alice\0s3cret", "\0nobody\0x"] {
        assert!(refused(world.plain(message).await).starts_with("454 4.7.0 Too many failed"));
    }
    assert_eq!(world.passwords.runs(), 5);
    let log = world.log();
    assert_eq!(log.matches(" locked_out what=192.0.2.1 peer=192.0.2.1 until=2026-").count(), 1, "{log}");
    assert!(log.contains("logon_refused account=alice method=PLAIN peer=192.0.2.1 why=network_locked"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn many_connections_do_not_buy_more_guesses() {
    let world = World::new();
    let guesses = (0..40).map(|n| {
        let mut exchange = world.begin(Mechanism::Plain);
        tokio::spawn(async move { refused(exchange.step(Some(format!("\0alice\0guess{n}").into_bytes())).await) })
    });
    let guesses: Vec<_> = guesses.collect();
    let mut wrong = 0;
    for guess in guesses {
        wrong += usize::from(guess.await.unwrap() == WRONG);
    }
    // With one core one guess at a time is looked at, and counted before the next.
    assert_eq!(wrong, 5);
    assert_eq!(world.passwords.runs(), wrong as u64);
}

#[tokio::test]
async fn a_new_configuration_does_not_forgive() {
    let world = World::new();
    let key = world.authenticator.accounts.as_ref().unwrap().now().accounts.key("alice");
    for _ in 0..5 {
        world.authenticator.lockout().wrong(&key, PEER, Timestamp(1_795_330_800_000));
    }
    let plan = world.authenticator.plan.clone();
    let (log, clock) = (Log::nowhere(), Clock::starting_at(Timestamp(1_795_330_800_000)));
    let next = Authenticator::open(plan, Passwords::new(1), log, clock, Some(&world.authenticator)).unwrap();
    assert!(next.lockout().check(&key, PEER, Timestamp(1_795_330_801_000)).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_file_is_taken_over_and_a_bad_one_is_not() {
    let world = World::new();
    let file = world.authenticator.accounts.as_ref().unwrap();
    let path = world.folder.path().join("accounts.toml");
    let mut changed = accounts();
    changed.put(account("erin", "new"));
    changed.remove("alice");
    write_accounts(&path, &changed.print()).unwrap();
    file.look_again();
    accepted(world.plain("\0erin\0new").await);
    assert_eq!(refused(world.plain("\0alice\0s3cret").await), WRONG);

    // Open to others, broken, gone: erin stays, and the log says it once each.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    for _ in 0..2 {
        file.look_again();
        accepted(world.plain("\0erin\0new").await);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "[[account]]\nname = \"erin\"\npasword = \"x\"\n").unwrap();
    for _ in 0..2 {
        file.look_again();
        accepted(world.plain("\0erin\0new").await);
    }
    fs::remove_file(&path).unwrap();
    file.look_again();
    accepted(world.plain("\0erin\0new").await);
    let log = world.log();
    assert_eq!(log.matches("(mode 0640), who could guess its passwords. Mend it: chmod 600 ").count(), 1, "{log}");
    assert_eq!(log.matches(", line 3: unknown entry \\\"pasword\\\"").count(), 1, "{log}");
    assert_eq!(log.matches(" does not exist.").count(), 1, "{log}");
}

fn fault(prepare: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path());
    prepare(&plan.accounts);
    let (log, clock) = (Log::nowhere(), Clock::starting_at(Timestamp(0)));
    let opened = Authenticator::open(plan, Passwords::new(1), log, clock, None);
    opened.err().unwrap().to_string().replace(folder.path().to_str().unwrap(), "DIR")
}

#[test]
fn an_accounts_file_that_cannot_be_used_is_named_with_what_mends_it() {
    let text = accounts().print();
    let write = |path: &Path, mode| {
        fs::write(path, text.reveal()).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    assert_eq!(
        fault(|_| {}),
        "DIR/accounts.toml does not exist. Make the first account: mailroot account add NAME --accounts DIR/accounts.toml"
    );
    for mode in [0o644, 0o640, 0o604, 0o610, 0o602] {
        assert_eq!(
            fault(|path| write(path, mode)),
            format!(
                "DIR/accounts.toml is open to others (mode {mode:04o}), who could guess its passwords. \
                 Mend it: chmod 600 DIR/accounts.toml"
            )
        );
    }
    assert_eq!(fault(|path| fs::create_dir(path).unwrap()), "DIR/accounts.toml cannot be read: it is no file");
    let pipe = fault(|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap());
    assert_eq!(pipe, "DIR/accounts.toml cannot be read: it is no file");
    let broken = fault(|path| {
        write_accounts(path, &secret("[[account]]\nname = 1\n[[account]]\nname = \"\"\n")).unwrap();
    });
    assert_eq!(
        broken,
        "DIR/accounts.toml, line 2: `name` is text: write it in quotes\n\
         DIR/accounts.toml, line 4: \"\" cannot be an account: the name is empty"
    );
}

#[test]
fn the_file_is_written_for_its_owner_alone_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.toml");
    for _ in 0..2 {
        write_accounts(&path, &accounts().print()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(read_accounts(&path, None).unwrap().len(), 4);
    // A link stays a link.
    let link = folder.path().join("link.toml");
    std::os::unix::fs::symlink("accounts.toml", &link).unwrap();
    write_accounts(&link, &Accounts::new(None).print()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(read_accounts(&path, None).unwrap().is_empty());
    assert!(write_accounts(&folder.path().join("no/accounts.toml"), &secret("")).is_err());
}

#[tokio::test]
async fn a_method_that_is_off_does_nothing() {
    let world = World::with(&accounts(), |plan| plan.methods = vec![Mechanism::Login]);
    assert!(refused(world.plain("\0alice\0s3cret").await).starts_with("504 5.5.4"));
    assert_eq!(world.passwords.runs(), 0);
}

#[tokio::test]
async fn a_method_that_this_program_cannot_do_is_said() {
    let methods = vec![Mechanism::Gssapi, Mechanism::Plain];
    let world = World::with(&accounts(), |plan| plan.methods = methods);
    let fault = world.authenticator.fault().unwrap().to_string();
    assert!(fault.starts_with("GSSAPI is among the methods"), "{fault}");
    assert!(!world.authenticator.means().tickets);
    // The others go on.
    accepted(world.plain("\0alice\0s3cret").await);
}
