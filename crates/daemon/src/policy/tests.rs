//! Policies from a web site that tells the truth, lies, stalls or is gone, by a DNS that says what a test wants.

use super::fetch::Fetch;
use super::mta_sts::MtaSts;
use super::shelf::{KEPT_MAX, Shelf};
use super::*;
use crate::clock::Clock;
use crate::dns::fake::{A, FakeDns, Question, Say, TXT, Value, a};
use crate::https::fixture::{Says, Website};
use crate::log::Log;
use relay::config::TlsPolicy;
use relay::route::mta_sts::{Kept, Mode};
use relay::route::protection::{Because, Channel};
use smtp::time::Timestamp;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const WEEK: u64 = 604_800;

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn text(mode: &str, hosts: &str) -> String {
    let hosts: String = hosts.split_whitespace().map(|host| format!("mx: {host}\n")).collect();
    format!("version: STSv1\nmode: {mode}\n{hosts}max_age: {WEEK}\n")
}

fn plain(body: String) -> Says {
    Says { status: 200, head: "Content-Type: text/plain; charset=utf-8\r\n".to_owned(), body }
}

/// What a site says now; `None`: it hangs up.
#[derive(Default)]
struct Mouth {
    says: Mutex<(Option<Says>, bool)>,
    changed: Condvar,
}

impl Mouth {
    fn say(&self, says: Option<Says>) {
        self.says.lock().unwrap().0 = says;
    }

    /// Says nothing while it is held.
    fn hold(&self, held: bool) {
        self.says.lock().unwrap().1 = held;
        self.changed.notify_all();
    }

    fn listen(&self) -> Option<Says> {
        self.changed.wait_while(self.says.lock().unwrap(), |(_, held)| *held).unwrap().0.clone()
    }
}

/// A domain `x.test` with its site.
struct Rig {
    id: Arc<Mutex<Option<&'static str>>>,
    mouth: Arc<Mouth>,
    site: Website,
    dns: FakeDns,
    resolver: Resolver,
    state: tempfile::TempDir,
}

impl Rig {
    async fn new(policy: String) -> Rig {
        Rig::named("mta-sts.x.test", policy).await
    }

    /// The certificate of its site is for this name.
    async fn named(name: &str, policy: String) -> Rig {
        let (id, mouth) = (Arc::new(Mutex::new(Some("1"))), Arc::new(Mouth::default()));
        mouth.say(Some(plain(policy)));
        let said = Arc::clone(&mouth);
        let site = Website::named(&[name], move |asked| {
            assert_eq!(asked.path, "/.well-known/mta-sts.txt");
            said.listen()
        });
        let dns = Rig::dns(&id).await;
        let resolver = Resolver::new(&dns.settings()).unwrap();
        Rig { id, mouth, site, dns, resolver, state: tempfile::tempdir().unwrap() }
    }

    async fn dns(id: &Arc<Mutex<Option<&'static str>>>) -> FakeDns {
        let id = Arc::clone(id);
        FakeDns::start(move |question: &Question| match (question.name.as_str(), question.kind) {
            ("_mta-sts.x.test", TXT) => match *id.lock().unwrap() {
                Some("broken") => Say::Code(2),
                Some(id) => Say::Records(vec![Value::Txt(vec!["v=STSv1; id=", id, ";"])]),
                None => Say::NoSuchName,
            },
            ("mta-sts.x.test", A) => Say::Records(vec![a("127.0.0.1")]),
            _ => Say::NoRecords,
        })
        .await
    }

    /// The record says this from now on, to whoever asks anew.
    fn record(&mut self, id: Option<&'static str>) {
        *self.id.lock().unwrap() = id;
        // Without what was kept of its answers.
        self.resolver = Resolver::new(&self.dns.settings()).unwrap();
    }

    fn say(&self, policy: String) {
        self.mouth.say(Some(plain(policy)));
    }

