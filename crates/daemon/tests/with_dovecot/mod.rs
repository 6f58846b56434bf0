//! With a real Dovecot: LMTP in, POP3 out. Needs root.

use crate::harness::Site;
use crate::harness::client::{Client, stuffed};
use crate::harness::dovecot::Dovecot;
use crate::harness::mail::{assert_same, tricky};

#[test]
fn dovecot_itself_takes_a_message_whole() {
    let site = Site::new();
    let dovecot = Dovecot::start(&site, 3);
    let sent = tricky("dovecot by itself");
    let mut lmtp = Client::connect(dovecot.lmtp);
    assert_eq!(lmtp.reply().code, 220);
    assert_eq!(lmtp.say("LHLO client.test").code, 250);
    lmtp.open("a@apps.test", &["bob@dest.test"]);
    lmtp.send(stuffed(&sent));
    let reply = lmtp.reply();
    assert_eq!(reply.code, 250, "{reply:?}\n{}", dovecot.log());
    assert_same(&dovecot.wait_for("dovecot by itself"), &sent, "the POP3 download");
}
