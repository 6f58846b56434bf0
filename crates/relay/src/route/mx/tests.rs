//! Tables of answers and what becomes of them.

use super::*;
use std::collections::BTreeSet;

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn mx(preference: u16, exchange: &str) -> MxRecord {
    MxRecord { preference, exchange: exchange.into() }
}

fn ips(texts: &[&str]) -> Answer<IpAddr> {
    if texts.is_empty() { Err(DnsFault::NoRecords) } else { Ok(texts.iter().map(|t| t.parse().unwrap()).collect()) }
}

fn host(name: &str, v6: &[&str], v4: &[&str]) -> Addresses {
    Addresses { name: domain(name), v6: ips(v6), v4: ips(v4) }
}

fn timed_out<T>() -> Answer<T> {
    Err(DnsFault::Unanswered("time-out".into()))
}

/// Always the last one, so that nothing is shuffled.
fn no_chance(n: usize) -> usize {
    n - 1
}

fn read(answer: Answer<MxRecord>) -> Result<Exchanges, Failure> {
    Exchanges::read(&domain("x.test"), answer, &domain("relay.test"), &mut no_chance)
}

/// The groups as text: `a b | c`.
fn order(answer: Answer<MxRecord>) -> String {
    let mut exchanges = read(answer).unwrap();
    let mut groups = Vec::new();
    while let Some(group) = exchanges.next() {
        groups.push(group.iter().map(Domain::as_str).collect::<Vec<_>>().join(" "));
    }
    groups.join(" | ")
}

fn status(result: Result<Exchanges, Failure>) -> (FailureKind, String) {
    let failure = result.unwrap_err();
    (failure.kind, failure.status.to_string())
}

fn nobody(_: IpAddr) -> bool {
    false
}

fn show(targets: &[Target]) -> String {
    targets.iter().map(|t| format!("{}={}", t.name, t.ip)).collect::<Vec<_>>().join(" ")
}

#[test]
fn better_preference_goes_first() {
    assert_eq!(order(Ok(vec![mx(20, "b.test"), mx(0, "c.test"), mx(65535, "d.test")])), "c.test | b.test | d.test");
    assert_eq!(order(Ok(vec![mx(10, "a.test"), mx(20, "c.test"), mx(10, "b.test")])), "a.test b.test | c.test");
    assert_eq!(order(Ok(vec![mx(10, "A.Test"), mx(20, "a.test")])), "a.test", "one host is tried once");
}

#[test]
fn equal_ones_are_shuffled_and_only_these() {
    let records = || Ok(vec![mx(10, "a.test"), mx(10, "b.test"), mx(10, "c.test"), mx(5, "first.test")]);
    let mut seen = BTreeSet::new();
    // A generator with a short period is chance enough here.
    let mut state = 1_u64;
    for _ in 0..200 {
        let mut chance = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % n
        };
        let mut exchanges = Exchanges::read(&domain("x.test"), records(), &domain("relay.test"), &mut chance).unwrap();
        assert_eq!(exchanges.next().unwrap(), [domain("first.test")]);
        seen.insert(exchanges.next().unwrap());
    }
    assert_eq!(seen.len(), 6, "all orders of three come up: {seen:?}");
}

#[test]
fn a_wild_chance_does_no_harm() {
    let mut wild = |_: usize| usize::MAX;
    let answer = Ok(vec![mx(10, "a.test"), mx(10, "b.test")]);
    assert!(Exchanges::read(&domain("x.test"), answer, &domain("relay.test"), &mut wild).is_ok());
}

#[test]
fn a_null_mx_means_no_mail() {
    let none = (FailureKind::Dns, "5.1.10".to_owned());
    assert_eq!(status(read(Ok(vec![mx(0, "")]))), none);
    assert_eq!(status(read(Ok(vec![mx(0, "."), mx(7, "")]))), none);
    assert_eq!(order(Ok(vec![mx(0, ""), mx(10, "a.test")])), "a.test", "beside others it is ignored");
}

#[test]
fn no_mx_means_the_domain_itself() {
    assert_eq!(order(Err(DnsFault::NoRecords)), "x.test");
    let mut exchanges = read(Err(DnsFault::NoRecords)).unwrap();
    exchanges.next();
    assert_eq!(show(&exchanges.found(vec![host("x.test", &[], &["192.0.2.1"])], &nobody, false)), "x.test=192.0.2.1");
}