    /// What a process has that starts `age` seconds later, with room for so many on the disk.
    fn with_room(&self, age: u64, room: usize) -> MtaSts {
        let port = self.site.address.rsplit_once(':').unwrap().1.parse().unwrap();
        let authorities = Some(self.site.authority(self.state.path()));
        let fetch = Fetch { port, authorities, time: Duration::from_secs(20) };
        let clock = Clock::starting_at(NOW.plus(Duration::from_secs(age)));
        MtaSts::with(Shelf::new(self.state.path(), room), fetch, Log::nowhere(), clock)
    }

    fn later(&self, age: u64) -> MtaSts {
        self.with_room(age, KEPT_MAX)
    }

    /// The mode of the policy that holds, and its first host.
    async fn policy(&self, mta_sts: &MtaSts) -> Option<(Mode, String)> {
        let policy = mta_sts.policy(&self.resolver, &domain("x.test")).await?;
        Some((policy.mode, policy.hosts[0].to_string()))
    }

    fn asked(&self) -> usize {
        self.site.asked().len()
    }
}

fn enforced(host: &str) -> Option<(Mode, String)> {
    Some((Mode::Enforce, host.to_owned()))
}

#[tokio::test]
async fn a_policy_is_fetched_once_and_again_when_its_id_is_another() {
    let mut rig = Rig::new(text("enforce", "a.test")).await;
    let mta_sts = rig.later(0);
    for _ in 0..3 {
        assert_eq!(rig.policy(&mta_sts).await, enforced("a.test"));
    }
    assert_eq!(rig.asked(), 1);
    rig.say(text("enforce", "b.test"));
    assert_eq!(rig.policy(&mta_sts).await, enforced("a.test"), "the record says that it is the same");
    rig.record(Some("2"));
    assert_eq!(rig.policy(&mta_sts).await, enforced("b.test"));
    assert_eq!(rig.asked(), 2);
    rig.record(Some("3"));
    rig.say(text("none", ""));
    assert_eq!(rig.policy(&mta_sts).await, None, "the domain has taken it back");
}

#[tokio::test]
async fn all_who_wait_are_served_by_one_fetch_and_others_do_not_wait() {
    let rig = Rig::new(text("enforce", "a.test")).await;
    let mta_sts = rig.later(0);
    rig.mouth.hold(true);
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let (mta_sts, resolver) = (mta_sts.clone(), rig.resolver.clone());
            tokio::spawn(async move { mta_sts.policy(&resolver, &domain("x.test")).await.is_some() })
        })
        .collect();
    assert_eq!(mta_sts.policy(&rig.resolver, &domain("other.test")).await, None, "another domain's mail goes on");
    rig.mouth.hold(false);
    for waiting in waiting {
        assert!(waiting.await.unwrap());
    }
    assert_eq!(rig.asked(), 1);
}

/// What a site may say that is no policy.
fn lies() -> Vec<(&'static str, Option<Says>)> {
    let good = || text("enforce", "evil.test");
    let head = |head: &str| Some(Says { head: head.to_owned(), ..plain(good()) });
    let moved = |status| Some(Says { status, head: "Location: /.well-known/other.txt\r\n".to_owned(), body: good() });
    vec![
        ("it hangs up", None),
        ("no such page", Some(Says { status: 404, ..plain(good()) })),
        ("an error", Some(Says { status: 500, ..plain(good()) })),
        ("moved", moved(301)),
        ("found elsewhere", moved(302)),
        ("moved, and the policy beside", moved(307)),
        ("HTML", Some(Says::html(200))),
        ("a policy as HTML", head("Content-Type: text/html\r\n")),
        ("a policy without a type", head("")),
        ("a policy that is cut", Some(plain("version: STSv1\nmode: enforce\n".to_owned()))),
        ("another version", Some(plain(good().replace("STSv1", "STSv2")))),
        ("a policy that is too long", Some(plain(good() + &"x: y\n".repeat(16_384)))),
        ("nothing", Some(plain(String::new()))),
    ]
}

