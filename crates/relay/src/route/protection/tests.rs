//! Tables of terms and of what is published, and what becomes of them.

use super::super::tlsa::{DaneMatching, DaneSelector, DaneUsage};
use super::*;
use TlsPolicy::{Implicit, None as Clear, Opportunistic, Required, Verified};

const ALL: [TlsPolicy; 5] = [Clear, Opportunistic, Required, Verified, Implicit];

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn host() -> Host {
    Host::Name(domain("mx1.x.test"))
}

fn mx(secure: bool) -> Located {
    Located::Mx { domain: domain("x.test"), alias: None, secure }
}

fn policy(mode: &str, hosts: &[&str]) -> Policy {
    let hosts: String = hosts.iter().map(|host| format!("mx: {host}\n")).collect();
    Policy::parse(format!("version: STSv1\nmode: {mode}\nmax_age: 86400\n{hosts}").as_bytes()).unwrap()
}

fn record(usage: u8) -> Tlsa {
    Tlsa { usage, selector: 1, matching: 1, data: [7; 32].into() }
}

fn found(usages: &[u8]) -> Keys {
    Keys::Found { base: domain("mx1.x.test"), records: usages.iter().map(|usage| record(*usage)).collect() }
}

fn decided(
    tls: TlsPolicy,
    located: &Located,
    keys: &Keys,
    policy: Option<&Policy>,
) -> Result<(Channel, Because), EnhancedStatus> {
    match protect(tls, &host(), &Published { located, keys, policy }) {
        Ok(protection) => Ok((protection.channel, protection.because)),
        Err(failure) => Err(failure.status),
    }
}

fn authority() -> Channel {
    Channel::Authority { name: host() }
}

fn plain(tls: TlsPolicy) -> Channel {
    match tls {
        Clear => Channel::Clear,
        Opportunistic => Channel::Opportunistic,
        Required => Channel::Encrypted,
        Verified | Implicit => authority(),
    }
}

const UNUSABLE: EnhancedStatus = EnhancedStatus(4, 7, 5);

#[test]
fn with_nothing_published_the_terms_hold() {
    for tls in ALL {
        for located in [Located::Settings, mx(true), mx(false)] {
            for keys in [Keys::NotAsked, Keys::Insecure, Keys::None] {
                assert_eq!(decided(tls, &located, &keys, None), Ok((plain(tls), Because::Terms)), "{tls:?}");
            }
        }
    }
    let protection = |tls| Protection::of_terms(tls, &host());
    assert!(protection(Implicit).implicit && !protection(Verified).implicit);
    assert!(protection(Opportunistic).allows_clear_text() && !protection(Required).allows_clear_text());
}

#[test]
fn what_the_operator_has_decided_is_not_asked_about() {
    // Whatever is published: clear text stays clear text, and a certificate that was asked for is asked for.
    let (enforce, keys) = (policy("enforce", &["mx1.x.test"]), [found(&[3]), found(&[0]), Keys::Failed("x".into())]);
    for located in [Located::Settings, mx(true), mx(false)] {
        for keys in &keys {
            assert_eq!(decided(Clear, &located, keys, Some(&enforce)).unwrap(), (Channel::Clear, Because::Terms));
            for tls in [Verified, Implicit] {
                assert_eq!(decided(tls, &located, keys, Some(&enforce)).unwrap().0, authority());
                assert_eq!(decided(tls, &located, keys, None).unwrap(), (authority(), Because::Terms));
            }
        }
        assert!(!wants_keys(Clear) && !wants_policy(Clear, &located));
        assert!(!wants_keys(Verified) && wants_policy(Verified, &located) == (located != Located::Settings));
    }
}

#[test]
fn signed_keys_must_be_shown() {
    for tls in [Opportunistic, Required] {
        for located in [Located::Settings, mx(true), mx(false)] {
            let (channel, because) = decided(tls, &located, &found(&[3, 1]), None).unwrap();
            let Channel::Dane(dane) = channel else { panic!("{channel:?}") };
            let [key] = dane.records.as_slice() else { panic!("{dane:?}") };
            assert_eq!(
                (key.usage, key.selector, key.matching),
                (DaneUsage::EndEntity, DaneSelector::PublicKey, DaneMatching::Sha256)
            );
            assert_eq!(because, Because::Dane);
        }
    }
}