#[test]
fn what_does_not_exist_is_not_what_was_not_answered() {
    assert_eq!(status(read(Err(DnsFault::NoSuchName))), (FailureKind::Dns, "5.1.2".into()));
    assert_eq!(status(read(timed_out())), (FailureKind::Dns, "4.4.3".into()));
    // Neither MX nor address.
    let mut exchanges = read(Err(DnsFault::NoRecords)).unwrap();
    exchanges.next();
    assert_eq!(exchanges.found(vec![host("x.test", &[], &[])], &nobody, false), []);
    assert_eq!(exchanges.failure().status.to_string(), "5.1.2");
    // No MX, and the addresses were not answered.
    let mut exchanges = read(Err(DnsFault::NoRecords)).unwrap();
    exchanges.next();
    exchanges.found(vec![Addresses { name: domain("x.test"), v6: ips(&[]), v4: timed_out() }], &nobody, false);
    assert_eq!(exchanges.failure().status.to_string(), "4.4.3");
}

#[test]
fn mx_hosts_without_addresses() {
    let groups = Ok(vec![mx(10, "a.test"), mx(20, "b.test")]);
    let mut exchanges = read(groups.clone()).unwrap();
    exchanges.next();
    exchanges.found(vec![host("a.test", &[], &[])], &nobody, false);
    exchanges.next();
    let missing = Addresses { name: domain("b.test"), v6: Err(DnsFault::NoSuchName), v4: Err(DnsFault::NoSuchName) };
    exchanges.found(vec![missing], &nobody, false);
    assert_eq!(exchanges.failure().status.to_string(), "5.4.4");
    // One that was not answered makes it wait, wherever it stands.
    let mut exchanges = read(groups).unwrap();
    exchanges.next();
    exchanges.found(vec![Addresses { name: domain("a.test"), v6: timed_out(), v4: ips(&[]) }], &nobody, false);
    exchanges.next();
    exchanges.found(vec![host("b.test", &[], &[])], &nobody, false);
    assert_eq!(exchanges.failure().status.to_string(), "4.4.3");
}

#[test]
fn one_family_is_enough() {
    let mut exchanges = read(Ok(vec![mx(10, "a.test")])).unwrap();
    exchanges.next();
    let half = Addresses { name: domain("a.test"), v6: timed_out(), v4: ips(&["192.0.2.1"]) };
    assert_eq!(show(&exchanges.found(vec![half], &nobody, false)), "a.test=192.0.2.1");
}

#[test]
fn families_take_turns_ipv6_first() {
    let mut exchanges = read(Ok(vec![mx(10, "a.test"), mx(10, "b.test")])).unwrap();
    exchanges.next();
    let a = host("a.test", &["2001:db8::1"], &["192.0.2.1", "192.0.2.2"]);
    let b = host("b.test", &["2001:db8::2", "2001:db8::3"], &["192.0.2.3"]);
    assert_eq!(
        show(&exchanges.found(vec![a, b], &nobody, false)),
        "a.test=2001:db8::1 a.test=192.0.2.1 a.test=192.0.2.2 b.test=2001:db8::2 b.test=192.0.2.3 b.test=2001:db8::3"
    );
}

#[test]
fn our_own_name_ends_the_list() {
    assert_eq!(order(Ok(vec![mx(10, "a.test"), mx(20, "Relay.Test"), mx(30, "c.test")])), "a.test");
    // Equal preference goes as well, on whichever side the shuffle put it.
    assert_eq!(order(Ok(vec![mx(5, "a.test"), mx(10, "b.test"), mx(10, "relay.test")])), "a.test");
    assert_eq!(order(Ok(vec![mx(5, "a.test"), mx(10, "relay.test"), mx(10, "b.test")])), "a.test");
    let looped = (FailureKind::Loop, "5.4.6".to_owned());
    assert_eq!(status(read(Ok(vec![mx(10, "relay.test"), mx(20, "b.test")]))), looped);
    assert_eq!(status(read(Ok(vec![mx(10, "b.test"), mx(10, "relay.test")]))), looped);
}

