//! With a real Postfix, as next hop and as client. Needs root.

use crate::harness::Site;
use crate::harness::mail::{assert_same, tricky};
use crate::harness::postfix::{Postfix, Postfixed};
use crate::harness::tools::{curl, python, swaks};

#[test]
fn postfix_itself_takes_messages_whole() {
    let site = Site::new();
    let postfix = Postfix::start(&site, 2, &Postfixed::default());
    let sent = tricky("postfix by swaks");
    let output = swaks(&site, postfix.at, "a@apps.test", "b@dest.test", &sent, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_same(&postfix.wait_for("postfix by swaks"), &sent, "Postfix's mailbox");
    let sent = tricky("postfix by curl");
    curl(&site, postfix.at, "a@apps.test", &["b@dest.test", "c@dest.test"], &sent);
    assert_same(&postfix.wait_for("postfix by curl"), &sent, "Postfix's mailbox");
    let sent = tricky("postfix by smtplib");
    python(&site, postfix.at, &sent, "s.sendmail('a@apps.test', ['b@dest.test'], content)");
    assert_same(&postfix.wait_for("postfix by smtplib"), &sent, "Postfix's mailbox");
}