#[test]
fn keys_that_are_of_no_use_ask_for_tls_with_anybody() {
    for tls in [Opportunistic, Required] {
        for keys in [found(&[0, 1]), found(&[255]), found(&[])] {
            let decided = decided(tls, &mx(true), &keys, None);
            assert_eq!(decided, Ok((Channel::Encrypted, Because::DaneUnusable)));
        }
    }
}

#[test]
fn a_host_whose_keys_cannot_be_had_is_not_used() {
    for tls in [Opportunistic, Required] {
        for located in [Located::Settings, mx(true), mx(false)] {
            let failed = Keys::Failed("SERVFAIL".into());
            assert_eq!(decided(tls, &located, &failed, None), Err(UNUSABLE));
            let failure =
                protect(tls, &host(), &Published { located: &located, keys: &failed, policy: None }).unwrap_err();
            assert!(!failure.is_permanent() && failure.text.contains("SERVFAIL"), "{failure:?}");
        }
    }
}

#[test]
fn dane_goes_before_mta_sts() {
    let (names_it, names_others) = (policy("enforce", &["mx1.x.test"]), policy("enforce", &["other.test"]));
    for policy in [&names_it, &names_others] {
        assert_eq!(decided(Opportunistic, &mx(true), &found(&[3]), Some(policy)).unwrap().1, Because::Dane);
        assert_eq!(decided(Opportunistic, &mx(true), &Keys::Failed("x".into()), Some(policy)), Err(UNUSABLE));
    }
    // Keys of no use are no DANE: the policy is stricter than they are.
    let unusable = |policy| decided(Opportunistic, &mx(true), &found(&[1]), Some(policy));
    assert_eq!(unusable(&names_it), Ok((authority(), Because::MtaSts)));
    assert_eq!(unusable(&names_others), Err(UNUSABLE));
    // Where anybody can have led us to a host, it is the policy that knows better.
    assert_eq!(decided(Opportunistic, &mx(false), &found(&[3]), Some(&names_it)), Ok((authority(), Because::MtaSts)));
    assert_eq!(decided(Opportunistic, &mx(false), &found(&[3]), Some(&names_others)), Err(UNUSABLE));
}

#[test]
fn an_enforced_policy_says_which_hosts_and_wants_their_certificates() {
    let enforce = policy("enforce", &["a.test", "*.x.test"]);
    let others = policy("enforce", &["*.mx1.x.test", "x.test"]);
    for tls in [Opportunistic, Required, Verified, Implicit] {
        for located in [mx(true), mx(false)] {
            for keys in [Keys::NotAsked, Keys::Insecure, Keys::None] {
                assert_eq!(
                    decided(tls, &located, &keys, Some(&enforce)),
                    Ok((authority(), Because::MtaSts)),
                    "{tls:?}"
                );
                assert_eq!(decided(tls, &located, &keys, Some(&others)), Err(UNUSABLE), "{tls:?}");
            }
        }
    }
    let (located, keys) = (mx(false), Keys::NotAsked);
    let failure = protect(Required, &host(), &Published { located: &located, keys: &keys, policy: Some(&others) });
    let failure = failure.unwrap_err();
    assert!(!failure.is_permanent() && failure.text.contains("policy of x.test does not name it"), "{failure:?}");
}

#[test]
fn a_policy_that_does_not_name_our_own_route_is_not_about_it() {
    let (enforce, others) = (policy("enforce", &["mx1.x.test"]), policy("enforce", &["other.test"]));
    let decided = |policy| decided(Opportunistic, &Located::Settings, &Keys::NotAsked, Some(policy));
    assert_eq!(decided(&enforce), Ok((authority(), Because::MtaSts)));
    assert_eq!(decided(&others), Ok((Channel::Opportunistic, Because::Terms)));
}

