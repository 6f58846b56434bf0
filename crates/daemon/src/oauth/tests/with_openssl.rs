//! Keys as `OpenSSL` writes them, in old forms and new ones, sign assertions.

use super::*;
use std::process::Command;

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn every_form_of_a_key_signs() {
    let world = World::new(|_| grants("token", 3_600));
    let path = |name: &str| world.path(name).display().to_string();
    let (key, certificate) = (path("client.key"), path("client.pem"));
    let forms: [(&[&str], &str); 4] = [
        (&["genrsa", "-traditional", "-out", &key, "2048"], "BEGIN RSA PRIVATE KEY"),
        (&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &key], "BEGIN PRIVATE KEY"),
        (&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key], "BEGIN EC PRIVATE KEY"),
        (&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", &key], "BEGIN PRIVATE KEY"),
    ];
    for (at, (make, form)) in forms.into_iter().enumerate() {
        openssl(make);
        fs::set_permissions(world.path("client.key"), fs::Permissions::from_mode(0o600)).unwrap();
        assert!(fs::read_to_string(world.path("client.key")).unwrap().contains(form));
        openssl(&["req", "-new", "-x509", "-key", &key, "-subj", "/CN=relay", "-days", "2", "-out", &certificate]);
        let grant = Grant::ClientCertificate { certificate: world.path("client.pem"), key: world.path("client.key") };
        let client = OAuthClient { client_id: format!("client-{at}").into(), ..world.client(grant) };
        assert_eq!(world.bearer(&client).await.as_deref(), Ok("token"), "{form}");
    }
    // One of a kind that providers do not take.
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", &key]);
    openssl(&["req", "-new", "-x509", "-key", &key, "-subj", "/CN=relay", "-days", "2", "-out", &certificate]);
    let grant = Grant::ClientCertificate { certificate: world.path("client.pem"), key: world.path("client.key") };
    let client = OAuthClient { client_id: "client-ed".into(), ..world.client(grant) };
    let fault = world.bearer(&client).await.unwrap_err().to_string();
    assert!(fault.contains("make one with RSA"), "{fault}");
}
