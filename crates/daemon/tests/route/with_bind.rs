//! DNSSEC and DANE by signed zones of a real BIND: what is proven, what is not, and what is proven wrong.

use super::golden::{is, printed};
use super::{answer, summary};
use crate::harness::Site;
use crate::harness::bind::Bind;
use crate::harness::relay::{Relay, Settings};
use crate::harness::signed::{Signed, Signing, Zone};

const KEY: &str = "3 1 1 1111111111111111111111111111111111111111111111111111111111111111";
const DANE: &str = "TLS, and a certificate that fits its TLSA records: its TLSA records are signed (DANE)";
const UNUSABLE: &str = "TLS with anybody: its TLSA records are signed (DANE), but none of them is of use for mail";
const PLAIN: &str = "TLS with anybody if it is offered, else clear text: as the settings have it";

fn zones(site: &Site) -> Vec<Zone> {
    let ip = site.ip(11);
    let signed = format!(
        "@ MX 10 mx\nmx A {ip}\n_2525._tcp.mx TLSA {KEY}\n\
         unusable MX 10 mxu\nmxu A {ip}\n_2525._tcp.mxu TLSA 1 1 1 {hash}\n_2525._tcp.mxu TLSA 0 0 1 {hash}\n\
         none MX 10 mxn\nmxn A {ip}\n\
         nodata MX 10 mxd\nmxd A {ip}\n_2525._tcp.mxd TXT here\n\
         wild MX 10 mxw\nmxw A {ip}\n*._tcp.mxw TLSA {KEY}\n\
         alias CNAME @\n\
         itself A {ip}\n_2525._tcp.itself TLSA {KEY}\naliased CNAME itself\n\
         viacname MX 10 cname\ncname CNAME mx\n\
         ownkey MX 10 okey\nokey CNAME mxn\n_2525._tcp.okey TLSA {KEY}\n\
         keycname MX 10 mxk\nmxk A {ip}\n_2525._tcp.mxk CNAME keys\nkeys TLSA {KEY}\n\
         outside MX 10 mx.plain.test.\n\
         halfway MX 10 half\nhalf CNAME mx.plain.test.\n_2525._tcp.half TLSA {KEY}\n\
         *.below MX 10 mx\na.some TXT x\n*.some MX 10 mx\n\
         six MX 10 mx6\nmx6 AAAA ::1\n_2525._tcp.mx6 TLSA {KEY}\n",
        hash = &KEY[6..]
    );
    let lies = format!(
        "@ MX 10 mx\nmx A {ip}\n_2525._tcp.mx TLSA {KEY}\n\
         liar MX 10 mxl\nliar TXT truth\nmxl A {ip}\n_2525._tcp.mxl TLSA 3 1 1 2222222222222222222222222222222222222222222222222222222222222222\n",
    );
    let plain = format!(
        "@ MX 10 mx\nmx A {ip}\n_2525._tcp.mx TLSA {KEY}\nto MX 10 mx.signed.test.\nbroken MX 10 mx.expired.test.\n"
    );
    vec![
        Zone::new("signed.test", Signing::Nsec, signed.clone()),
        Zone::new("signed3.test", Signing::Nsec3, signed),
        Zone::new("lies.test", Signing::Nsec, lies).lie("222222222222222222222222", "333333333333333333333333"),
        Zone::new("mxlies.test", Signing::Nsec, format!("@ MX 10 mx\nmx A {ip}\n")).lie("10 mx.", "11 mx."),
        Zone::new("expired.test", Signing::Expired, format!("@ MX 10 mx\nmx A {ip}\n_2525._tcp.mx TLSA {KEY}\n")),
        Zone::new("plain.test", Signing::None, plain),
    ]
}

/// A relay that asks there.
fn relay(site: &Site, bind: &Bind, more: &[String]) -> Relay {
    let settings = Settings::new(site).dns(bind.at).delivery("port = 2525").delivery("mta_sts = false");
    Relay::prepare(site, &more.iter().fold(settings, |settings, line| settings.dns_more(line)))
}

/// What becomes of a domain: whether its MX records are proven, and the summary.
fn found(relay: &Relay, domain: &str) -> (bool, String) {
    let answer = answer(relay, &format!("bob@{domain}"));
    (answer["mx"]["secure"].as_bool().unwrap(), summary(&answer))
}

