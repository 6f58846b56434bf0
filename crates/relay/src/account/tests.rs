//! The accounts file: what it says is read, printed and read again; what is wrong with it is named with its line.

use super::*;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn whole() -> String {
    format!(
        r#"salt_key = "{KEY}"
[[account]]
name = "alice"
password = "{HASH}"
scram = {{ iterations = 4096, salt = "QSXCR+Q6sek8bf92", stored_key = "{KEY}", server_key = "{KEY}" }}
nt_hash = "0CB6948805F797BF2A82807973B89537"
may_send_as = ["alice@example.com", "*@*.example.com"]

[[account]]
name = "CORP\\bob"
disabled = true
"#
    )
}

#[test]
fn what_is_written_is_read_and_printed_and_read_again() {
    let first = Accounts::parse(&whole(), None).unwrap();
    let printed = first.print();
    let accounts = Accounts::parse(printed.text().unwrap(), None).unwrap();
    assert_eq!(accounts.print().text(), printed.text());
    let alice = accounts.find("Alice").unwrap();
    assert_eq!((&*alice.name, alice.disabled, alice.may_send_as.len()), ("alice", false, 2));
    assert_eq!(alice.password.as_ref().unwrap().reveal(), HASH);
    assert_eq!(alice.scram.as_ref().unwrap().iterations, 4_096);
    assert_eq!(alice.nt_hash.as_ref().unwrap().0.reveal()[..2], [0x0c, 0xb6]);
    let bob = accounts.find("bob@corp").unwrap();
    assert!(bob.disabled && bob.password.is_none() && bob.scram.is_none() && bob.nt_hash.is_none());
    assert!(accounts.find("carol").is_none());
    assert_eq!(accounts.salt_key.as_ref().unwrap().reveal(), [0; 32]);
}

#[test]
fn nothing_secret_is_in_a_debug_print() {
    let accounts = Accounts::parse(&whole(), None).unwrap();
    let text = format!("{accounts:?} {:?}", accounts.print());
    for secret in ["argon2", "AAAA", "0cb6", "0, 0, 0", "12, 182", "65, 37"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn an_empty_file_has_no_accounts() {
    assert!(Accounts::parse("", None).unwrap().is_empty());
    assert!(Accounts::parse("# nobody\n", None).unwrap().is_empty());
}

/// What is said about the text, line by line.
fn faults(text: &str) -> Vec<String> {
    Accounts::parse(text, None).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn every_fault_names_its_line_and_shows_no_secret() {
    for (from, to, line, words) in [
        ("[[account]]\nname = \"alice\"", "[[account]]\nname = \"alice\"\nsudo = true", 4, "unknown entry \"sudo\""),
        ("name = \"alice\"", "", 2, "no name"),
        ("name = \"alice\"", "name = 7", 3, "in quotes"),
        ("name = \"alice\"", "name = \"a@b@c\"", 3, "cannot be an account"),
        ("disabled = true", "disabled = \"yes\"", 11, "true or false"),
        ("$argon2id", "$argon2i", 4, "not an argon2id hash"),
        ("m=19456", "m=99999999", 4, "not an argon2id hash"),
        ("iterations = 4096", "iterations = 4095", 5, "4096 to 10000000"),
        ("iterations = 4096", "iterations = \"4096\"", 5, "4096 to"),
        ("iterations = 4096", "iterations = 99999999999", 5, "4096 to"),
        ("QSXCR+Q6sek8bf92", "QSXCR+Q6sek8bf9", 5, "`salt`"),
        ("QSXCR+Q6sek8bf92", "QQ==", 5, "`salt`"),
        (", stored_key", ", stored_kex", 5, "lacks stored_key"),
        ("server_key = \"AAAA", "server_key = \"", 5, "`server_key`"),
        ("0CB6948805F797BF2A82807973B89537", "0CB6948805F797BF2A82807973B8953", 6, "32 hexadecimal"),
        ("0CB6948805F797BF2A82807973B89537", "0CB6948805F797BF2A82807973B8953é", 6, "32 hexadecimal"),
        ("[\"alice@example.com\", \"*@*.example.com\"]", "[]", 7, "1 to 100"),
        ("[\"alice@example.com\", \"*@*.example.com\"]", "\"alice@example.com\"", 7, "is a list"),
        ("\"*@*.example.com\"", "\"everybody\"", 7, "no sender"),
        ("CORP\\\\bob", "ALICE", 9, "already, in line 2"),
        ("[[account]]\nname = \"CORP", "[[user]]\nname = \"CORP", 9, "unknown entry \"user\""),
        ("disabled = true", "disabled = ", 11, "not TOML"),
        ("salt_key = \"AAAA", "salt_key = \"", 1, "`salt_key`"),
        ("salt_key = \"", "salt_key = 1 # \"", 1, "`salt_key`"),
    ] {
        let text = whole().replacen(from, to, 1);
        assert_ne!(text, whole(), "{from}");
        let said = faults(&text);
        assert!(
            said.iter().any(|fault| fault.starts_with(&format!("line {line}: ")) && fault.contains(words)),
            "{to}: {said:?}"
        );
        let all = said.join("\n");
        for secret in ["c29tZXNh", "AAAAA", "QSXC", "0CB69", "m=9999"] {
            assert!(!all.contains(secret), "{all}");
        }
    }
    assert!(faults("account = 1")[0].contains("two brackets"));
    assert!(faults("account = [1]")[0].contains("is a table"));
    assert_eq!(faults(&"[[account]]\n".repeat(100)).len(), 20);
}

#[test]
fn names_that_a_default_domain_makes_equal_clash() {
    let text = "[[account]]\nname = \"alice\"\n[[account]]\nname = \"alice@corp.example\"\n";
    assert_eq!(Accounts::parse(text, None).unwrap().len(), 2);
    let said = Accounts::parse(text, Some("corp.example")).unwrap_err();
    assert_eq!(said[0].line, 3);
    let accounts = Accounts::parse("[[account]]\nname = \"alice\"\n", Some("corp.example")).unwrap();
    assert!(accounts.find("CORP.EXAMPLE\\Alice").is_some() && accounts.find("alice@corp.example").is_some());
}

#[test]
fn accounts_are_put_and_removed() {
    let mut accounts = Accounts::new(None);
    for name in ["a", "b", "c"] {
        accounts.put(Account::new(name));
    }
    accounts.put(Account { disabled: true, ..Account::new("B") });
    assert_eq!(accounts.iter().map(|a| &*a.name).collect::<Vec<_>>(), ["a", "B", "c"]);
    assert_eq!(accounts.remove("A").map(|a| a.name), Some("a".into()));
    assert!(accounts.remove("A").is_none());
    assert!(accounts.find("b").unwrap().disabled);
    assert_eq!(&*accounts.find("C").unwrap().name, "c");
    assert_eq!(accounts.len(), 2);
}

/// A large file is read again after each change, while clients wait: what an account costs must not grow with the file. (It was
/// most of a minute here, and is half a second.)
#[test]
fn as_many_accounts_as_there_may_be_are_read_soon() {
    let text: String = (1..ACCOUNTS_MAX).map(|n| format!("[[account]]\nname = \"account{n}\"\n\n\n\n\n\n\n")).collect();
    assert_eq!(Accounts::parse(&text, None).unwrap().len(), ACCOUNTS_MAX - 1);
    let twice = text + "[[account]]\nname = \"account1\"\n";
    let fault = Accounts::parse(&twice, None).unwrap_err();
    assert_eq!(fault.len(), 1);
    assert_eq!((fault[0].line, fault[0].text.contains("in line 1")), (8 * ACCOUNTS_MAX - 7, true));
}
