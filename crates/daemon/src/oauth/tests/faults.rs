//! Providers that are slow, down, confused or strict; secrets that lie open; a disk that is of no use; clocks that differ.

use super::*;
use std::sync::atomic::AtomicU16;

/// What a provider says from now on.
type Answer = Arc<Mutex<Option<Says>>>;

/// A provider whose answer a test changes.
fn changing(first: Option<Says>) -> (impl Fn(&Asked) -> Option<Says> + Send + Sync + 'static, Answer) {
    let answer = Arc::new(Mutex::new(first));
    let says = Arc::clone(&answer);
    (move |_: &Asked| says.lock().unwrap().clone(), answer)
}

#[tokio::test]
async fn trouble_of_the_providers_own_passes_and_is_not_asked_for_too_often() {
    let (answer, says) = changing(None);
    let world = World::new(answer);
    let client = world.plain();
    let down = Says { head: "Retry-After: 40\r\nContent-Type: text/html\r\n".to_owned(), ..Says::html(503) };
    for (broken, words) in [
        (Some(Says::html(200)), "a web page (is a proxy or a portal in between?)"),
        (Some(Says { body: "{".to_owned(), ..Says::json(200, &json!({})) }), "JSON that cannot be read"),
        (Some(Says::json(200, &json!({"token_type": "Bearer"}))), "answers without a token"),
        (Some(Says::json(200, &json!({"token_type": "mac", "access_token": "x"}))), "not Bearer"),
        (grants("with a blank", 3_600), "characters that no token has"),
        (grants(&"x".repeat(17_000), 3_600), "too long"),
        (grants("late", 0), "has ended already"),
        (Some(Says::json(500, &json!({"error": "invalid_grant"}))), "says: invalid_grant"),
        (refuses("temporarily_unavailable", "Back soon"), "says: Back soon."),
        (Some(down), "answers 503 with a web page"),
        (None, "https://localhost"),
    ] {
        *says.lock().unwrap() = broken;
        let before = world.asked();
        let fault = world.bearer(&client).await.unwrap_err();
        assert!(matches!(fault, TokenFault::Later { .. }) && fault.to_string().contains(words), "{words}: {fault}");
        assert_eq!(fault.failure(Some("mx")).status.to_string(), "4.7.0");
        assert!(!fault.failure(None).is_permanent());
        // Whoever comes next is told the same at once.
        assert_eq!(world.bearer(&client).await.unwrap_err(), fault);
        assert_eq!(world.asked(), before + 1, "{words}");
        world.pass(300);
    }
    assert_eq!(world.alarms("Its mail waits"), 1, "{}", world.log());
    *says.lock().unwrap() = grants("token", 3_600);
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token"));
}

#[tokio::test]
async fn a_token_that_is_still_good_carries_over_trouble() {
    let (answer, says) = changing(grants("token", 3_600));
    let world = World::new(answer);
    let client = world.plain();
    world.bearer(&client).await.unwrap();
    *says.lock().unwrap() = Some(Says::html(503));
    world.pass(3_000);
    for _ in 0..4 {
        assert_eq!(world.bearer(&client).await.as_deref(), Ok("token"));
        world.look().await;
        world.pass(100);
    }
    assert!(world.asked() > 2, "it was tried again");
    assert_eq!(world.alarms(""), 0, "the mail does not wait yet");
    *says.lock().unwrap() =
        refuses("invalid_client", "AADSTS7000222: The provided client secret keys for app 'x' are expired.");
    world.pass(100);
    world.look().await;
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token"));
    assert_eq!(world.alarms("will wait as soon as the token that is there ends"), 1, "{}", world.log());
    world.pass(200);
    let fault = world.bearer(&client).await.unwrap_err().to_string();
    assert!(fault.contains("Make a new one at the app registration"), "{fault}");
}