fn check(relay: &Relay) {
    for zone in ["signed.test", "signed3.test"] {
        let at = |name: &str| if name.is_empty() { zone.to_owned() } else { format!("{name}.{zone}") };
        for (domain, host, expected) in [
            ("", "mx", DANE),
            ("unusable", "mxu", UNUSABLE),
            ("none", "mxn", PLAIN),
            ("nodata", "mxd", PLAIN),
            ("wild", "mxw", DANE),
            ("alias", "mx", DANE),
            ("viacname", "cname", DANE),
            ("ownkey", "okey", DANE),
            ("keycname", "mxk", DANE),
            ("six", "mx6", DANE),
            ("any.below", "mx", DANE),
            ("b.some", "mx", DANE),
            ("x.y.below", "mx", DANE),
        ] {
            let expected = format!("{}: {expected}", at(host));
            assert_eq!(found(relay, &at(domain)), (true, expected), "{}", at(domain));
        }
        // Without MX records the domain is its own host, alias or not.
        for domain in ["itself", "aliased"] {
            assert_eq!(found(relay, &at(domain)).1, format!("{}: {DANE}", at(domain)), "{}", at(domain));
        }
        assert_eq!(found(relay, &at("outside")), (true, format!("mx.plain.test: {PLAIN}")));
        assert_eq!(found(relay, &at("halfway")), (true, format!("{}: {DANE}", at("half"))));
    }
    // What nobody has signed.
    assert_eq!(found(relay, "plain.test"), (false, format!("mx.plain.test: {PLAIN}")));
    assert_eq!(found(relay, "to.plain.test"), (false, format!("mx.signed.test: {DANE}")), "better than nothing");
    // What is proven wrong is not used, and not taken for something that does not exist.
    let (_, told) = found(relay, "liar.lies.test");
    assert!(told.starts_with("4.7.5 The mail host mxl.lies.test may have published keys"), "{told}");
    for domain in ["mxlies.test", "expired.test"] {
        let (secure, told) = found(relay, domain);
        assert!(!secure && told.starts_with("4.4.3 The DNS gave no answer about"), "{domain}: {told}");
    }
    let (_, told) = found(relay, "broken.plain.test");
    assert!(told.starts_with("4."), "{told}");
    // The rest of a zone with a lie in it is as good as ever.
    assert_eq!(found(relay, "lies.test"), (true, format!("mx.lies.test: {DANE}")));
    let (_, told) = found(relay, "absent.signed.test");
    assert!(told.starts_with("5.1.2"), "{told}");
}

#[test]
fn signatures_are_checked_here() {
    let site = Site::new();
    let signed = Signed::start(&site, 5, zones(&site));
    let anchor = format!("trust_anchor = \"{}\"", signed.anchor.display());
    check(&relay(&site, &signed.bind, &["dnssec = \"validate\"".to_owned(), anchor]));
}

#[test]
fn a_resolver_is_believed_that_checks_them() {
    let site = Site::new();
    let signed = Signed::start(&site, 5, zones(&site));
    let resolver = signed.resolver();
    check(&relay(&site, &resolver, &["dnssec = \"trust_ad\"".to_owned()]));
}

#[test]
fn a_root_that_is_not_trusted_proves_nothing() {
    let site = Site::new();
    let signed = Signed::start(&site, 5, zones(&site));
    let other = Site::new();
    let stranger = Signed::start(&other, 5, Vec::new());
    let anchor = format!("trust_anchor = \"{}\"", stranger.anchor.display());
    let relay = relay(&site, &signed.bind, &["dnssec = \"validate\"".to_owned(), anchor]);
    let (secure, told) = found(&relay, "signed.test");
    assert!(!secure && told.starts_with("4.4.3"), "{told}");
}

#[test]
fn without_dnssec_nothing_is_asked_and_nothing_demanded() {
    let site = Site::new();
    let signed = Signed::start(&site, 5, zones(&site));
    let relay = relay(&site, &signed.bind, &[]);
    assert_eq!(found(&relay, "signed.test"), (false, format!("mx.signed.test: {PLAIN}")));
    assert!(!signed.bind.log().contains("TLSA"));
}

#[test]
fn the_text_for_people_tells_of_each_host_and_of_those_that_are_not_used() {
    let site = Site::new();
    let (one, three) = (site.ip(11), site.ip(13));
    let records = format!(
        "@ MX 10 mx\n@ MX 20 old\n@ MX 30 lost\nmx A {one}\nold A {three}\nlost A {one}\n\
         _2525._tcp.mx TLSA {KEY}\n_2525._tcp.old TLSA 1 1 1 {hash}\n\
         _2525._tcp.lost TLSA 3 1 1 2222222222222222222222222222222222222222222222222222222222222222\n",
        hash = &KEY[6..]
    );
    let zone =
        Zone::new("three.test", Signing::Nsec, records).lie("222222222222222222222222", "333333333333333333333333");
    let signed = Signed::start(&site, 5, vec![zone]);
    let settings = Settings::new(&site)
        .dns(signed.bind.at)
        .dns_more("dnssec = \"validate\"")
        .dns_more(&format!("trust_anchor = {:?}", signed.anchor.display().to_string()))
        .delivery("port = 2525");
    is(&printed(&site, &settings, &["bob@three.test"]), include_str!("golden/published.txt"));
}
