//! The resolver against a name server that lies, stalls, loops and talks nonsense.

use super::fake::{A, AAAA, CNAME, FakeDns, MX, Question, Say, TXT, Value, a, aaaa, mx};
use super::*;

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

async fn resolver(zone: impl Fn(&Question) -> Say + Send + Sync + 'static) -> (Resolver, FakeDns) {
    let server = FakeDns::start(zone).await;
    (Resolver::new(&server.settings()).unwrap(), server)
}

/// What the MX look-up of `x.test` brings when the server says this to every question.
async fn mx_when(zone: impl Fn(&Question) -> Say + Send + Sync + 'static) -> Answer<MxRecord> {
    resolver(zone).await.0.mx(&domain("x.test")).await.0
}

fn is_unanswered<T>(answer: &Answer<T>) -> bool {
    matches!(answer, Err(DnsFault::Unanswered(_)))
}

#[tokio::test]
async fn mx_records_come_with_their_preference() {
    let (resolver, _server) = resolver(|_| Say::Records(vec![mx(10, "a.test"), mx(65535, "B.Test"), mx(0, "")])).await;
    let mut found = resolver.mx(&domain("x.test")).await.0.unwrap();
    found.sort_by_key(|record| record.preference);
    let found: Vec<_> = found.iter().map(|r| (r.preference, r.exchange.to_lowercase())).collect();
    assert_eq!(found, [(0, String::new()), (10, "a.test".into()), (65535, "b.test".into())]);
}

#[tokio::test]
async fn three_kinds_of_nothing() {
    assert_eq!(mx_when(|_| Say::NoSuchName).await, Err(DnsFault::NoSuchName));
    assert_eq!(mx_when(|_| Say::NoRecords).await, Err(DnsFault::NoRecords));
    assert_eq!(
        mx_when(|q| if q.kind == CNAME { Say::NoRecords } else { Say::Nothing }).await,
        Err(DnsFault::NoRecords)
    );
    for code in [1, 2, 4, 5, 9, 14] {
        let answer = mx_when(move |_| Say::Code(code)).await;
        assert!(is_unanswered(&answer), "code {code}: {answer:?}");
    }
    let answer = mx_when(|_| Say::Referral).await;
    assert!(is_unanswered(&answer), "a lame server: {answer:?}");
}

#[tokio::test]
async fn addresses_of_both_families() {
    let (resolver, _server) = resolver(|q| match q.kind {
        AAAA => Say::Records(vec![aaaa("2001:db8::1")]),
        _ => Say::Records(vec![a("192.0.2.1"), a("192.0.2.2")]),
    })
    .await;
    let found = resolver.addresses(&domain("a.test")).await;
    assert_eq!(found.v6, Ok(vec!["2001:db8::1".parse().unwrap()]));
    assert_eq!(found.v4.unwrap().len(), 2);
}

