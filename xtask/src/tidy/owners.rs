//! Each decision has one home: who makes receipts, who judges a peer, who judges an outcome; and nobody shares or waits
//! where decisions are made.
//!
//! Text can show only so much: each check looks for the tokens without which the deed cannot be done.

use super::Fault;
use crate::source::{Tree, line_of, words};

/// Faults for every occurrence of `token` in product code outside `homes`.
fn only_in(tree: &Tree, homes: &[&str], tokens: &[&str], what: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, code) in tree.product().filter(|(path, _)| !homes.iter().any(|home| path.starts_with(home))) {
        for token in tokens {
            for at in words(&code, token) {
                faults.push(Fault::line(path, line_of(&code, at), format!("`{token}`: {what}")));
            }
        }
    }
    faults
}

/// Only the spool implements `Durable`, so only a durable commit can answer 250 after a message.
pub fn receipts(tree: &Tree) -> Vec<Fault> {
    only_in(
        tree,
        &["crates/relay/src/spool"],
        &["Durable for"],
        "only relay::spool may prove that a message is on disk (invariant 2)",
    )
}

/// Only the gate judges a peer: a refusal for reasons of policy (5.7.x) is made there and nowhere else. Beside it,
/// `relay::account` has the words for proofs that do not hold, and the session machine those of the grammar of AUTH and
/// STARTTLS.
pub fn verdicts(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let homes = ["crates/relay/src/gate", "crates/relay/src/account/refusal", "crates/smtp/src/server/replies"];
    for (path, code) in tree.product().filter(|(path, _)| !homes.iter().any(|home| path.starts_with(home))) {
        for at in words(&code, "Reply::new(") {
            let arguments = &code[at + "Reply::new(".len()..];
            let mut numbers = arguments.split(',').map(str::trim);
            let (code_number, subject) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
            if code_number.starts_with('5') && subject == "7" {
                let what = "a refusal for reasons of policy belongs to relay::gate (invariant 4)";
                faults.push(Fault::line(path, line_of(&code, at), what));
            }
        }
    }
    faults
}

/// Only settle judges an outcome: nobody else makes a verdict, or says that a message has expired. To look at a verdict
/// is everybody's right.
pub fn outcomes(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, code) in tree.product().filter(|(path, _)| !path.starts_with("crates/relay/src/settle")) {
        for token in ["Verdict::Failed", "Verdict::Again", "Verdict::Delivered", "kind: FailureKind::Expired"] {
            for at in words(&code, token) {
                let line = &code[code[..at].rfind('\n').map_or(0, |n| n + 1)..];
                let line = line.split('\n').next().unwrap_or_default();
                let looked_at = line.contains("=>") || line.contains("let ") || line.contains("matches!(");
                if !looked_at {
                    let what = format!("`{token}`: what an outcome means is said by relay::settle alone (invariant 4)");
                    faults.push(Fault::line(path, line_of(&code, at), what));
                }
            }
        }
    }
    faults
}

/// One owner, messages in: words and decisions have no locks, no cells and no globals.
pub fn shared_state(tree: &Tree) -> Vec<Fault> {
    let tokens = [
        "Mutex",
        "RwLock",
        "RefCell",
        "OnceLock",
        "LazyLock",
        "OnceCell",
        "AtomicU64",
        "AtomicUsize",
        "AtomicBool",
        "static mut",
    ];
    // The lying disk is a disk: whoever has a copy of it sees the same files.
    let allowed = ["crates/daemon/", "crates/relay/src/disk/sim"];
    only_in(tree, &allowed, &tokens, "words and decisions share nothing; give it an owner")
}

/// Words and decisions never wait.
pub fn waiting(tree: &Tree) -> Vec<Fault> {
    only_in(tree, &["crates/daemon/"], &["async fn", "async move", ".await"], "words and decisions never wait")
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;

    #[test]
    fn a_second_maker_of_receipts_is_found() {
        let spool = ("crates/relay/src/spool/mod.rs", "//! S.\nimpl Durable for Receipt {}\n");
        let in_tests = ("crates/smtp/src/server.rs", "//! S.\n#[cfg(test)]\nmod tests { impl Durable for Fake {} }\n");
        let desk = ("crates/daemon/src/desk.rs", "//! D.\nimpl smtp::server::Durable for Desk {}\n");
        finds(receipts, &[spool, in_tests], &[spool, in_tests, desk]);
    }

    #[test]
    fn a_second_judge_of_peers_is_found() {
        let gate = ("crates/relay/src/gate.rs", "//! G.\nfn g() -> Reply { Reply::new(550, 7, 1, \"no\") }\n");
        let other = ("crates/daemon/src/desk.rs", "//! D.\nfn g() -> Reply { Reply::new(452, 3, 1, \"full\") }\n");
        let judge = ("crates/daemon/src/inbound.rs", "//! I.\nfn g() -> Reply { Reply::new(554, 7, 1, \"no\") }\n");
        finds(verdicts, &[gate, other], &[gate, other, judge]);
    }

    #[test]
    fn a_second_judge_of_outcomes_is_found() {
        let settle = ("crates/relay/src/settle.rs", "//! S.\nfn f() -> Verdict { Verdict::Failed(failure) }\n");
        let judge = ("crates/relay/src/queue/mod.rs", "//! Q.\nfn f() -> Verdict {\n    Verdict::Again(due)\n}\n");
        let reader =
            ("crates/relay/src/queue/age.rs", "//! A.\nfn f() { match v { Verdict::Again(due) => 1, _ => 2 } }\n");
        finds(outcomes, &[settle, reader], &[settle, reader, judge]);
        let expiry =
            ("crates/daemon/src/desk.rs", "//! D.\nfn f() -> Failure { Failure { kind: FailureKind::Expired } }\n");
        finds(outcomes, &[settle], &[settle, expiry]);
    }

    #[test]
    fn a_lock_and_a_global_are_found() {
        let sound = ("crates/relay/src/queue/mod.rs", "//! Q: no Mutex.\nfn f(a: Arc<Config>) {}\n");
        let lock = ("crates/relay/src/gate.rs", "//! G.\nstruct G { m: std::sync::Mutex<u8> }\n");
        finds(
            shared_state,
            &[sound, ("crates/daemon/src/listen.rs", "//! L.\nuse std::sync::Mutex;\n")],
            &[sound, lock],
        );
    }

    #[test]
    fn a_wait_is_found() {
        finds(
            waiting,
            &[("crates/smtp/src/line.rs", "//! L.\nfn f() {}\n")],
            &[("crates/smtp/src/line.rs", "//! L.\nasync fn f() {}\n")],
        );
    }
}