#[test]
fn a_policy_that_is_tried_out_changes_nothing_but_is_told_of() {
    let (names_it, names_others) = (policy("testing", &["mx1.x.test"]), policy("testing", &["other.test"]));
    for (policy, is_named) in [(&names_it, true), (&names_others, false)] {
        let (located, keys) = (mx(false), Keys::NotAsked);
        let published = Published { located: &located, keys: &keys, policy: Some(policy) };
        let protection = protect(Opportunistic, &host(), &published).unwrap();
        assert_eq!((protection.channel, protection.testing), (Channel::Opportunistic, Some(is_named)));
    }
    let none = policy("none", &[]);
    assert_eq!(decided(Opportunistic, &mx(false), &Keys::NotAsked, Some(&none)).unwrap().0, Channel::Opportunistic);
}

#[test]
fn the_names_of_a_certificate_under_dane() {
    let names = |located: &Located, base: &str| {
        let keys = Keys::Found { base: domain(base), records: vec![record(2)] };
        let protection = protect(Opportunistic, &host(), &Published { located, keys: &keys, policy: None }).unwrap();
        let Channel::Dane(dane) = protection.channel else { panic!("no DANE") };
        assert_eq!(protection.server_name, Some(domain(base)), "the base is asked for");
        dane.names.iter().map(Domain::to_string).collect::<Vec<_>>().join(" ")
    };
    let secure = Located::Mx { domain: domain("x.test"), alias: Some(domain("real.test")), secure: true };
    assert_eq!(names(&mx(true), "mx1.x.test"), "mx1.x.test x.test");
    assert_eq!(names(&secure, "host.test"), "host.test x.test real.test");
    assert_eq!(names(&mx(false), "mx1.x.test"), "mx1.x.test", "whoever led us here may have meant another domain");
    assert_eq!(names(&Located::Settings, "host.test"), "host.test mx1.x.test");
    let itself = Located::Mx { domain: domain("mx1.x.test"), alias: None, secure: false };
    assert_eq!(names(&itself, "host.test"), "host.test mx1.x.test", "a domain that is its own host");
}

#[test]
fn an_address_has_nothing_published() {
    let literal = Host::Literal("192.0.2.1".parse().unwrap());
    let enforce = policy("enforce", &["other.test"]);
    let keys = Keys::Failed("x".into());
    let published = Published { located: &Located::Settings, keys: &keys, policy: Some(&enforce) };
    for tls in ALL {
        let protection = protect(tls, &literal, &published).unwrap();
        let expected =
            if matches!(tls, Verified | Implicit) { Channel::Authority { name: literal.clone() } } else { plain(tls) };
        assert_eq!((protection.channel, protection.server_name), (expected, None));
    }
}

#[test]
fn a_message_that_demands_tls() {
    let wanted = |tls, located: &Located, keys: &Keys, policy: Option<&Policy>| {
        protect(tls, &host(), &Published { located, keys, policy }).unwrap().for_require_tls()
    };
    let enforce = policy("enforce", &["mx1.x.test"]);
    for tls in [Opportunistic, Required] {
        for located in [mx(true), Located::Settings] {
            let protection = wanted(tls, &located, &Keys::None, None).unwrap();
            assert_eq!((&protection.channel, protection.because), (&authority(), Because::RequireTls));
            assert!(protection.meets_require_tls());
            assert_eq!(wanted(tls, &located, &found(&[3]), None).unwrap().because, Because::Dane);
            assert_eq!(wanted(tls, &located, &found(&[1]), None).unwrap().channel, authority());
        }
        assert_eq!(wanted(tls, &mx(false), &Keys::None, Some(&enforce)).unwrap().because, Because::MtaSts);
        let failure = wanted(tls, &mx(false), &found(&[3]), None).unwrap_err();
        assert_eq!(failure.status, EnhancedStatus(5, 7, 10), "keys of a host that anybody can have named");
        assert_eq!(wanted(tls, &mx(false), &Keys::None, None).unwrap_err().kind, FailureKind::Unsupported);
    }
    assert!(wanted(Clear, &Located::Settings, &Keys::None, None).is_err());
    assert!(wanted(Verified, &Located::Settings, &Keys::None, None).unwrap().meets_require_tls());
    assert!(wanted(Verified, &mx(false), &Keys::None, None).is_err());
}

