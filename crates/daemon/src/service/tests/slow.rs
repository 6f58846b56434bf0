//! Virtual servers that are starting: what happens meanwhile, and what comes of it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_slow_to_start_holds_up_no_other() {
    let mut house = House::new();
    let (a, b) = (free_port(), free_port());
    let slow = house.slow("one");
    let config = house.folder.configure(&[("one", a, ""), ("two", b, "")]);
    let carried = house.begin(&config).await;
    assert!(carried.faults.texts().is_empty());
    house.turn().await;
    visit(b, "two").await;
    assert_eq!(house.state("one"), (ServerState::Starting, None));
    assert_eq!(house.state("two"), (ServerState::Running, Some(0)));
    assert!(house.servers.summary().ends_with("; 1 starting"), "{}", house.servers.summary());
    // What is configured meanwhile starts it no second time, and holds when it runs.
    let config = house.folder.configure(&[("one", a, "connections_max = 7"), ("two", b, "")]);
    assert!(house.begin(&config).await.starts.is_empty());
    assert_eq!(house.servers.starting.len(), 1);
    slow.let_go().await;
    house.turn().await;
    visit(a, "one").await;
    assert_eq!(house.names(), ["one", "two"], "in the configuration's order");
    let one = house.servers.iter().next().unwrap();
    assert_eq!(one.server().general.connections_max, config.servers[0].general.connections_max);
    let (troubles, late) = carried.starts.settled().await;
    assert!(troubles.is_empty() && late.is_empty());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_of_one_that_is_starting() {
    let mut house = House::new();
    let a = free_port();
    house.carry_out(&[("one", a, "")]).await;
    assert_eq!(house.change("one", ServerVerb::Stop).await.text, "'one' is stopped; 0 sessions ended");
    assert_eq!(house.state("one"), (ServerState::Stopped, Some(0)));
    // Stopped while it starts: it has not run, and may be started again.
    let mut slow = house.slow("one");
    let Ok(Changed::When(starting)) = house.servers.change_state("one", ServerVerb::Start).await else { panic!() };
    slow.is_read().await;
    assert_eq!(house.state("one"), (ServerState::Starting, None));
    let Ok(Changed::When(again)) = house.servers.change_state("one", ServerVerb::Start).await else { panic!() };
    assert_eq!(house.servers.starting.len(), 1);
    let Ok(Changed::When(stopping)) = house.servers.change_state("one", ServerVerb::Stop).await else { panic!() };
    for told in [starting.await, again.await] {
        assert_eq!(told.text, "'one' could not be started");
        assert_eq!(told.troubles, ["'one' was stopped before it had started."]);
    }
    assert_eq!(house.state("one").0, ServerState::Stopped);
    // Started again at once, it waits for the end of what had begun.
    let Ok(Changed::When(starting)) = house.servers.change_state("one", ServerVerb::Start).await else { panic!() };
    assert_eq!(house.state("one").0, ServerState::Starting);
    slow.let_go().await;
    assert_eq!(stopping.await.text, "'one' is stopped; it had not started yet");
    house.turn().await;
    assert_eq!(starting.await.text, "'one' runs");
    visit(a, "one").await;
    house.change("one", ServerVerb::Stop).await;
    // Paused while it starts: it opens no address.
    let slow = house.slow("one");
    let Ok(Changed::When(starting)) = house.servers.change_state("one", ServerVerb::Start).await else { panic!() };
    let told = house.change_while_starting("one", ServerVerb::Pause).await;
    assert_eq!(told, "'one' is starting; it will take no connections until it is continued");
    slow.let_go().await;
    house.turn().await;
    assert_eq!(starting.await.text, "'one' runs");
    assert_eq!(house.state("one").0, ServerState::Paused);
    assert!(beside(move || TcpStream::connect(a)).await.is_err());
    house.change("one", ServerVerb::Continue).await;
    visit(a, "one").await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_starting_is_renamed_moved_and_taken_out() {
    let mut house = House::new();
    let (a, b) = (free_port(), free_port());
    let slow = house.slow("one");
    let config = house.folder.configure(&[("one", a, ""), ("two", b, "")]);
    house.begin(&config).await;
    house.turn().await;
    // Under another name it goes on starting.
    let mut config = house.folder.configure(&[("uno", a, ""), ("two", b, "")]);
    let mut server = (*config.servers[0]).clone();
    server.home = house.folder.0.join("one");
    config.servers[0] = Arc::new(server);
    assert_eq!(house.servers.restarts(&config), ["'one' goes on as 'uno'"]);
    assert!(house.begin(&config).await.starts.is_empty());
    assert_eq!(house.state("uno").0, ServerState::Starting);
    slow.let_go().await;
    house.turn().await;
    visit(a, "uno").await;
    // Taken out while it starts: it never listens, and whoever gets its home waits for it.
    house.change("uno", ServerVerb::Stop).await;
    let mut slow = house.slow("one");
    let Ok(Changed::When(starting)) = house.servers.change_state("uno", ServerVerb::Start).await else { panic!() };
    slow.is_read().await;
    let mut other = house.folder.configure(&[("two", b, ""), ("three", a, "")]);
    let mut server = (*other.servers[1]).clone();
    // Not the same bounds, so it is no new name for the one that is starting.
    (server.home, server.queue.messages_max) = (house.folder.0.join("one"), 77);
    other.servers[1] = Arc::new(server);
    house.begin(&other).await;
    assert!(!starting.await.troubles.is_empty());
    assert_eq!(house.state("three").0, ServerState::Starting);
    slow.let_go().await;
    house.turn().await;
    visit(a, "three").await;
    assert_eq!(house.names(), ["two", "three"]);
    let log = house.log();
    assert_eq!(log.matches(" started ").count(), 3, "{log}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_process_waits_for_a_start_but_not_for_ever() {
    let mut house = House::new();
    let mut slow = house.slow("one");
    let config = house.folder.configure(&[("one", free_port(), "")]);
    house.begin(&config).await;
    slow.is_read().await;
    let began = std::time::Instant::now();
    house.servers.stop(Duration::from_millis(200)).await;
    assert!(began.elapsed() < LONG);
    assert!(house.log().contains("'one' has not come to its end in time"), "{}", house.log());
    slow.let_go().await;
    tokio::time::timeout(LONG, house.servers.stopped()).await.unwrap();
    let queue = house.folder.0.join("one/Queue");
    assert!(queue.join("journal").is_dir(), "what had begun was ended in order");
}

/// The first one in it has another home, which cannot be opened.
fn without_home(house: &House, servers: &[(&str, SocketAddr, &str)]) -> Config {
    std::fs::write(house.folder.0.join("file"), "not a folder").unwrap();
    let mut config = house.folder.configure(servers);
    let mut server = (*config.servers[0]).clone();
    server.home = house.folder.0.join("file/home");
    config.servers[0] = Arc::new(server);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_goes_back_takes_what_is_configured_meanwhile() {
    let mut house = House::new();
    let (a, taken) = (free_port(), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    house.carry_out(&[("one", a, "")]).await;
    let bad = without_home(&house, &[("one", a, "")]);
    for (mended, runs_as_mended) in [(a, true), (taken.local_addr().unwrap(), false)] {
        house.begin(&bad).await;
        house.servers.stopped().await;
        let slow = house.slow("one");
        assert!(house.turn().await[0].starts_with("'one' is not started: "));
        assert_eq!(house.state("one").0, ServerState::Starting, "as it was before");
        let config = house.folder.configure(&[("one", mended, "connections_max = 7")]);
        assert!(house.begin(&config).await.faults.texts().is_empty());
        slow.let_go().await;
        while house.servers.is_starting() {
            house.turn().await;
        }
        let one = house.servers.iter().next().unwrap();
        let as_mended = one.server().general.connections_max == config.servers[0].general.connections_max;
        assert_eq!(as_mended, runs_as_mended, "{mended}");
        visit(a, "one").await;
        // For the next one it has other settings again.
        house.carry_out(&[("one", a, "")]).await;
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_renamed_while_it_starts_anew_goes_back_under_its_new_name() {
    let mut house = House::new();
    let a = free_port();
    house.carry_out(&[("one", a, "")]).await;
    for name in ["one", "uno"] {
        let config = without_home(&house, &[(name, a, "")]);
        assert!(house.begin(&config).await.faults.texts().is_empty());
    }
    while house.servers.is_starting() {
        house.turn().await;
    }
    assert_eq!(house.names(), ["uno"]);
    assert_eq!(house.state("uno").0, ServerState::Running);
    assert_eq!(house.change("uno", ServerVerb::Stop).await.text, "'uno' is stopped; 0 sessions ended");
    assert!(beside(move || TcpStream::connect(a)).await.is_err());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_name_servers_are_told_of_while_all_are_starting() {
    let mut house = House::new();
    let a = free_port();
    let slow = house.slow("one");
    let mut config = house.folder.configure(&[("one", a, "")]);
    house.begin(&config).await;
    config.dns.dnssec = relay::config::Dnssec::Validate;
    config.dns.trust_anchor = Some(house.folder.0.join("missing"));
    for _ in 0..2 {
        let faults = house.begin(&config).await.faults.texts();
        assert!(faults.iter().any(|fault| fault.starts_with("The changed [dns] is not used")), "{faults:?}");
    }
    slow.let_go().await;
    assert_eq!(house.turn().await, Vec::<String>::new());
    visit(a, "one").await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_start_hears_of_the_one_that_takes_its_place() {
    let mut house = House::new();
    let a = free_port();
    let mut slow = house.slow("one");
    let mut config = house.folder.configure(&[("one", a, "")]);
    let first = house.begin(&config).await.starts;
    slow.is_read().await;
    let mut server = (*config.servers[0]).clone();
    server.home = house.folder.0.join("elsewhere");
    config.servers[0] = Arc::new(server);
    let second = house.begin(&config).await.starts;
    slow.let_go().await;
    house.turn().await;
    visit(a, "one").await;
    for starts in [first, second] {
        assert_eq!(starts.settled().await, (Vec::new(), Vec::new()));
    }
    house.stop().await;
}

#[tokio::test]
async fn what_has_gone_wrong_so_far_is_told_to_whoever_does_not_wait_longer() {
    let mut house = House::new();
    let a = free_port();
    house.carry_out(&[("one", a, "")]).await;
    let bad = without_home(&house, &[("one", a, "")]);
    let starts = house.begin(&bad).await.starts;
    house.servers.stopped().await;
    let mut slow = house.slow("one");
    house.turn().await;
    slow.is_read().await;
    let Ok(Changed::When(again)) = house.servers.change_state("one", ServerVerb::Start).await else { panic!() };
    tokio::time::pause();
    let past = tokio::time::advance(starts::TOLD_WITHIN + Duration::from_secs(1));
    let ((troubles, late), again, ()) = tokio::join!(starts.settled(), again, past);
    tokio::time::resume();
    assert_eq!(late, ["one".into()]);
    assert!(troubles.len() == 1 && troubles[0].starts_with("'one' is not started: "), "{troubles:?}");
    assert_eq!((again.text.as_str(), again.troubles), ("'one' is still starting", troubles));
    slow.let_go().await;
    house.turn().await;
    visit(a, "one").await;
    house.stop().await;
}

#[tokio::test]
async fn one_that_does_not_come_to_the_end_of_its_start_is_told_of_and_not_waited_for() {
    let mut house = House::new();
    let (a, b) = (free_port(), free_port());
    let mut slow = house.slow("one");
    house.begin(&house.folder.configure(&[("one", a, "")])).await;
    slow.is_read().await;
    let pass = async |time: Duration| {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    };
    let told = |house: &House| house.log().matches(" alarm text=\"'one' has been starting for 10 minutes").count();
    pass(starts::START_LONG - Duration::from_secs(60)).await;
    house.servers.tell_of_long_starts();
    assert!(told(&house) == 0 && house.servers.is_start_awaited());
    pass(Duration::from_secs(60)).await;
    for _ in 0..2 {
        house.servers.tell_of_long_starts();
    }
    assert_eq!(told(&house), 1, "{}", house.log());
    assert!(house.servers.is_start_awaited(), "none runs");
    house.begin(&house.folder.configure(&[("one", a, ""), ("two", b, "")])).await;
    assert!(house.servers.is_start_awaited());
    house.turn().await;
    assert!(house.servers.is_starting() && !house.servers.is_start_awaited(), "another one runs");
    let Ok(Changed::When(stopped)) = house.servers.change_state("two", ServerVerb::Stop).await else { panic!() };
    stopped.await;
    assert!(house.servers.is_start_awaited());
    pass(starts::START_LONGEST).await;
    assert!(!house.servers.is_start_awaited());
    slow.let_go().await;
    house.turn().await;
    assert_eq!(house.names(), ["one"], "it starts nevertheless");
    assert!(!house.log().contains(" repeated "), "{}", house.log());
    house.stop().await;
}
