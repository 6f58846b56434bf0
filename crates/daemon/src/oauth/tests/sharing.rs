//! One token for all connections: obtained once, refreshed ahead of its end, kept over a restart.

use super::*;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A provider that numbers its tokens, and that can be held up: each request takes a leave from the channel.
fn held_up(life: u64) -> (impl Fn(&Asked) -> Option<Says> + Send + Sync + 'static, Sender<()>) {
    let (leave, leaves) = channel();
    let leaves: Mutex<Receiver<()>> = Mutex::new(leaves);
    let count = std::sync::atomic::AtomicUsize::new(0);
    let answer = move |_: &Asked| {
        let _ = leaves.lock().unwrap().recv();
        grants(&format!("token-{}", count.fetch_add(1, Ordering::Relaxed) + 1), life)
    };
    (answer, leave)
}

#[tokio::test]
async fn many_who_ask_at_once_are_served_by_one_question() {
    let (answer, leave) = held_up(3_600);
    let world = World::new(answer);
    let client = world.plain();
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let (tokens, client) = (world.tokens.clone(), client.clone());
            tokio::spawn(async move { bearer(&tokens, &client).await })
        })
        .collect();
    leave.send(()).unwrap();
    for asking in asking {
        assert_eq!(asking.await.unwrap().as_deref(), Ok("token-1"));
    }
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token-1"));
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn it_is_refreshed_ahead_of_its_end_and_nobody_waits_for_that() {
    let (answer, leave) = held_up(3_600);
    let world = World::new(answer);
    let client = world.plain();
    leave.send(()).unwrap();
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token-1"));
    world.pass(2_879);
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token-1"));
    assert_eq!(world.asked(), 1);
    world.pass(1);
    // The provider is held up, and the mail is not.
    for _ in 0..10 {
        assert_eq!(world.bearer(&client).await.as_deref(), Ok("token-1"));
    }
    leave.send(()).unwrap();
    world.look().await;
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token-2"));
    assert_eq!(world.asked(), 2);
    // Without anybody's asking, too.
    world.pass(2_880);
    leave.send(()).unwrap();
    world.look().await;
    assert_eq!(world.asked(), 3);
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token-3"));
}

#[tokio::test]
async fn one_provider_that_stalls_holds_up_no_other_host() {
    let (answer, _leave) = held_up(3_600);
    let world = World::new(answer);
    let quick = Website::start(|_| grants("quick", 3_600));
    let stalled = tokio::spawn({
        let (tokens, client) = (world.tokens.clone(), world.plain());
        async move { bearer(&tokens, &client).await }
    });
    let folder = tempfile::tempdir().unwrap();
    let authorities = Some(quick.authority(folder.path()));
    let client = OAuthClient { token_endpoint: quick.address.clone().into(), authorities, ..world.plain() };
    let other = Owner::Domain("*.example.net".into());
    for _ in 0..3 {
        assert_eq!(world.tokens.bearer(&other, &client).await.unwrap().secret().text(), Some("quick"));
    }
    assert!(!stalled.is_finished());
    stalled.abort();
}

