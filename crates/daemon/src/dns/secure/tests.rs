//! A resolver whose word is taken: what it calls proven, and what it does not. Real signatures: `with_bind` among the black-box tests.

use super::super::Resolver;
use super::super::fake::{A, AAAA, FakeDns, MX, Question, Say, TLSA, Value, a, mx};
use super::*;
use relay::route::protection::Located;

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

async fn trusting(zone: impl Fn(&Question) -> Say + Send + Sync + 'static) -> (Resolver, FakeDns) {
    let server = FakeDns::start(zone).await;
    (Resolver::new(&Dns { dnssec: Dnssec::TrustAd, ..server.settings() }).unwrap(), server)
}

fn key(usage: u8) -> Value {
    Value::Tlsa([usage, 1, 1], vec![7; 32])
}

fn found(base: &str) -> Keys {
    let records = vec![Tlsa { usage: 3, selector: 1, matching: 1, data: [7; 32].into() }];
    Keys::Found { base: domain(base), records }
}

/// The keys of `mx.test` at port 25, when the resolver says this.
async fn keys_when(zone: impl Fn(&str, u16) -> Say + Send + Sync + 'static) -> Keys {
    let (resolver, _server) = trusting(move |q| zone(&q.name, q.kind)).await;
    resolver.keys(&domain("mx.test"), 25).await
}

#[tokio::test]
async fn mx_records_are_proven_if_the_resolver_says_so() {
    let (resolver, server) = trusting(|q| match q.name.as_str() {
        "signed.test" => Say::Proven(vec![("signed.test", mx(1, "mx.test"))]),
        "alias.test" => Say::Proven(vec![("alias.test", Value::Cname("real.test")), ("real.test", mx(1, "mx.test"))]),
        "plain.test" => Say::Records(vec![mx(1, "mx.test")]),
        "bogus.test" => Say::Code(2),
        _ => Say::NoRecords,
    })
    .await;
    let located = |name: &str, alias: Option<&str>, secure| Located::Mx {
        domain: domain(name),
        alias: alias.map(domain),
        secure,
    };
    for (name, alias, secure) in
        [("signed.test", None, true), ("alias.test", Some("real.test"), true), ("plain.test", None, false)]
    {
        let (answer, how) = resolver.mx(&domain(name)).await;
        assert_eq!((answer.unwrap().len(), how), (1, located(name, alias, secure)), "{name}");
    }
    assert!(matches!(resolver.mx(&domain("bogus.test")).await.0, Err(DnsFault::Unanswered(_))));
    assert_eq!(resolver.mx(&domain("none.test")).await, (Err(DnsFault::NoRecords), located("none.test", None, false)));
    assert!(server.asked().iter().all(|question| question.ad), "whoever does not ask for the AD bit does not get it");
}

#[tokio::test]
async fn keys_of_a_signed_host() {
    let keys = keys_when(|name, kind| match (name, kind) {
        ("mx.test", A) => Say::Proven(vec![("mx.test", a("192.0.2.1"))]),
        ("_25._tcp.mx.test", TLSA) => Say::Proven(vec![("_25._tcp.mx.test", key(3))]),
        _ => Say::NoRecords,
    });
    assert_eq!(keys.await, found("mx.test"));
}

