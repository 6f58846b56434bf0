//! Operators with a file, passwords and time: who gets in, who does not, and what is on the disk.

use super::*;
use relay::admin::{Role, Scope};
use smtp::sasl::Secret;
use smtp::time::Timestamp;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

fn open(folder: &Path) -> Operators {
    Operators::open(folder, Passwords::new(2), Log::nowhere(), Clock::starting_at(Timestamp(1_800_000_000_000)))
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn root() -> Operator {
    Operator { name: "unix:root".into(), role: Role::Administrator, scope: Scope::All }
}

/// The code at the end of a link.
fn code(link: &str) -> &str {
    link.rsplit('/').next().unwrap()
}

/// One administrator, who has set his password from home.
async fn furnished(folder: &Path) -> Operators {
    let operators = open(folder);
    let link = operators.welcome().unwrap();
    let set = operators.accept(code(&link), &secret("correct horse battery"), HOME).await.unwrap();
    assert_eq!(set.operator.name, "administrator");
    operators
}

#[tokio::test]
async fn a_first_link_is_renewed_until_it_is_used_and_only_its_digest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).welcome().unwrap();
    let operators = open(folder.path());
    let second = operators.welcome().unwrap();
    assert_ne!(first, second);
    assert!(operators.invited(code(&first)).is_none() && operators.invited(code(&second)).is_some());
    let file = folder.path().join(FILE);
    let kept = fs::read_to_string(&file).unwrap();
    assert!(!kept.contains(code(&second)) && !kept.contains(code(&first)));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let weak = operators.accept(code(&second), &secret("short"), HOME).await.unwrap_err();
    assert!(weak.to_string().contains("12 characters"), "{weak}");
    operators.accept(code(&second), &secret("correct horse battery"), HOME).await.unwrap();
    let again = operators.accept(code(&second), &secret("another one of theirs"), HOME).await;
    assert!(matches!(again, Err(Fault::NotFound(_))), "{again:?}");
    assert!(open(folder.path()).welcome().is_none(), "somebody can log on");
    assert!(!fs::read_to_string(&file).unwrap().contains("correct horse"));
}

#[tokio::test(start_paused = true)]
async fn guesses_are_slow_and_end_in_a_lock_that_does_not_keep_out_who_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let operators = furnished(folder.path()).await;
    let runs = operators.shared.passwords.runs();
    for (name, n) in [("administrator", 0), ("nobody", 1)] {
        let began = tokio::time::Instant::now();
        for guess in 1..=LOCKOUT.after {
            let from = IpAddr::from([203, 0, n, u8::try_from(guess).unwrap()]);
            let refused = operators.prove(name, secret("guess"), from).await.unwrap_err();
            let Refused::Wrong { locked } = refused else { panic!("{refused:?}") };
            assert_eq!(locked.is_some(), guess == LOCKOUT.after, "{name} {guess}");
        }
        assert!(began.elapsed().as_secs() >= 30, "{:?}", began.elapsed());
        let refused = operators.prove(name, secret("correct horse battery"), AWAY).await;
        assert!(matches!(refused, Err(Refused::Locked(_))), "{refused:?}");
    }
    let expected = runs + 2 * u64::from(LOCKOUT.after);
    assert_eq!(
        operators.shared.passwords.runs(),
        expected,
        "one hash for each guess, whether there is the name or not"
    );
    // Whoever logged on from there before is let in, and a link lets everybody in.
    assert!(operators.prove("Administrator", secret("correct horse battery"), HOME).await.is_ok());
    let invite = Command::OperatorInvite { name: "administrator".into() };
    let link = operators.carry_out(&invite, &root(), false).unwrap().unwrap().secret.unwrap();
    assert!(operators.accept(code(&link), &secret("another one of theirs"), AWAY).await.is_ok());
    assert!(operators.prove("administrator", secret("another one of theirs"), AWAY).await.is_ok());
}

#[tokio::test]
async fn who_is_changed_disabled_or_removed_is_out_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let operators = furnished(folder.path()).await;
    let add = |name: &str| Command::OperatorAdd { name: name.into(), role: Role::Operator, scope: Scope::All };
    let set = |name: &str, disabled| Command::OperatorSet { name: name.into(), role: None, scope: None, disabled };
    for command in [
        set("bert", Some(true)),
        set("bert", None),
        Command::OperatorLogOut { name: "Bert".into() },
        Command::OperatorRemove { name: "bert".into() },
    ] {
        operators.carry_out(&add("bert"), &root(), false).unwrap().unwrap();
        let bert = Operator { name: "bert".into(), role: Role::Operator, scope: Scope::All };
        let ticket = operators.begin(&Proven { operator: bert.clone(), hash: None }).await.unwrap();
        assert_eq!(operators.session(&ticket.cookie, true).unwrap().0, bert);
        operators.carry_out(&command, &root(), true).unwrap().unwrap();
        assert!(operators.session(&ticket.cookie, true).is_some(), "a dry run changes nothing");
        operators.carry_out(&command, &root(), false).unwrap().unwrap();
        assert!(operators.session(&ticket.cookie, true).is_none(), "{command:?}");
        let _ = operators.carry_out(&Command::OperatorRemove { name: "bert".into() }, &root(), false);
    }
    let last = operators.carry_out(&Command::OperatorRemove { name: "administrator".into() }, &root(), false).unwrap();
    assert!(matches!(last, Err(Fault::Conflict(_))), "{last:?}");
}