#[test]
fn our_own_address_ends_the_list() {
    let ours = |ip: IpAddr| ip == "192.0.2.25".parse::<IpAddr>().unwrap();
    let answer = Ok(vec![mx(10, "a.test"), mx(20, "b.test"), mx(20, "alias.test"), mx(30, "c.test")]);
    let mut exchanges = read(answer.clone()).unwrap();
    exchanges.next();
    assert_eq!(exchanges.found(vec![host("a.test", &[], &["192.0.2.1"])], &ours, false).len(), 1);
    exchanges.next();
    let group = vec![host("b.test", &[], &["192.0.2.2"]), host("alias.test", &[], &["192.0.2.25"])];
    assert_eq!(exchanges.found(group, &ours, false), [], "its equals are dropped with it");
    assert_eq!(exchanges.next(), None, "and the worse ones");
    assert_eq!(exchanges.failure().status.to_string(), "5.4.6");
    // The better one could not be looked up: that may be different tomorrow.
    let mut exchanges = read(answer).unwrap();
    exchanges.next();
    exchanges.found(vec![Addresses { name: domain("a.test"), v6: ips(&[]), v4: timed_out() }], &ours, false);
    exchanges.next();
    exchanges.found(vec![host("alias.test", &[], &["192.0.2.25"])], &ours, false);
    assert_eq!(exchanges.failure().status.to_string(), "4.4.3");
}

#[test]
fn names_that_are_no_hosts_are_ignored() {
    for bad in ["192.0.2.1", "mail server.test", "a..test", "a\\032b.test", "-.test", "x\u{0}.test"] {
        assert_eq!(order(Ok(vec![mx(5, bad), mx(10, "a.test")])), "a.test", "{bad:?}");
        assert_eq!(status(read(Ok(vec![mx(5, bad)]))), (FailureKind::Dns, "5.4.4".into()), "{bad:?}");
    }
}

#[test]
fn addresses_at_which_no_host_can_be() {
    let nowhere = ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "::ffff:0.0.0.0"];
    let link_local = ["169.254.169.254", "fe80::1", "::ffff:169.254.0.1"];
    let loopback = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"];
    for bad in nowhere.into_iter().chain(link_local).chain(loopback) {
        let mut exchanges = read(Ok(vec![mx(10, "a.test")])).unwrap();
        exchanges.next();
        let v6 = if bad.contains(':') { vec![bad] } else { vec![] };
        let v4 = if bad.contains(':') { vec![] } else { vec![bad] };
        assert_eq!(exchanges.found(vec![host("a.test", &v6, &v4)], &nobody, false), [], "{bad}");
        let failure = exchanges.failure();
        assert_eq!(failure.status.to_string(), "5.4.4", "{bad}");
        assert_eq!(failure.text.contains("delivery.mx_loopback"), loopback.contains(&bad), "{bad}: {}", failure.text);
        let mut exchanges = read(Ok(vec![mx(10, "a.test")])).unwrap();
        exchanges.next();
        let targets = exchanges.found(vec![host("a.test", &v6, &v4)], &nobody, true);
        assert_eq!(targets.len(), usize::from(loopback.contains(&bad)), "{bad}, where loopback is allowed");
    }
    for good in ["127.0.0.1", "10.0.0.1", "169.254.1.1", "192.0.2.1", "::1", "fe80::1", "2001:db8::1"] {
        assert!(is_usable(good.parse().unwrap()), "{good}");
    }
}

#[test]
fn an_endless_answer_has_an_end() {
    let many = (0..1_000).map(|i| mx(i / 7, &format!("h{i}.test"))).collect();
    let mut exchanges = read(Ok(many)).unwrap();
    let (mut names, mut targets) = (0, 0);
    let addresses: Vec<String> = (0..100).map(|i| format!("192.0.2.{i}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    while let Some(group) = exchanges.next() {
        names += group.len();
        let hosts = group.iter().map(|name| host(name.as_str(), &[], &addresses)).collect();
        targets += exchanges.found(hosts, &nobody, false).len();
    }
    assert!(names <= HOSTS_MAX);
    assert_eq!(targets, ADDRESSES_MAX);
    let many = (0..1_000).map(|i| mx(i, &format!("h{i}.test"))).collect();
    assert_eq!(order(Ok(many)).split(" | ").count(), HOSTS_MAX);
}

#[test]
fn a_listed_host_without_address_is_the_operators_to_mend() {
    assert_eq!(unresolved(&host("smart.test", &[], &[])).status.to_string(), "4.4.4");
    let down = Addresses { name: domain("smart.test"), v6: ips(&[]), v4: timed_out() };
    assert_eq!(unresolved(&down).status.to_string(), "4.4.3");
}
