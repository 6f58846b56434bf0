//! A probe of a real Postfix: by STARTTLS, with TLS from the first octet, and where the wrong one of these is expected. Needs root.

use super::route;
use crate::harness::Site;
use crate::harness::bind::Bind;
use crate::harness::certificates::Authority;
use crate::harness::postfix::{Postfix, Postfixed};
use crate::harness::relay::{Relay, Settings};

#[test]
fn postfix_is_seen_as_a_delivery_would_see_it() {
    let site = Site::new();
    let authority = Authority::new("Ours");
    let (chain, key) = authority.issue(&["mail.test"]).files(&site, "mail");
    let main = format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n",
        chain.display(),
        key.display()
    );
    let ports = vec![(2465, "-o smtpd_tls_wrappermode=yes".to_owned())];
    let postfix = Postfix::start(&site, 2, &Postfixed { main, ports, ..Postfixed::default() });
    let bind = Bind::start(&site, 5, &format!("mail A {}\n", postfix.at.ip()));
    let trusted = format!("authority = {:?}", authority.file(&site, "authority.pem"));
    let settings = [("by-starttls", 2525, "verified"), ("implicit", 2465, "implicit"), ("mistaken", 2525, "implicit")]
        .iter()
        .fold(Settings::new(&site).dns(bind.at), |settings, (domain, port, tls)| {
            let route = format!("route = \"smtp://mail.test:{port}\"");
            settings.remote(&format!("{domain}.test"), &[&route, &format!("tls = \"{tls}\""), &trusted])
        });
    let relay = Relay::prepare(&site, &settings);
    let probed = |domain: &str| {
        let output = route(&relay, &[&format!("bob@{domain}.test"), "--probe"]);
        (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
    };
    for (domain, told) in [
        ("by-starttls", "        in the clear PIPELINING, SIZE 52428800, VRFY, ETRN, STARTTLS, ENHANCEDSTATUSCODES,"),
        ("implicit", "        TLS          TLSv1.3 "),
    ] {
        let (text, code) = probed(domain);
        assert_eq!(code, 0, "{text}");
        for part in [
            told,
            "        greeting     220 postfix.test ESMTP Postfix\n",
            "        certificate  CN=mail.test, for mail.test\n                     issued by CN=Ours\n",
            "        under TLS    PIPELINING, SIZE 52428800, VRFY, ETRN, ENHANCEDSTATUSCODES,",
            "        result       mail would go under TLS, the host verified: an authority vouches for its name\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        assert_eq!(text.contains("in the clear"), domain == "by-starttls", "{text}");
    }
    let (text, code) = probed("mistaken");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("result       mail would not go: 4.7.5 mail.test ["), "{text}");
    assert!(text.contains("the server does not speak TLS"), "{text}");
    assert!(postfix.mailbox().is_empty());
}