#[tokio::test]
async fn a_token_is_shown_once_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let operators = furnished(folder.path()).await;
    let new = Command::TokenNew { name: "backup".into(), role: Role::Auditor, scope: Scope::All, days: 1 };
    let token = operators.carry_out(&new, &root(), false).unwrap().unwrap().secret.unwrap();
    assert!(token.starts_with(TOKEN_PREFIX) && token.len() == TOKEN_PREFIX.len() + 64);
    assert!(!fs::read_to_string(folder.path().join(FILE)).unwrap().contains(&token[TOKEN_PREFIX.len()..]));
    let allowed = operators.token(&token).unwrap().unwrap();
    assert_eq!((&*allowed.name, allowed.role), ("token:backup", Role::Auditor));
    assert!(operators.token("mailroot-00").is_none());
    let later = Clock::starting_at(Timestamp(1_800_000_000_000 + 25 * 3_600 * 1_000));
    let after = Operators::open(folder.path(), Passwords::new(1), Log::nowhere(), later);
    assert_eq!(after.token(&token), Some(Err("backup".into())));
    operators.carry_out(&Command::TokenRevoke { name: "Backup".into() }, &root(), false).unwrap().unwrap();
    assert!(operators.token(&token).is_none());
}

#[tokio::test]
async fn a_file_changed_by_hand_is_taken_over_and_a_broken_one_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let operators = furnished(folder.path()).await;
    let file = folder.path().join(FILE);
    let text = fs::read_to_string(&file).unwrap();
    let add = |name: &str| Command::OperatorAdd { name: name.into(), role: Role::Operator, scope: Scope::All };
    fs::write(&file, format!("{text}\n[[operator]]\nname = \"bert\"\nrole = \"auditor\"\n")).unwrap();
    let taken = operators.carry_out(&add("bert"), &root(), false).unwrap();
    assert!(matches!(taken, Err(Fault::Conflict(_))), "{taken:?}");
    fs::write(&file, "operator = 1").unwrap();
    let refused = operators.carry_out(&add("carl"), &root(), false).unwrap().unwrap_err();
    assert!(refused.to_string().contains("operators.toml cannot be used: line 1"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "operator = 1");
    assert!(open(folder.path()).welcome().is_none(), "no new administrator beside those that cannot be read");
    fs::write(&file, &text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = operators.carry_out(&add("carl"), &root(), false).unwrap().unwrap_err();
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
}

#[tokio::test]
async fn a_password_that_was_replaced_since_opens_no_log_on() {
    let folder = tempfile::tempdir().unwrap();
    let operators = furnished(folder.path()).await;
    let proven = operators.prove("administrator", secret("correct horse battery"), HOME).await.unwrap();
    assert!(operators.begin(&proven).await.is_some());
    let invite = Command::OperatorInvite { name: "administrator".into() };
    let link = operators.carry_out(&invite, &root(), false).unwrap().unwrap().secret.unwrap();
    let set = operators.accept(code(&link), &secret("another one of theirs"), HOME).await.unwrap();
    assert!(operators.begin(&proven).await.is_none(), "proved before, and replaced since");
    assert!(operators.begin(&set).await.is_some());
}

#[tokio::test]
async fn what_is_taken_out_of_the_file_by_hand_is_out() {
    let folder = tempfile::tempdir().unwrap();
    let operators = furnished(folder.path()).await;
    let new = Command::TokenNew { name: "backup".into(), role: Role::Auditor, scope: Scope::All, days: 1 };
    let token = operators.carry_out(&new, &root(), false).unwrap().unwrap().secret.unwrap();
    let proven = operators.prove("administrator", secret("correct horse battery"), HOME).await.unwrap();
    let ticket = operators.begin(&proven).await.unwrap();
    assert!(operators.session(&ticket.cookie, true).is_some() && operators.token(&token).is_some());
    fs::remove_file(folder.path().join(FILE)).unwrap();
    // As if a second had passed.
    let later = || operators.shared.kept().looked = None;
    later();
    assert!(operators.session(&ticket.cookie, true).is_none());
    assert!(operators.token(&token).is_none());
    let link = operators.welcome().unwrap();
    assert!(operators.invited(code(&link)).is_some());
    fs::remove_file(folder.path().join(FILE)).unwrap();
    later();
    assert!(operators.invited(code(&link)).is_none());
}
