//! What each grant asks with.

use super::*;
use crate::tls::fixture::Authority;
use crate::tls::sha256;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rcgen::{KeyPair, PublicKeyData, RsaKeySize};
use x509_parser::prelude::FromDer;

#[tokio::test]
async fn client_credentials_with_a_secret() {
    let world = World::new(|_| grants("token", 3_600));
    assert_eq!(world.bearer(&world.plain()).await.as_deref(), Ok("token"));
    let asked = &world.site.asked()[0];
    assert_eq!((&*asked.method, &*asked.path), ("POST", "/token"));
    let form = asked.form();
    assert_eq!(form.len(), 4);
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form["client_id"], "client-1");
    assert_eq!(form["client_secret"], "s3cret&value");
    assert_eq!(form["scope"], "https://mail.example/.default offline_access");
}

/// The header and the claims, if the key in this certificate or of this pair has signed them.
fn verified(assertion: &str, key: &DecodingKey, algorithm: Algorithm) -> (jsonwebtoken::Header, Value) {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let token = jsonwebtoken::decode::<Value>(assertion, key, &validation).unwrap();
    (token.header, token.claims)
}

#[tokio::test]
async fn client_credentials_with_a_certificate_as_microsoft_wants_them() {
    let world = World::new(|_| grants("token", 3_600));
    let authority = Authority::new("Nobody in particular");
    let rsa = || KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let p256 = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let p384 = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    for (pair, algorithm) in [(rsa(), Algorithm::PS256), (p256(), Algorithm::ES256), (p384(), Algorithm::ES384)] {
        let signed = authority.sign(&crate::tls::fixture::params_for(&["client"]), pair);
        let certificate = world.write("client.pem", &signed.certificate.pem());
        let key = world.write("client.key", &signed.key.serialize_pem());
        let client = OAuthClient {
            client_id: format!("client-{algorithm:?}").into(),
            ..world.client(Grant::ClientCertificate { certificate, key })
        };
        assert_eq!(world.bearer(&client).await.as_deref(), Ok("token"), "{algorithm:?}");
        let form = world.site.asked().last().unwrap().form();
        assert_eq!(form["grant_type"], "client_credentials");
        assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        assert_eq!((form["client_id"].as_str(), form.contains_key("client_secret")), (&*client.client_id, false));
        let public = public_key(&signed.key, algorithm);
        let (header, claims) = verified(&form["client_assertion"], &public, algorithm);
        let thumbprint = assertion::url_safe(&sha256(signed.certificate.der()));
        assert_eq!((header.typ.as_deref(), header.x5t_s256), (Some("JWT"), Some(thumbprint)));
        let seconds = NOW.0 / 1_000;
        assert_eq!(claims["iss"], *client.client_id);
        assert_eq!(claims["sub"], *client.client_id);
        assert_eq!(claims["aud"], *client.token_endpoint);
        // Keys of RSA take a while to make.
        assert!((seconds - 60..seconds).contains(&claims["nbf"].as_i64().unwrap()) && claims["iat"] == claims["nbf"]);
        assert!((seconds + 300..=seconds + 660).contains(&claims["exp"].as_i64().unwrap()));
        assert_eq!(claims["jti"].as_str().unwrap().len(), 32);
    }
}

fn public_key(pair: &KeyPair, algorithm: Algorithm) -> DecodingKey {
    let der = pair.subject_public_key_info();
    let (_, info) = x509_parser::x509::SubjectPublicKeyInfo::from_der(&der).unwrap();
    let inner = info.subject_public_key.data.to_vec();
    if algorithm == Algorithm::PS256 || algorithm == Algorithm::RS256 {
        DecodingKey::from_rsa_der(&inner)
    } else {
        DecodingKey::from_ec_der(&inner)
    }
}

#[tokio::test]
async fn a_service_account_as_google_wants_it() {
    let world = World::new(|_| grants("token", 3_600));
    let pair = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let document = json!({
        "type": "service_account", "client_email": "relay@project.iam.gserviceaccount.com",
        "private_key_id": "key-7", "private_key": pair.serialize_pem(), "token_uri": "https://elsewhere.example/token",
    });
    let file = world.write("account.json", &document.to_string());
    let client = world.client(Grant::ServiceAccount { file });
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("token"));
    let form = world.site.asked()[0].form();
    assert_eq!(form.len(), 2);
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (header, claims) = verified(&form["assertion"], &public_key(&pair, Algorithm::RS256), Algorithm::RS256);
    assert_eq!((header.kid.as_deref(), header.x5t_s256), (Some("key-7"), None));
    assert_eq!(claims["iss"], "relay@project.iam.gserviceaccount.com");
    assert_eq!(claims["sub"], "relay@contoso.com");
    assert_eq!(claims["scope"], "https://mail.example/.default offline_access");
    assert_eq!(claims["aud"], *client.token_endpoint, "and not what stands in the file");
}

#[tokio::test]
async fn a_refresh_token_is_on_the_disk_before_what_came_with_it_is_used() {
    let world = World::new(|asked| {
        let form = asked.form();
        assert_eq!(form["grant_type"], "refresh_token");
        let number: usize = form["refresh_token"].rsplit('-').next().unwrap().parse().unwrap();
        let refresh = format!("refresh-{}", number + 1);
        Some(Says::json(
            200,
            &json!({"access_token": format!("access-{number}"), "expires_in": 3600, "refresh_token": refresh}),
        ))
    });
    let token = SecretSource::File(world.write("refresh", "refresh-1"));
    let client = world.client(Grant::RefreshToken { token, secret: Some(world.secret()) });
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("access-1"));
    assert_eq!(world.site.asked()[0].form()["client_secret"], "s3cret&value");
    let kept = || fs::read_to_string(&kept::files_of(&world.state(), &office())[0]).unwrap();
    assert!(kept().contains("refresh: refresh-2\n"), "{}", kept());
    // From then on the newest one, over a restart too.
    world.pass(3_600);
    assert_eq!(bearer(&world.restarted(), &client).await.as_deref(), Ok("access-2"));
    world.pass(3_600);
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("access-3"));
    // Until the operator brings another one.
    world.write("refresh", "refresh-90");
    world.pass(3_600);
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("access-90"));
    assert!(kept().contains("refresh: refresh-91\n"), "{}", kept());
    // A provider that gives no new one lets us keep ours.
    assert!(world.log().is_empty(), "{}", world.log());
}