#[tokio::test]
async fn a_lie_is_no_policy_and_is_not_asked_for_again_at_once() {
    let mut rig = Rig::new(String::new()).await;
    for (what, says) in lies() {
        rig.mouth.say(says);
        let (mta_sts, before) = (rig.later(0), rig.asked());
        for _ in 0..3 {
            assert_eq!(rig.policy(&mta_sts).await, None, "{what}");
        }
        assert_eq!(rig.asked(), before + 1, "{what}");
        // The domain says that there is something new: that is worth a question.
        rig.say(text("enforce", "a.test"));
        rig.record(Some("2"));
        assert_eq!(rig.policy(&mta_sts).await, enforced("a.test"), "{what}");
        rig.record(Some("1"));
        std::fs::remove_dir_all(rig.state.path().join("mta-sts")).unwrap();
    }
}

#[tokio::test]
async fn an_old_policy_holds_whatever_the_site_says() {
    let mut rig = Rig::new(text("enforce", "a.test")).await;
    assert_eq!(rig.policy(&rig.later(0)).await, enforced("a.test"));
    rig.record(Some("2"));
    for (what, says) in lies() {
        rig.mouth.say(says);
        assert_eq!(rig.policy(&rig.later(3_600)).await, enforced("a.test"), "{what}");
    }
}