#[tokio::test]
async fn a_refusal_is_told_once_in_plain_words_and_the_mail_goes_on_when_it_is_mended() {
    let (answer, says) = changing(None);
    let world = World::new(answer);
    let client = world.plain();
    world.tokens.configure(&world.state(), &[(office(), client.clone())]);
    let number = AtomicU16::new(0);
    let wrong = || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let words = format!(
            "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret \
             value, not the client secret ID, for a secret added to app 'x'. You sent s3cret&value.\r\nTrace ID: {number}\r\n"
        );
        Some(Says::json(401, &json!({"error": "invalid_client", "error_description": words, "error_codes": [7000215]})))
    };
    for _ in 0..5 {
        *says.lock().unwrap() = wrong();
        world.look().await;
        world.pass(3_600);
    }
    assert_eq!(world.asked(), 5);
    let fault = world.bearer(&client).await.unwrap_err();
    let TokenFault::Refused { why, advice } = &fault else { panic!("{fault:?}") };
    assert!(why.contains("AADSTS7000215: Invalid client secret provided") && why.contains("You sent …."), "{why}");
    assert!(advice.contains("its ID is not the secret"), "{advice}");
    assert_eq!(fault.failure(Some("mx")).status.to_string(), "4.7.8");
    assert_eq!(world.alarms("smart host office"), 1, "{}", world.log());
    assert!(!world.log().contains("s3cret"), "{}", world.log());

    // Nor does it get anywhere in pieces, or in another form.
    for echo in [
        "you sent client_secret=s3cret%26value",
        "s3cret%26val is wrong",
        "not s3cret&va",
        "Basic Y2xpZW50OnMzY3JldCZ2YWx1ZQ==",
    ] {
        *says.lock().unwrap() =
            Some(Says::json(401, &json!({"error": echo, "error_description": format!("AADSTS1: {echo}")})));
        world.look().await;
        world.pass(3_600);
        let fault = world.bearer(&client).await.unwrap_err().to_string();
        assert!(fault.contains("AADSTS1") && fault.contains('…'), "{fault}");
        for piece in ["s3cret", "%26val", "&va", "czNjcmV0", "MzY3JldC"] {
            assert!(!fault.contains(piece) && !world.log().contains(piece), "{piece} in {fault}");
        }
    }

    // The operator puts the right one into the file: no need to wait for the end of the pause.
    let (told, hears) = std::sync::mpsc::channel();
    world.tokens.tell(move |owner| told.send(owner.clone()).is_ok());
    *says.lock().unwrap() = grants("token", 3_600);
    assert!(world.bearer(&client).await.is_err());
    world.write("secret", "another");
    world.look().await;
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token"));
    assert_eq!(hears.try_recv(), Ok(office()));
    assert_eq!(world.site.asked().last().unwrap().form()["client_secret"], "another");
}

#[tokio::test]
async fn a_grant_that_was_revoked_says_how_to_get_another() {
    let revoked = || refuses("invalid_grant", "AADSTS50173: The provided grant has expired due to it being revoked");
    let world = World::new(move |_| revoked());
    let token = SecretSource::File(world.write("refresh", "refresh-1"));
    let client = world.client(Grant::RefreshToken { token, secret: None });
    let fault = world.bearer(&client).await.unwrap_err().to_string();
    assert!(fault.contains("Put a new refresh token into") && fault.contains("/refresh."), "{fault}");
    assert!(!fault.contains("refresh-1"), "{fault}");
}

/// The refresh token is revoked while we ask with it; somebody has logged in anew meanwhile.
#[tokio::test]
async fn a_new_log_in_while_the_old_grant_is_refused() {
    let world = World::new(|asked| match &*asked.form()["refresh_token"] {
        "old" => refuses("invalid_grant", "revoked"),
        _ => grants("good", 3_600),
    });
    let client = world.client(Grant::DeviceCode { secret: None });
    let keep = |refresh: &str| {
        let stem = kept::stem(&office(), &client);
        let claim = kept::Claim::take(&world.state(), &stem, &office()).unwrap().unwrap();
        let refresh = Some(Secret::new(refresh.as_bytes().to_vec()));
        claim.write(&kept::Kept { refresh, ..kept::Kept::default() }).unwrap();
    };
    keep("old");
    assert!(world.bearer(&client).await.unwrap_err().to_string().contains("oauth login office"));
    keep("new");
    world.look().await;
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("good"));
}

