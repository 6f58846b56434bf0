//! From `mailroot account add` to a message in Drop: the methods by the clients that people use.

use super::account;
use crate::harness::mail::plain;
use crate::harness::relay::{Relay, Settings};
use crate::harness::{Site, run};
use std::process::Command;

#[test]
fn curl_logs_on_by_each_of_its_methods() {
    let site = Site::new();
    let add = "add alice --ntlm --password-stdin --accounts accounts.toml";
    assert_eq!(account(site.folder.path(), add, "s3cret\n").0, 0);
    let settings = Settings::new(&site)
        .access("relay = { only = [] }")
        .access("authentication = { methods = [\"PLAIN\", \"LOGIN\", \"NTLM\"], clear_text_from = [\"127.0.0.0/8\"] }");
    let relay = Relay::start(&site, &settings);
    let curl = |name: &str, method: &str, user: &str| {
        let file = site.folder.write(name, plain(name, "b@local.test"));
        let output = run(Command::new("curl")
            .args(["-sS", "--max-time", "30", &format!("smtp://{}/curl.test", relay.at), "--user", user])
            .args(["--login-options", &format!("AUTH={method}"), "--mail-from", "alice@local.test"])
            .args(["--mail-rcpt", "b@local.test", "--upload-file"])
            .arg(file));
        output.status.success()
    };
    for (method, user) in [("PLAIN", "alice"), ("LOGIN", "ALICE"), ("NTLM", "alice"), ("NTLM", "CORP\\alice")] {
        let name = format!("by {method} as {}", user.replace('\\', "-"));
        assert!(curl(&name, method, &format!("{user}:s3cret")), "{name}: {}", relay.log());
        relay.wait_for_drop(&name);
        relay.wait_for_log(&[&format!(" logon account=alice method={method} peer=127.")]);
    }
    for (name, user) in [("a wrong password", "alice:s3cre"), ("an unknown name", "nobody:s3cret")] {
        assert!(!curl(name, "NTLM", user), "{name}");
    }
    relay.wait_for_log(&["account=alice method=NTLM", "why=wrong_password"]);
    relay.wait_for_log(&["account=nobody method=NTLM", "why=no_such_account"]);
    assert!(!relay.log().contains("s3cre"), "{}", relay.log());
}