#[tokio::test]
async fn a_refresh_token_that_is_not_replaced_stays() {
    let world = World::new(|_| grants("access", 3_600));
    let token = SecretSource::File(world.write("refresh", "refresh-1"));
    let client = world.client(Grant::RefreshToken { token, secret: None });
    for _ in 0..3 {
        world.bearer(&client).await.unwrap();
        world.pass(3_600);
    }
    assert!(world.site.asked().iter().all(|asked| asked.form()["refresh_token"] == "refresh-1"));
}

/// A provider of device codes whose person says what the test wants.
fn device(answers: Vec<Option<Says>>) -> impl Fn(&Asked) -> Option<Says> + Send + Sync + 'static {
    let answers = Mutex::new(answers.into_iter());
    move |asked| match &*asked.path {
        "/device" => Some(Says::json(
            200,
            &json!({"device_code": "device-code-1", "user_code": "ABCD-EFGH", "verification_url": "https://id.example/device",
                    "expires_in": 900, "interval": 0}),
        )),
        _ if asked.form()["grant_type"] == "refresh_token" => grants("refreshed", 3_600),
        _ => answers.lock().unwrap().next().unwrap(),
    }
}

async fn log_in_at(world: &World, client: &OAuthClient) -> Result<LoginPrompt, TokenFault> {
    let mut shown = None;
    log_in(&world.state(), &office(), client, &world.clock, |prompt| shown = Some(prompt.clone())).await?;
    Ok(shown.unwrap())
}

#[tokio::test]
async fn a_person_agrees_and_the_running_service_goes_on_at_once() {
    let granted = json!({"access_token": "first", "expires_in": 3600, "refresh_token": "refresh-1"});
    let pending = || refuses("authorization_pending", "");
    let world = World::new(device(vec![pending(), pending(), Some(Says::json(200, &granted))]));
    let client = world.client(Grant::DeviceCode { secret: Some(world.secret()) });
    let (told, hears) = std::sync::mpsc::channel();
    world.tokens.tell(move |owner| told.send(owner.clone()).is_ok());
    // Before: nothing is asked, and the operator hears what to do.
    world.tokens.configure(&world.state(), &[(office(), client.clone())]);
    world.look().await;
    let fault = world.bearer(&client).await.unwrap_err().to_string();
    assert!(fault.contains("Nobody has logged in yet") && fault.ends_with("mailroot oauth login office"), "{fault}");
    assert_eq!((world.asked(), world.alarms("mailroot oauth login office")), (0, 1));

    let prompt = log_in_at(&world, &client).await.unwrap();
    assert_eq!((&*prompt.address, &*prompt.code), ("https://id.example/device", "ABCD-EFGH"));
    assert_eq!(prompt.lasts, Duration::from_secs(900));
    let asked = world.site.asked();
    assert_eq!(asked[0].form()["scope"], *client.scope);
    let form = asked[3].form();
    assert_eq!((asked.len(), form["device_code"].as_str()), (4, "device-code-1"));
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:device_code");
    assert_eq!(form["client_secret"], "s3cret&value");

    // The service was in a pause of a minute, and notices.
    world.look().await;
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("first"));
    assert_eq!(hears.try_recv(), Ok(office()));
    world.look().await;
    assert_eq!(hears.try_recv(), Ok(office()), "once more, for those who learned of the trouble late");
    world.pass(3_600);
    assert_eq!(world.bearer(&client).await.as_deref(), Ok("refreshed"));
    world.look().await;
    assert_eq!(hears.try_recv().ok(), None, "it was never without one");
    let log = world.log();
    assert!(!log.contains("refresh-1") && !log.contains("s3cret"), "{log}");

    // And it notices that somebody has logged out.
    assert_eq!(log_out(&world.state(), &office()).unwrap(), 1);
    world.look().await;
    assert!(world.bearer(&client).await.unwrap_err().to_string().contains("oauth login office"));
}

#[tokio::test]
async fn a_person_says_no_or_nothing() {
    for (error, words) in [
        ("access_denied", "says: no way. Log in: mailroot oauth login office"),
        ("expired_token", "says: no way. Log in: mailroot oauth login office"),
        ("invalid_client", "says: no way. Check client_id"),
    ] {
        let world = World::new(device(vec![refuses(error, "no way")]));
        let client = world.client(Grant::DeviceCode { secret: None });
        let fault = log_in_at(&world, &client).await.unwrap_err().to_string();
        assert!(fault.contains(words), "{error}: {fault}");
        assert!(kept::files_of(&world.state(), &office()).is_empty());
    }
    // A log-in that would end within the hour is none.
    let world = World::new(device(vec![grants("first", 3_600)]));
    let fault = log_in_at(&world, &world.client(Grant::DeviceCode { secret: None })).await.unwrap_err().to_string();
    assert!(fault.contains("offline_access"), "{fault}");
    // Nobody logs in where nobody has to.
    let fault = log_in_at(&world, &world.plain()).await.unwrap_err().to_string();
    assert!(fault.contains("Nobody needs to"), "{fault}");
}
