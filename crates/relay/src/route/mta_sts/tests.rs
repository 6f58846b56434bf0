//! Policies and records as they stand in the field, and nonsense.

use super::*;

const GOOD: &str = "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n";

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn parse(text: &str) -> Result<Policy, NoPolicy> {
    Policy::parse(text.as_bytes())
}

#[test]
fn a_policy_as_the_rfc_has_it() {
    let policy = parse(GOOD).unwrap();
    assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, Duration::from_secs(604_800)));
    let hosts: Vec<_> = policy.hosts.iter().map(HostPattern::to_string).collect();
    assert_eq!(hosts, ["mx1.example.com", "*.example.net"]);
    for same in [
        GOOD.replace("\r\n", "\n"),
        GOOD.replace(": ", ":\t "),
        GOOD.replace("\r\n", "  \r\n"),
        GOOD.replace("mx1.example.com", "MX1.Example.Com"),
        format!("{GOOD}unknown: field\r\nmode: none\r\nversion: STSv2\r\n"),
        GOOD.trim_end().to_owned(),
    ] {
        assert_eq!(parse(&same), Ok(policy.clone()), "{same:?}");
    }
    let none = parse("version: STSv1\nmode: none\nmax_age: 0\n").unwrap();
    assert_eq!((none.mode, none.hosts.len()), (Mode::None, 0));
}

#[test]
fn what_is_no_policy() {
    let without =
        |line: &str| GOOD.lines().filter(|l| !l.starts_with(line)).map(|l| format!("{l}\n")).collect::<String>();
    for (text, why) in [
        (String::new(), NoPolicy::Version),
        ("<html><body>Not found</body></html>".to_owned(), NoPolicy::Version),
        (without("version"), NoPolicy::Version),
        (GOOD.replace("STSv1", "STSv2"), NoPolicy::Version),
        (without("mode"), NoPolicy::Mode),
        (GOOD.replace("enforce", "Enforce"), NoPolicy::Mode),
        (without("max_age"), NoPolicy::MaxAge),
        (GOOD.replace("604800", "-1"), NoPolicy::MaxAge),
        (GOOD.replace("604800", "+7"), NoPolicy::MaxAge),
        (GOOD.replace("604800", "12345678901"), NoPolicy::MaxAge),
        (without("mx"), NoPolicy::NoHost),
        (GOOD.replace("mx1.example.com", "mx 1"), NoPolicy::Host),
        (GOOD.replace("*.example.net", "*"), NoPolicy::Host),
        (GOOD.replace("*.example.net", "a.*.net"), NoPolicy::Host),
        (GOOD.replace("*.example.net", "192.0.2.1"), NoPolicy::Host),
        (format!("{GOOD}{}", "x: y\n".repeat(POLICY_MAX)), NoPolicy::NoText),
    ] {
        assert_eq!(parse(&text), Err(why), "{:?}", &text[..text.len().min(200)]);
    }
    assert_eq!(Policy::parse(b"version: STSv1\xff\n"), Err(NoPolicy::NoText));
}

#[test]
fn only_so_many_patterns_are_looked_at() {
    let many: String = (0..PATTERNS_MAX + 50).map(|n| format!("mx: mx{n}.example.com\n")).collect();
    assert_eq!(parse(&format!("{GOOD}{many}")).unwrap().hosts.len(), PATTERNS_MAX);
}

#[test]
fn a_wildcard_stands_for_one_label() {
    let policy = parse(GOOD).unwrap();
    for (host, expected) in [
        ("mx1.example.com", true),
        ("mx2.example.com", false),
        ("a.mx1.example.com", false),
        ("mx1.example.net", true),
        ("example.net", false),
        ("a.b.example.net", false),
        ("mx1.evil-example.net", false),
        ("example.net.evil.test", false),
    ] {
        assert_eq!(policy.names(&domain(host)), expected, "{host}");
    }
}