#[tokio::test]
async fn what_is_not_proven_counts_for_nothing() {
    let keys = keys_when(|name, kind| match (name, kind) {
        ("mx.test", A) => Say::Records(vec![a("192.0.2.1")]),
        ("_25._tcp.mx.test", TLSA) => {
            panic!("nobody asks about a host that is not signed: its name servers may not know the question")
        }
        _ => Say::NoRecords,
    });
    assert_eq!(keys.await, Keys::Insecure);
    let keys = keys_when(|name, kind| match (name, kind) {
        ("mx.test", A) => Say::Proven(vec![("mx.test", a("192.0.2.1"))]),
        ("_25._tcp.mx.test", TLSA) => Say::Records(vec![key(3)]),
        _ => Say::NoRecords,
    });
    assert_eq!(keys.await, Keys::Insecure);
    // A record of keys may be an alias; then all of it must be proven.
    let keys = keys_when(|name, kind| match (name, kind) {
        ("mx.test", A) => Say::Proven(vec![("mx.test", a("192.0.2.1"))]),
        ("_25._tcp.mx.test", TLSA) => Say::Proven(vec![("_25._tcp.mx.test", Value::Cname("keys.test"))]),
        ("keys.test", TLSA) => Say::Records(vec![key(3)]),
        _ => Say::NoRecords,
    });
    assert_eq!(keys.await, Keys::Insecure);
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_not_taken_for_none() {
    for what in ["mx.test", "_25._tcp.mx.test"] {
        let keys = keys_when(move |name, kind| match (name, kind) {
            (name, A | AAAA | TLSA) if name == what => Say::Code(2),
            ("mx.test", A) => Say::Proven(vec![("mx.test", a("192.0.2.1"))]),
            _ => Say::NoRecords,
        });
        assert!(matches!(keys.await, Keys::Failed(_)), "SERVFAIL about {what}");
    }
    // One family is enough.
    let keys = keys_when(|name, kind| match (name, kind) {
        (_, AAAA) => Say::Code(2),
        ("mx.test", A) => Say::Proven(vec![("mx.test", a("192.0.2.1"))]),
        ("_25._tcp.mx.test", TLSA) => Say::Proven(vec![("_25._tcp.mx.test", key(3))]),
        _ => Say::NoRecords,
    });
    assert_eq!(keys.await, found("mx.test"));
}

#[tokio::test]
async fn an_aliass_keys_are_looked_for_where_it_leads_and_then_at_itself() {
    let alias = || vec![("mx.test", Value::Cname("host.test")), ("host.test", a("192.0.2.1"))];
    let both = keys_when(move |name, kind| match (name, kind) {
        ("mx.test", A) => Say::Proven(alias()),
        ("_25._tcp.host.test", TLSA) => Say::Proven(vec![("_25._tcp.host.test", key(3))]),
        ("_25._tcp.mx.test", TLSA) => Say::Proven(vec![("_25._tcp.mx.test", key(2))]),
        _ => Say::NoRecords,
    });
    assert_eq!(both.await, found("host.test"));
    let itself = keys_when(move |name, kind| match (name, kind) {
        ("mx.test", A) => Say::Proven(alias()),
        ("_25._tcp.mx.test", TLSA) => Say::Proven(vec![("_25._tcp.mx.test", key(3))]),
        _ => Say::NoRecords,
    });
    assert_eq!(itself.await, found("mx.test"));
    // The alias is signed, the host that it leads to is not: then only the alias has keys that count.
    let halfway = keys_when(move |name, kind| match (name, kind) {
        ("mx.test", A) => Say::Proven(vec![("mx.test", Value::Cname("host.test"))]),
        ("host.test", A) => Say::Records(vec![a("192.0.2.1")]),
        ("_25._tcp.host.test", TLSA) => Say::Proven(vec![("_25._tcp.host.test", key(2))]),
        ("_25._tcp.mx.test", TLSA) => Say::Proven(vec![("_25._tcp.mx.test", key(3))]),
        _ => Say::NoRecords,
    });
    assert_eq!(halfway.await, found("mx.test"));
}

#[tokio::test]
async fn proven_answers_are_kept() {
    let (resolver, server) = trusting(|q| match q.kind {
        MX => Say::Proven(vec![("x.test", mx(1, "mx.test"))]),
        _ => Say::NoRecords,
    })
    .await;
    for _ in 0..3 {
        assert!(matches!(resolver.mx(&domain("x.test")).await.1, Located::Mx { secure: true, .. }));
    }
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn trust_anchors_that_cannot_be_used_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("root.key");
    std::fs::write(&file, "nothing of the kind\n").unwrap();
    let dns = Dns { dnssec: Dnssec::Validate, trust_anchor: Some(file.clone()), ..Dns::default() };
    let told = Resolver::new(&dns).unwrap_err().to_string();
    assert!(told.contains("root.key"), "{told}");
    std::fs::remove_file(&file).unwrap();
    assert!(Resolver::new(&dns).is_err());
}