#[tokio::test]
async fn what_a_provider_gives_is_kept_though_nobody_waits_any_more() {
    let (answer, leave) = held_up(3_600);
    let world = World::new(answer);
    let client = world.plain();
    // Whoever waited has gone before the provider answers.
    let waiting = tokio::time::timeout(Duration::from_millis(200), world.bearer(&client)).await;
    assert!(waiting.is_err());
    leave.send(()).unwrap();
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token-1"));
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn it_outlives_a_restart_and_its_end_is_known() {
    let world = World::new(|_| grants("token", 3_600));
    let client = world.plain();
    world.bearer(&client).await.unwrap();
    let again = world.restarted();
    assert_eq!(bearer(&again, &client).await.as_deref(), Ok("token"));
    assert_eq!(world.asked(), 1);
    // Another client of the same owner finds nothing of it.
    let other = OAuthClient { client_id: "client-2".into(), ..client.clone() };
    bearer(&again, &other).await.unwrap();
    assert_eq!(world.asked(), 2);
    world.pass(3_600);
    bearer(&world.restarted(), &client).await.unwrap();
    assert_eq!(world.asked(), 3);
    // The clock was wrong when it was obtained, and is right now: nobody knows how long it is good.
    let earlier = Clock::starting_at(Timestamp(NOW.0 - 7_200_000));
    let set_back = Tokens::new(&world.state(), Log::nowhere(), earlier);
    bearer(&set_back, &client).await.unwrap();
    assert_eq!(world.asked(), 4);
}

/// Two processes share one folder; the provider takes each refresh token once.
#[tokio::test]
async fn two_processes_use_a_refresh_token_once() {
    let used = Mutex::new(Vec::<String>::new());
    let world = World::new(move |asked| {
        let token = asked.form()["refresh_token"].clone();
        let mut used = used.lock().unwrap();
        if used.contains(&token) {
            return refuses("invalid_grant", "it was used before");
        }
        used.push(token);
        let next = format!("refresh-{}", used.len() + 1);
        Some(Says::json(
            200,
            &json!({"access_token": format!("a-{}", used.len()), "expires_in": "3600", "refresh_token": next}),
        ))
    });
    let token = SecretSource::File(world.write("refresh", "refresh-1\n"));
    let client = world.client(Grant::RefreshToken { token, secret: None });
    let other = world.restarted();
    let (one, two) = tokio::join!(world.bearer(&client), bearer(&other, &client));
    assert_eq!((one.as_deref(), two.as_deref()), (Ok("a-1"), Ok("a-1")));
    assert_eq!(world.asked(), 1);
    world.pass(3_000);
    for _ in 0..2 {
        keeper::look(&world.tokens.shared).await;
        keeper::look(&other.shared).await;
        world.look().await;
    }
    assert_eq!(anew(&other, &client).await, "a-3", "and the one that it has now is good");
    let kept = fs::read_to_string(kept_file(&world)).unwrap();
    assert!(kept.contains("refresh: refresh-4"), "{kept}");
}

async fn anew(tokens: &Tokens, client: &OAuthClient) -> String {
    let (token, until) = tokens.anew(&office(), client).await.unwrap();
    assert!(until > NOW);
    token.secret().text().unwrap().to_owned()
}

fn kept_file(world: &World) -> PathBuf {
    let files = kept::files_of(&world.state(), &office());
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let world = World::new(move |_| grants(&format!("token-{}", count.fetch_add(1, Ordering::Relaxed) + 1), 3_600));
    let client = world.plain();
    let first = world.tokens.bearer(&office(), &client).await.unwrap();
    // Right after it was obtained a new one would fare no better.
    world.tokens.refused(&office(), &first);
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token-1"));
    world.pass(30);
    world.tokens.refused(&Owner::SmartHost("other".into()), &first);
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token-1"));
    world.tokens.refused(&office(), &first);
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token-2"));
    world.pass(30);
    // All connections say so of the first one, and the second one stays.
    for _ in 0..5 {
        let _ = world.tokens.refused(&office(), &first);
    }
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token-2"));
    assert_eq!(world.asked(), 2);
    // The same after a restart: what is kept is the refused one.
    let again = world.restarted();
    let second = again.bearer(&office(), &client).await.unwrap();
    world.pass(30);
    again.refused(&office(), &second);
    assert_eq!(bearer(&again, &client).await.as_deref(), Ok("token-3"));
}

#[tokio::test]
async fn those_that_are_configured_are_obtained_before_mail_asks() {
    let world = World::new(|_| grants("token", 3_600));
    let client = world.plain();
    world.tokens.configure(&world.state(), &[(office(), client.clone())]);
    world.look().await;
    assert_eq!(world.asked(), 1);
    world.tokens.configure(&world.state(), &[(office(), client.clone())]);
    assert_eq!(world.tokens.shared.slots().len(), 1);
    let changed = OAuthClient { client_id: "client-2".into(), ..client };
    world.tokens.configure(&world.state(), &[(office(), changed)]);
    world.look().await;
    assert_eq!(world.asked(), 2);
    world.tokens.configure(&world.path("elsewhere"), &[]);
    assert!(world.tokens.shared.slots().is_empty());
}

/// What a configuration wants: each smart host and domain once, whoever uses it.
#[test]
fn a_configuration_says_whose_tokens_are_wanted() {
    let auth = |user: &str| {
        format!(
            "auth = {{ method = \"oauth\", grant = \"client_secret\", user = {user:?}, client_id = \"c\", client_secret = {{ env = \"S\" }}, \
             token_endpoint = \"https://id.example/token\", scope = \"mail\" }}\n"
        )
    };
    let smart =
        |name: &str, more: &str| format!("[[smart_host]]\nname = {name:?}\nhosts = [\"mx.example:587\"]\n{more}");
    let server = |name: &str| {
        format!(
            "[[virtual_server]]\nname = {name:?}\nhome = {name:?}\n[virtual_server.general]\nlisten = [\"127.0.0.1:{}\"]\n\
             [virtual_server.delivery]\nsmart_host = \"office\"\n\
             [[virtual_server.domain]]\nname = \"local.test\"\nkind = \"default\"\n\
             [[virtual_server.domain]]\nname = \"*.far.test\"\nkind = \"remote\"\nroute = \"smtp://mx.far.test:587\"\n{}",
            name.len() + 2_000,
            auth("domain@example.com")
        )
    };
    let text = smart("office", &auth("office@example.com"))
        + &smart("open", "")
        + &smart("spare", &auth("spare@example.com"))
        + &server("One")
        + &server("Three");
    let config =
        Config::parse(&text, "/x/mailroot.toml", "relay.test").unwrap_or_else(|problems| panic!("{problems:?}"));
    let wanted = wanted(&config);
    let owners: Vec<String> = wanted.iter().map(|(owner, _)| owner.to_string()).collect();
    assert_eq!(owners, ["smart host office", "smart host spare", "domain *.far.test"]);
    assert_eq!(&*wanted[2].1.user, "domain@example.com");
}

#[test]
fn no_debug_form_shows_a_token() {
    let token = Token(Secret::new(b"eyJ0eXAi".to_vec()));
    let tokens = Tokens::new(Path::new("/x"), Log::nowhere(), Clock::starting_at(NOW));
    assert_eq!(format!("{token:?} {tokens:?}"), "Token(…) Tokens");
}