#[tokio::test]
async fn a_secret_that_lies_open_is_not_used() {
    let world = World::new(|_| grants("token", 3_600));
    let client = world.plain();
    fs::set_permissions(world.path("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    let fault = world.bearer(&client).await.unwrap_err();
    assert!(matches!(fault, TokenFault::Refused { .. }), "{fault:?}");
    assert!(fault.to_string().contains("chmod 600"), "{fault}");
    assert_eq!(world.asked(), 0);
    fs::set_permissions(world.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    world.look().await;
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token"));
    // The same of the file where tokens are kept.
    let file = &kept::files_of(&world.state(), &office())[0];
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    world.pass(3_600);
    let fault = world.bearer(&client).await.unwrap_err().to_string();
    assert!(fault.contains("chmod 600"), "{fault}");
}

#[tokio::test]
async fn where_it_sends_us_is_not_followed_and_what_is_not_there_is_told() {
    let other = Website::start(|_| grants("stolen", 3_600));
    let (answer, says) = changing(None);
    let world = World::new(answer);
    let moved = Says { head: format!("Location: {}/token\r\n", other.address), ..Says::html(307) };
    for (broken, words) in [(moved, "redirections are not followed"), (Says::html(404), "Check token_endpoint")] {
        *says.lock().unwrap() = Some(broken);
        let fault = world.bearer(&world.plain()).await.unwrap_err();
        assert!(matches!(&fault, TokenFault::Refused { .. }) && fault.to_string().contains(words), "{fault}");
        world.pass(3_600);
    }
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn what_a_provider_says_is_cut_and_cleaned() {
    let words = format!("no\u{1b}[2J\r\n250 fine {}", "é".repeat(5_000));
    let world = World::new(move |_| refuses("invalid_scope", &words));
    let fault = world.bearer(&world.plain()).await.unwrap_err().to_string();
    assert!(fault.contains("no [2J 250 fine é") && fault.chars().count() < 500, "{fault}");
    assert!(!fault.chars().any(char::is_control));
}

/// A disk that is of no use: tokens live in memory, the operator knows, and they are written when it is well again.
#[tokio::test]
async fn where_nothing_can_be_kept_the_mail_goes_on() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let world = World::new(move |asked| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        let form = asked.form();
        if form.get("refresh_token").is_some_and(|token| *token != format!("refresh-{number}")) {
            return refuses("invalid_grant", "it was used before");
        }
        Some(Says::json(
            200,
            &json!({"access_token": format!("access-{number}"), "expires_in": 3600, "refresh_token": format!("refresh-{}", number + 1)}),
        ))
    });
    let token = SecretSource::File(world.write("refresh", "refresh-1"));
    let client = world.client(Grant::RefreshToken { token, secret: None });
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("access-1"));
    // A file stands where the folder must be.
    let file = kept::files_of(&world.state(), &office())[0].clone();
    let aside = world.state().join("aside");
    fs::rename(world.state().join(kept::FOLDER), &aside).unwrap();
    fs::write(world.state().join(kept::FOLDER), "in the way").unwrap();
    world.pass(3_600);
    assert!(world.bearer(&client).await.unwrap_err().to_string().contains("there is a file where a folder must be"));
    fs::remove_file(world.state().join(kept::FOLDER)).unwrap();
    fs::rename(&aside, world.state().join(kept::FOLDER)).unwrap();
    world.pass(5);
    world.look().await;
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("access-2"));
    let kept = fs::read_to_string(&file).unwrap();
    assert!(kept.contains("refresh: refresh-3"), "{kept}");

    // With a secret nothing that was kept is needed.
    let other = world.plain();
    fs::rename(world.state().join(kept::FOLDER), &aside).unwrap();
    fs::write(world.state().join(kept::FOLDER), "in the way").unwrap();
    for _ in 0..2 {
        world.bearer(&other).await.unwrap();
        world.pass(3_600);
    }
    assert_eq!(world.alarms("cannot be kept"), 1, "{}", world.log());
    fs::remove_file(world.state().join(kept::FOLDER)).unwrap();
    world.look().await;
    assert!(!kept::files_of(&world.state(), &office()).is_empty());
}

/// The machine's clock is ten minutes behind: signed by the provider's clock, and told once.
#[tokio::test]
async fn clocks_that_differ_are_told_and_worked_around() {
    let theirs = NOW.plus(Duration::from_secs(600));
    let world = World::new(move |asked| {
        let assertion = asked.form()["client_assertion"].clone();
        let claims = facts_of(&assertion);
        let seconds = theirs.0 / 1_000;
        let holds = claims["nbf"].as_i64().unwrap() <= seconds && seconds < claims["exp"].as_i64().unwrap();
        let date = format!("Date: {}\r\n", theirs.rfc5322().replace("+0000", "GMT"));
        if holds {
            return grants("token", 3_600);
        }
        let mut says =
            refuses("invalid_client", "AADSTS700024: Client assertion is not within its valid time range.").unwrap();
        says.head.push_str(&date);
        Some(says)
    });
    let authority = crate::tls::fixture::Authority::new("Any");
    let signed = authority.issue(&["client"]);
    let certificate = world.write("client.pem", &signed.certificate.pem());
    let key = world.write("client.key", &signed.key.serialize_pem());
    let client = world.client(Grant::ClientCertificate { certificate, key });
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token"));
    assert_eq!(world.asked(), 2);
    world.tokens.anew(&office(), &client).await.unwrap();
    assert_eq!(world.alarms("600 seconds behind that of the identity provider"), 1, "{}", world.log());
}

fn facts_of(token: &str) -> Value {
    let mut payload = token.split('.').nth(1).unwrap().replace('-', "+").replace('_', "/");
    while !payload.len().is_multiple_of(4) {
        payload.push('=');
    }
    serde_json::from_slice(&smtp::sasl::base64::decode(payload.as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_token_tells_what_helps_and_not_itself() {
    let claims = json!({"aud": "https://outlook.office365.com", "roles": ["SMTP.SendAsApp"], "appid": "x\r\ny", "exp": 5, "secret": "no"});
    let payload = assertion::url_safe(claims.to_string().as_bytes());
    let token = |text: &str| Token(Secret::new(text.as_bytes().to_vec()));
    assert_eq!(
        facts(&token(&format!("e30.{payload}.x"))),
        [
            ("aud", "https://outlook.office365.com".to_owned()),
            ("appid", "x y".to_owned()),
            ("roles", "SMTP.SendAsApp".to_owned())
        ]
    );
    for opaque in ["ya29.a0AfB", "x", "a.b.c", ""] {
        assert!(facts(&token(opaque)).is_empty());
    }
}