#[tokio::test]
async fn aliases_are_followed_and_their_loops_end() {
    let (resolver, _server) = resolver(|q| match (q.name.as_str(), q.kind) {
        ("alias.test", A) | ("empty.test", _) => Say::Records(vec![Value::Cname("real.test")]),
        ("whole.test", A) => Say::Chain(vec![("whole.test", Value::Cname("real.test")), ("real.test", a("192.0.2.7"))]),
        ("real.test", A) => Say::Records(vec![a("192.0.2.7")]),
        ("one.test", _) => Say::Records(vec![Value::Cname("two.test")]),
        ("two.test", _) => Say::Records(vec![Value::Cname("one.test")]),
        ("self.test", _) => Say::Records(vec![Value::Cname("self.test")]),
        _ => Say::NoRecords,
    })
    .await;
    for name in ["alias.test", "whole.test"] {
        assert_eq!(resolver.addresses(&domain(name)).await.v4, Ok(vec!["192.0.2.7".parse().unwrap()]), "{name}");
    }
    assert_eq!(resolver.mx(&domain("empty.test")).await.0, Err(DnsFault::NoRecords), "an alias of a host without MX");
    for name in ["one.test", "self.test"] {
        let answer = resolver.mx(&domain(name)).await.0;
        assert!(is_unanswered(&answer), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let many: Vec<Value> = (0..1_000).map(|i| mx(i, &format!("host-{i}.with-a-long-name.example.test"))).collect();
    let (resolver, server) = resolver(move |q| if q.tcp { Say::Records(many.clone()) } else { Say::Truncated }).await;
    assert_eq!(resolver.mx(&domain("x.test")).await.0.unwrap().len(), 1_000);
    assert_eq!(server.asked().iter().filter(|q| q.tcp).count(), 1);
}

#[tokio::test]
async fn answers_are_kept_and_so_is_their_absence() {
    let (resolver, server) = resolver(|q| match q.name.as_str() {
        "x.test" => Say::Records(vec![mx(1, "a.test")]),
        "none.test" => Say::NoRecords,
        "failing.test" => Say::Code(2),
        _ => Say::NoSuchName,
    })
    .await;
    for name in ["x.test", "none.test", "absent.test"] {
        let first = resolver.mx(&domain(name)).await.0;
        let asked = server.asked().len();
        assert_eq!(resolver.mx(&domain(name)).await.0, first);
        assert_eq!(server.asked().len(), asked, "{name} was asked for again");
    }
    assert!(is_unanswered(&resolver.mx(&domain("failing.test")).await.0));
    let asked = server.asked().len();
    assert!(is_unanswered(&resolver.mx(&domain("failing.test")).await.0));
    assert!(server.asked().len() > asked, "a server that failed is asked again");
}

#[tokio::test]
async fn an_answer_is_kept_as_long_as_it_says_and_no_longer() {
    let (resolver, server) = resolver(|_| Say::Brief(1, vec![mx(1, "a.test")])).await;
    let began = std::time::Instant::now();
    while server.asked().len() < 2 {
        assert!(resolver.mx(&domain("x.test")).await.0.is_ok());
        assert!(began.elapsed() < Duration::from_secs(20), "nobody asks again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn names_beyond_ascii_are_asked_for_as_a_labels() {
    let (resolver, server) = resolver(|_| Say::Records(vec![mx(1, "a.test")])).await;
    assert!(resolver.mx(&domain("Bücher.test")).await.0.is_ok());
    assert_eq!(server.asked()[0].name, "xn--bcher-kva.test");
    assert_eq!(server.asked()[0].kind, MX);
    assert!(resolver.mx(&domain("_mail.under_score.test")).await.0.is_ok(), "as hosts in the field have them");
    assert_eq!(server.asked()[1].name, "_mail.under_score.test");
}

#[tokio::test]
async fn a_name_longer_than_the_dns_allows_does_not_exist() {
    let (resolver, server) = resolver(|_| Say::Records(vec![mx(1, "a.test")])).await;
    let long = domain(&["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63)].join("."));
    assert_eq!(resolver.mx(&long).await.0, Err(DnsFault::NoSuchName));
    assert_eq!(server.asked(), []);
}

/// Each of these is answered to every question; none may pass for a domain without mail, and none may do harm.
#[tokio::test(start_paused = true)]
async fn nonsense_is_no_answer() {
    let header = |answers: u8| vec![0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0];
    let question = [&[1, b'x', 4][..], b"test", &[0, 0, 15, 0, 1]].concat();
    let with = |tail: &[u8]| [&header(1)[..], &question, tail].concat();
    let nonsense: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("a short header", vec![0x81, 0x80, 0]),
        ("a name that points at itself", with(&[0xC0, 24, 0, 15, 0, 1, 0, 0, 0, 9, 0, 4, 0, 1, 0xC0, 24])),
        ("a name that points ahead", with(&[0xC0, 0xFF, 0, 15, 0, 1, 0, 0, 0, 9, 0, 4, 0, 1, 0xC0, 12])),
        ("a length that lies", with(&[0xC0, 12, 0, 15, 0, 1, 0, 0, 0, 9, 0xFF, 0xFF, 0, 1, 0])),
        ("an MX without a host", with(&[0xC0, 12, 0, 15, 0, 1, 0, 0, 0, 9, 0, 2, 0, 1])),
        ("answers that are missing", [&[0x81, 0x80, 0, 1, 0xFF, 0xFF, 0, 0, 0, 0][..], &question].concat()),
        (
            "a label of 64 octets",
            with(&[&[64][..], &[b'a'; 64], &[0, 0, 15, 0, 1, 0, 0, 0, 9, 0, 3, 0, 1, 0]].concat()),
        ),
        ("text of another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
    ];
    for (what, octets) in nonsense {
        let answer = mx_when(move |_| Say::Octets(octets.clone())).await;
        assert!(is_unanswered(&answer), "{what}: {answer:?}");
    }
    let answer = mx_when(|_| Say::Beside(mx(1, "a.test"))).await;
    assert!(is_unanswered(&answer), "records where no answer stands: {answer:?}");
    let answer = mx_when(|_| Say::Records(vec![a("192.0.2.1")])).await;
    assert_eq!(answer, Err(DnsFault::NoRecords), "records of another type are no MX records");
}

#[tokio::test(start_paused = true)]
async fn answers_to_another_question_are_ignored() {
    let answer = mx_when(|_| Say::OtherId(mx(1, "evil.test"))).await;
    assert!(is_unanswered(&answer), "{answer:?}");
    let answer = mx_when(|_| Say::OtherQuestion(mx(1, "evil.test"))).await;
    assert!(is_unanswered(&answer), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_in_time() {
    let (resolver, _server) = resolver(|_| Say::Silence).await;
    let began = tokio::time::Instant::now();
    let answer = resolver.mx(&domain("x.test")).await.0;
    assert!(is_unanswered(&answer), "{answer:?}");
    assert!(began.elapsed() <= LOOKUP_MAX, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_no_answer() {
    let server = FakeDns::start(|_| Say::Silence).await;
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_ne!(server.address, closed);
    let resolver = Resolver::new(&Dns { servers: vec![closed], ..relay::config::Dns::default() }).unwrap();
    let answer = resolver.mx(&domain("x.test")).await.0;
    assert!(is_unanswered(&answer), "{answer:?}");
}

#[tokio::test]
async fn the_second_server_answers_for_a_dead_first() {
    let server = FakeDns::start(|_| Say::Records(vec![mx(1, "a.test")])).await;
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let resolver =
        Resolver::new(&Dns { servers: vec![closed, server.address], ..relay::config::Dns::default() }).unwrap();
    assert!(resolver.mx(&domain("x.test")).await.0.is_ok());
}

#[tokio::test]
async fn the_machines_own_name_needs_no_server() {
    let (resolver, _server) = resolver(|_| Say::Silence).await;
    let found = resolver.listed_addresses(&domain("localhost")).await;
    assert!(found.v4.unwrap().contains(&"127.0.0.1".parse().unwrap()));
}

#[tokio::test]
async fn only_a_name_without_a_dot_from_the_settings_is_searched_for() {
    let server = FakeDns::start(|_| Say::NoSuchName).await;
    let servers = vec![super::server(server.address)];
    let search = vec![Name::from_ascii("search.test.").unwrap()];
    let resolver = Resolver::build(builder_of(ResolverConfig::from_parts(None, search, servers)), None).unwrap();
    let asked = |server: &FakeDns| {
        let mut names: Vec<_> = server.asked().into_iter().map(|q| q.name).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(resolver.addresses(&domain("short")).await.v4, Err(DnsFault::NoSuchName));
    assert_eq!(resolver.mx(&domain("short")).await.0, Err(DnsFault::NoSuchName));
    assert_eq!(resolver.listed_addresses(&domain("with.dot")).await.v4, Err(DnsFault::NoSuchName));
    assert_eq!(asked(&server), ["short", "with.dot"]);
    assert_eq!(resolver.listed_addresses(&domain("smart")).await.v4, Err(DnsFault::NoSuchName));
    assert_eq!(asked(&server), ["short", "smart", "smart.search.test", "with.dot"]);
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_slow_aliases_is_given_up_in_time() {
    let links = ["x.test", "b.test", "c.test", "d.test", "e.test", "f.test", "g.test", "h.test", "i.test"];
    let (resolver, _server) = resolver(move |q| {
        let at = links.iter().position(|link| *link == q.name).unwrap();
        Say::Late(Duration::from_secs(4), Value::Cname(links[(at + 1) % links.len()]))
    })
    .await;
    let began = tokio::time::Instant::now();
    let answer = resolver.mx(&domain("x.test")).await.0;
    assert!(is_unanswered(&answer), "{answer:?}");
    assert!(began.elapsed() <= LOOKUP_MAX + Duration::from_millis(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_parts_of_a_text_are_joined() {
    let (resolver, _server) = resolver(|q| match q.kind {
        TXT => Say::Records(vec![Value::Txt(vec!["v=STSv1; ", "id=1"]), Value::Txt(vec![""])]),
        _ => Say::NoRecords,
    })
    .await;
    let mut texts = resolver.texts(&domain("_mta-sts.x.test")).await.unwrap();
    texts.sort();
    assert_eq!(texts, [&b""[..], b"v=STSv1; id=1"]);
    assert_eq!(resolver.keys(&domain("x.test"), 25).await, Keys::NotAsked, "DNSSEC is off");
}