#[test]
fn the_id_of_a_record() {
    let id = |texts: &[&str]| record_id(texts).map(String::from);
    assert_eq!(id(&["v=STSv1; id=20160831085700Z;"]), Some("20160831085700Z".into()));
    for good in ["v=STSv1;id=1", "v=STSv1 ; id=1 ;", "v=STSv1; other=x; id=1", "v=STSv1;\tid=1; id=2"] {
        assert_eq!(id(&[good]), Some("1".into()), "{good}");
    }
    assert_eq!(id(&["v=spf1 -all", "v=STSv1; id=1;", "v=STSv2; id=2"]), Some("1".into()), "others are not about it");
    let long = format!("v=STSv1; id={}", "1".repeat(33));
    for none in [
        &[][..],
        &["v=STSv1; id=1", "v=STSv1; id=1"],
        &["v=STSv1; id=1", "v=STSv1; "],
        &["v=STSv1"],
        &["v=STSv1;"],
        &["v=STSv1; id="],
        &["v=STSv1; id=a-b"],
        &["v=STSv10; id=1"],
        &[" v=STSv1; id=1"],
        &[&long],
    ] {
        assert_eq!(id(none), None, "{none:?}");
    }
    assert_eq!(record_id(&[&b"v=STSv1; id=1\xff"[..]]), None);
}

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn kept(id: &str, age: u64, max_age: u64) -> Option<Kept> {
    let policy = Policy { max_age: Duration::from_secs(max_age), ..parse(GOOD).unwrap() };
    Some(Kept { policy, id: id.into(), fetched: Timestamp(NOW.0 - age as i64 * 1_000) })
}

fn step(kept: Option<Kept>, failed: Option<(&str, u64)>, record: &Record) -> Step {
    let failed = failed.map(|(id, ago)| (id.into(), Timestamp(NOW.0 - ago as i64 * 1_000)));
    decide(&Known { kept, failed }, record, NOW)
}

#[test]
fn when_a_policy_is_fetched() {
    let id = |id: &str| Record::Id(id.into());
    const WEEK: u64 = 604_800;
    // Nothing is known.
    assert_eq!(step(None, None, &id("1")), Step::Fetch);
    assert_eq!(step(None, None, &Record::None), Step::Use);
    assert_eq!(step(None, None, &Record::Unanswered), Step::Use);
    // Something is known.
    assert_eq!(step(kept("1", 10, WEEK), None, &id("1")), Step::Use);
    assert_eq!(step(kept("1", 10, WEEK), None, &id("2")), Step::Fetch);
    assert_eq!(step(kept("1", 10, WEEK), None, &Record::None), Step::Use);
    assert_eq!(step(kept("1", 10, WEEK), None, &Record::Unanswered), Step::Use);
    assert_eq!(step(kept("1", WEEK / 2, WEEK), None, &id("1")), Step::Refresh);
    // Its age is over.
    assert_eq!(step(kept("1", WEEK, WEEK), None, &id("1")), Step::Fetch);
    // Somebody was asked a moment ago, in vain.
    assert_eq!(step(None, Some(("1", 10)), &id("1")), Step::Use);
    assert_eq!(step(None, Some(("1", 300)), &id("1")), Step::Fetch);
    assert_eq!(step(None, Some(("1", 10)), &id("2")), Step::Fetch, "the domain says that it has mended it");
    assert_eq!(step(kept("1", WEEK / 2, WEEK), Some(("1", 10)), &id("1")), Step::Use);
}

#[test]
fn an_old_policy_holds_until_its_age_is_over() {
    let holds = |age, max_age| in_force(&Known { kept: kept("1", age, max_age), failed: None }, NOW).is_some();
    assert!(holds(0, 86_400) && holds(86_399, 86_400) && !holds(86_400, 86_400));
    assert!(holds(299, 0) && !holds(300, 0), "not for each message anew");
    assert!(holds(31_557_599, 9_999_999_999) && !holds(31_557_600, 9_999_999_999), "not for ever");
    let mut none = kept("1", 0, 86_400).unwrap();
    none.policy.mode = Mode::None;
    assert_eq!(in_force(&Known { kept: Some(none), failed: None }, NOW), None);
    assert_eq!(in_force(&Known::default(), NOW), None);
}

#[test]
fn what_is_kept_reads_back_from_its_text() {
    for (mode, hosts) in [("enforce", "mx: a.test\nmx: *.b.test\n"), ("testing", "mx: a.test\n"), ("none", "")] {
        let policy = parse(&format!("version: STSv1\nmode: {mode}\nmax_age: 7\n{hosts}")).unwrap();
        let kept = Kept { policy, id: "2016Z".into(), fetched: NOW };
        assert_eq!(Kept::parse(&kept.print(), NOW), Some(kept.clone()));
        // A file that was cut, or that somebody wrote into, is none.
        for cut in 0..kept.print().len() {
            assert_eq!(Kept::parse(&kept.print()[..cut], NOW), None, "{cut}");
        }
        let early = Timestamp(NOW.0 - 5_000);
        assert_eq!(Kept::parse(&kept.print(), early).unwrap().fetched, early, "a clock that was wrong");
    }
}