#[tokio::test]
async fn a_policy_that_vanishes_holds_until_its_time_is_over() {
    let mut rig = Rig::new(text("enforce", "a.test")).await;
    assert_eq!(rig.policy(&rig.later(0)).await, enforced("a.test"));
    rig.mouth.say(None);
    for record in [None, Some("broken"), Some("2"), Some("1")] {
        rig.record(record);
        assert_eq!(rig.policy(&rig.later(WEEK - 60)).await, enforced("a.test"), "{record:?}");
        assert_eq!(rig.policy(&rig.later(WEEK + 60)).await, None, "{record:?}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_proves_nothing() {
    for name in ["x.test", "mta-sts.y.test", "*.y.test", "localhost"] {
        let rig = Rig::named(name, text("enforce", "evil.test")).await;
        assert_eq!(rig.policy(&rig.later(0)).await, None, "{name}");
        assert_eq!(rig.asked(), 0, "{name}");
    }
    let rig = Rig::named("*.x.test", text("enforce", "a.test")).await;
    assert_eq!(rig.policy(&rig.later(0)).await, enforced("a.test"));
    // An authority that nobody trusts.
    let (rig, other) = (Rig::new(text("enforce", "evil.test")).await, Rig::new(String::new()).await);
    let mta_sts = rig.later(0);
    other.site.authority(rig.state.path());
    assert_eq!(rig.policy(&mta_sts).await, None);
    assert_eq!(rig.asked(), 0);
}

#[tokio::test]
async fn who_does_not_answer_is_given_up() {
    let rig = Rig::new(text("enforce", "a.test")).await;
    rig.mouth.hold(true);
    let port = rig.site.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let fetch =
        Fetch { port, authorities: Some(rig.site.authority(rig.state.path())), time: Duration::from_millis(300) };
    let mta_sts = MtaSts::with(Shelf::new(rig.state.path(), 1), fetch, Log::nowhere(), Clock::starting_at(NOW));
    assert_eq!(rig.policy(&mta_sts).await, None);
    rig.mouth.hold(false);
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_an_old_policy_is_fetched_anew_beside_the_mail() {
    let rig = Rig::new(text("enforce", "a.test")).await;
    assert_eq!(rig.policy(&rig.later(0)).await, enforced("a.test"));
    assert_eq!(rig.policy(&rig.later(60)).await, enforced("a.test"));
    assert_eq!(rig.asked(), 1);
    rig.say(text("enforce", "b.test"));
    rig.mouth.hold(true);
    let mta_sts = rig.later(WEEK / 2);
    assert_eq!(rig.policy(&mta_sts).await, enforced("a.test"), "nobody waits");
    rig.mouth.hold(false);
    while rig.policy(&mta_sts).await != enforced("b.test") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(rig.asked(), 2);
}

#[tokio::test]
async fn on_the_disk_there_is_room_for_so_many_and_those_that_are_over_go_first() {
    let rig = Rig::new(text("enforce", "a.test")).await;
    let files = || std::fs::read_dir(rig.state.path().join("mta-sts")).map_or(0, Iterator::count);
    assert_eq!(rig.policy(&rig.with_room(0, 0)).await, enforced("a.test"));
    assert_eq!(files(), 0, "for a look nothing is written");
    let shelf = Shelf::new(rig.state.path(), 2);
    let policy = Policy::parse(text("enforce", "a.test").as_bytes()).unwrap();
    let at = |age: u64| NOW.plus(Duration::from_secs(age));
    let kept = |age| Kept { policy: policy.clone(), id: "1".into(), fetched: at(age) };
    shelf.keep(&domain("old.test"), &kept(0), NOW).unwrap();
    shelf.keep(&domain("new.test"), &kept(10), at(10)).unwrap();
    assert!(shelf.keep(&domain("third.test"), &kept(20), at(20)).unwrap_err().contains("there are 2"));
    assert_eq!(files(), 2);
    shelf.keep(&domain("new.test"), &kept(20), at(20)).unwrap();
    shelf.keep(&domain("third.test"), &kept(WEEK), at(WEEK)).unwrap();
    assert_eq!(shelf.find(&domain("old.test"), at(WEEK)), None);
    assert_eq!(shelf.find(&domain("new.test"), at(WEEK)), Some(kept(20)));
    std::fs::write(rig.state.path().join("mta-sts/new.test"), "id: 1\n").unwrap();
    assert_eq!(shelf.find(&domain("new.test"), at(WEEK)), None, "a file that somebody has cut");
}

#[tokio::test]
async fn what_is_published_decides_where_the_terms_leave_room() {
    let rig = Rig::new(text("enforce", "mx.x.test")).await;
    let policies = Policies::new(rig.resolver.clone(), rig.later(0));
    let mx = |name: &str| Located::Mx { domain: domain(name), alias: None, secure: false };
    let protect = async |tls, heed, located: &Located, host: &str| {
        let terms = Terms { tls, ..Terms::plain() };
        let protection = policies.protect(&terms, heed, located, &Host::parse(host).unwrap(), 25).await;
        protection.map(|protection| (protection.channel, protection.because))
    };
    let plain = Ok((Channel::Opportunistic, Because::Terms));
    let named = Ok((Channel::Authority { name: Host::parse("mx.x.test").unwrap() }, Because::MtaSts));
    let before = rig.dns.asked().len();
    assert_eq!(protect(TlsPolicy::Opportunistic, false, &mx("x.test"), "mx.x.test").await, plain, "not heeded");
    assert!(protect(TlsPolicy::None, true, &mx("x.test"), "mx.x.test").await.is_ok());
    assert!(protect(TlsPolicy::Verified, true, &Located::Settings, "mx.x.test").await.is_ok());
    assert_eq!(protect(TlsPolicy::Opportunistic, true, &Located::Settings, "smart").await, plain);
    assert_eq!(protect(TlsPolicy::Opportunistic, true, &Located::Settings, "[192.0.2.1]").await, plain);
    assert_eq!(rig.dns.asked().len(), before, "nobody was asked what could change nothing");
    assert_eq!(protect(TlsPolicy::Opportunistic, true, &mx("x.test"), "mx.x.test").await, named);
    assert_eq!(protect(TlsPolicy::Required, true, &mx("x.test"), "mx.x.test").await, named);
    assert_eq!(protect(TlsPolicy::Opportunistic, true, &mx("y.test"), "mx.x.test").await, plain, "another domain");
    let refused = protect(TlsPolicy::Opportunistic, true, &mx("x.test"), "mx.evil.test").await.unwrap_err();
    assert!(!refused.is_permanent() && refused.text.contains("policy of x.test"), "{refused:?}");
    assert_eq!(rig.asked(), 1);
}