/// How the channel is tried for mail that waives what is published, in turn; nothing: the host is not used.
fn waived(tls: TlsPolicy, located: &Located, keys: &Keys, policy: Option<&Policy>) -> Vec<Channel> {
    let published = protect(tls, &host(), &Published { located, keys, policy });
    match waive(published, tls, &host(), located) {
        Ok((first, then)) => std::iter::once(first).chain(then).map(|protection| protection.channel).collect(),
        Err(_) => Vec::new(),
    }
}

#[test]
fn a_message_that_waives_what_is_published() {
    let (enforce, other) = (policy("enforce", &["mx1.x.test"]), policy("enforce", &["other.test"]));
    let failed = Keys::Failed("x".into());
    for tls in [Opportunistic, Required] {
        // First as it is published, then on the terms.
        assert_eq!(waived(tls, &mx(false), &Keys::None, Some(&enforce)), [authority(), plain(tls)]);
        let keys = waived(tls, &mx(true), &found(&[3]), None);
        assert!(matches!(&keys[..], [Channel::Dane(_), then] if *then == plain(tls)), "{keys:?}");
        // A host that is not used for other mail.
        assert_eq!(waived(tls, &mx(true), &failed, None), [plain(tls)]);
        assert_eq!(waived(tls, &mx(false), &Keys::None, Some(&other)), [plain(tls)]);
        // Nothing is published.
        assert_eq!(waived(tls, &mx(true), &Keys::None, None), [plain(tls)]);
    }
    assert_eq!(waived(Required, &mx(true), &found(&[0]), None), [Channel::Encrypted], "the same twice");
    assert_eq!(waived(Opportunistic, &mx(true), &found(&[0]), None), [Channel::Encrypted, Channel::Opportunistic]);
    // What the operator himself demands is nobody else's to waive, nor what he forbids.
    for tls in [Verified, Implicit] {
        assert_eq!(waived(tls, &mx(false), &Keys::None, Some(&enforce)), [authority()]);
        assert_eq!(waived(tls, &mx(false), &Keys::None, Some(&other)), []);
    }
    assert_eq!(waived(Clear, &mx(true), &found(&[3]), Some(&enforce)), [Channel::Clear]);
}

/// Whatever is published, a channel is never weaker than the terms.
#[test]
fn nothing_published_lowers_the_terms() {
    let rank = |channel: &Channel| match channel {
        Channel::Clear => 0,
        Channel::Opportunistic => 1,
        Channel::Encrypted => 2,
        Channel::Authority { .. } | Channel::Dane(_) => 3,
    };
    let policies: Vec<Option<Policy>> = [
        None,
        Some(("enforce", "*.x.test")),
        Some(("enforce", "other.test")),
        Some(("testing", "other.test")),
        Some(("none", "mx1.x.test")),
    ]
    .into_iter()
    .map(|wanted| wanted.map(|(mode, host)| policy(mode, &[host])))
    .collect();
    let keys =
        [Keys::NotAsked, Keys::Insecure, Keys::None, found(&[3]), found(&[2]), found(&[0]), Keys::Failed("x".into())];
    for tls in ALL {
        for located in [Located::Settings, mx(true), mx(false)] {
            for keys in &keys {
                for policy in &policies {
                    for channel in waived(tls, &located, keys, policy.as_ref()) {
                        assert!(rank(&channel) >= rank(&plain(tls)), "waived {tls:?} {keys:?}: {channel:?}");
                    }
                    let Ok((channel, _)) = decided(tls, &located, keys, policy.as_ref()) else { continue };
                    assert!(
                        rank(&channel) >= rank(&plain(tls)),
                        "{tls:?} {located:?} {keys:?} {policy:?}: {channel:?}"
                    );
                }
            }
        }
    }
}
