//! NTLM towards a server that leaves it to pyspnego who we are.

use super::{hand_in, secret};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{Process, Site, listening};
use std::process::{Command, Stdio};

/// A next hop that offers nothing but NTLM, and notes who logged on and what came.
const SERVER: &str = r#"
import base64, socket, sys, threading, spnego
address, port, notes = sys.argv[1], int(sys.argv[2]), open(sys.argv[3], "a", buffering=1)

def serve(connection):
    lines = connection.makefile("rb")
    def say(text):
        connection.sendall(text.encode() + b"\r\n")
    def ask(challenge):
        say("334 " + base64.b64encode(challenge).decode())
        return base64.b64decode(lines.readline())
    say("220 ntlm.test ESMTP")
    who = None
    for line in lines:
        verb = line.split(b" ")[0].strip().upper()
        if verb == b"EHLO":
            say("250-ntlm.test\r\n250 AUTH NTLM")
        elif verb == b"AUTH":
            words = line.split()
            server = spnego.server(hostname="ntlm.test", service="smtp", protocol="ntlm")
            token = base64.b64decode(words[2]) if len(words) > 2 else ask(b"")
            try:
                while not server.complete:
                    token = server.step(token)
                    if token:
                        token = ask(token)
                who = server.client_principal
                say("235 2.7.0 welcome")
            except spnego.exceptions.SpnegoError:
                say("535 5.7.3 no")
        elif verb == b"DATA":
            say("354 go on")
            for line in lines:
                if line.lower().startswith(b"subject:"):
                    print(who, line.decode().strip(), file=notes)
                if line == b".\r\n":
                    break
            say("250 2.0.0 taken")
        elif verb == b"QUIT":
            say("221 bye")
            return connection.close()
        elif verb == b"MAIL" and not who:
            say("530 5.7.57 log on first")
        else:
            say("250 ok")

listener = socket.create_server((address, port))
while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
"#;

#[test]
fn mail_goes_to_a_server_that_knows_ntlm_alone() {
    let site = Site::new();
    let program = site.folder.write("server.py", SERVER);
    let users = site.folder.write("users", "CORP:alice:s3cret pä$$\n");
    let notes = site.folder.write("notes", "");
    let at = site.at(2, 2525);
    let python = std::env::var("MAILROOT_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(python);
    command.arg(program).arg(at.ip().to_string()).arg(at.port().to_string()).arg(&notes);
    let _server = Process::start(command.env("NTLM_USER_FILE", users).stdout(Stdio::null()));
    listening(at, "the server with NTLM");
    let hosts = format!("hosts = [\"[{}]:2525\"]", at.ip());
    let password = secret(&site, "password", "mistyped\n");
    let auth = format!(
        "auth = {{ method = \"ntlm\", user = \"alice\", domain = \"CORP\", password = {{ file = {password:?} }} }}"
    );
    let settings = Settings::new(&site)
        .smart_host_object("windows", &[&hosts, "tls = \"none\"", &auth])
        .delivery("smart_host = \"windows\"");
    let relay = Relay::start(&site, &settings);
    hand_in(&relay, "bob@far.test", "by ntlm");
    relay.wait_for_log(&["deferred", "bob@far.test", "trouble=auth", "535 5.7.3"]);
    secret(&site, "password", "s3cret pä$$\n");
    let line = relay.wait_for_log(&["delivered", "bob@far.test"]);
    assert!(line.contains(" auth=NTLM "), "{line}");
    let came = std::fs::read_to_string(notes).unwrap();
    assert_eq!(came, "CORP\\alice Subject: by ntlm\n");
    assert!(!relay.log().contains("s3cret") && !relay.log().contains("mistyped"), "{}", relay.log());
}
