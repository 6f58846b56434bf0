//! What only root can set up: full and read-only disks in a mount namespace of their own, a process without rights.

use crate::harness::client::Client;
use crate::harness::mail::plain;
use crate::harness::peer::{Peer, Script};
use crate::harness::relay::{PROGRAM, Relay, Settings};
use crate::harness::{Process, SOON, Site, run, until, user_id};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Output};

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

/// The relay with its home on a small disk of its own, which only this process sees. `first` is run on the disk before.
fn on_a_small_disk(site: &Site, relay: &Relay, size: &str, first: &str) -> Command {
    let home = relay.home.display();
    fs::create_dir_all(&relay.home).unwrap();
    let script = format!(
        "mount -t tmpfs -o size={size},mode=755 none {home} && {first} exec {PROGRAM} serve --config {}",
        relay.config.display()
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", &script]);
    // The log goes where the relay's own command would have sent it.
    let log = fs::File::options().create(true).append(true).open(site.folder.join("mailroot.log")).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log);
    command
}

#[test]
fn a_disk_that_fills_up_is_refused_early_and_nothing_acknowledged_is_lost() {
    let site = Site::new();
    let settings = Settings::new(&site)
        .smart_host(site.at(2, 2525))
        .delivery("glitch_retry = { every = \"1 s\", times = 20 }")
        .queue("free_space_min = \"40 MB\"")
        .messages("session_size_max = \"unlimited\"");
    let mut relay = Relay::prepare(&site, &settings);
    let mut command = on_a_small_disk(&site, &relay, "200m", "");
    relay.up_by(&mut command);
    let mut client = Client::greet(relay.at);
    let body = b"0123456789 the quick brown fox jumps over the lazy dog and comes back again......\r\n".repeat(12_000);
    let mut acknowledged = 0;
    let mut refused = None;
    for n in 0..400 {
        let reply = client.say("MAIL FROM:<a@local.test>");
        if reply.code != 250 {
            refused = Some(reply);
            break;
        }
        client.say("RCPT TO:<b@far.test>");
        let reply = client.say("DATA");
        if reply.code != 354 {
            refused = Some(reply);
            break;
        }
        let content = [plain(&format!("full {n}."), "b@far.test"), body.clone()].concat();
        client.send(crate::harness::client::stuffed(&content));
        let reply = client.reply();
        if reply.code != 250 {
            refused = Some(reply);
            break;
        }
        acknowledged = n + 1;
    }
    let refused = refused.expect("a disk of 200 MB took 400 MB");
    assert!(refused.code == 452 && refused.text().contains("4.3.1"), "{refused:?}");
    assert!(acknowledged > 20, "only {acknowledged} were taken");
    relay.wait_for_log(&["less than queue.free_space_min"]);
    // Delivery makes room, and then mail is taken again.
    let peer = Peer::start(site.at(2, 2525), Script::offering(&["PIPELINING"]));
    until(std::time::Duration::from_secs(60), "all that was acknowledged arrives", || {
        (peer.taken_count() >= acknowledged).then_some(())
    });
    until(SOON, "mail is taken again", || {
        let mut client = Client::greet(relay.at);
        let lines = ["MAIL FROM:<a@local.test>", "RCPT TO:<b@far.test>", "DATA"];
        (lines.map(|line| client.say(line).code) == [250, 250, 354]).then_some(())
    });
}

#[test]
fn a_read_only_home_is_named_at_the_start() {
    let site = Site::new();
    let relay = Relay::prepare(&site, &Settings::new(&site));
    let home = relay.home.display().to_string();
    let mut command = on_a_small_disk(&site, &relay, "8m", &format!("mount -o remount,ro {home} &&"));
    let status = Process::start(&mut command).ended(SOON, "the start fails");
    assert!(!status.success());
    assert!(relay.log().contains(&home) && relay.log().to_lowercase().contains("read-only"), "{}", relay.log());
}

#[test]
fn without_rights_for_a_port_or_a_folder_the_start_says_so() {
    let site = Site::new();
    let nobody = user_id("nobody");
    // The program may lie where nobody may look.
    let program = site.folder.join("mailroot-copy");
    fs::copy(PROGRAM, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |config: &std::path::Path| {
        let mut command = Command::new("setpriv");
        command.args([
            &format!("--reuid={}", nobody.0),
            &format!("--regid={}", nobody.1),
            "--clear-groups",
            "--inh-caps=-all",
            "--bounding-set=-all",
        ]);
        run(command.arg(&program).args(["serve", "--config"]).arg(config))
    };
    let mut low = Settings::new(&site);
    low.listen = vec![site.at(1, 25).to_string()];
    let relay = Relay::prepare(&site, &low);
    fs::create_dir_all(&relay.home).unwrap();
    chown(&relay.home, Some(nobody.0), Some(nobody.1)).unwrap();
    let anybody_may =
        fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").is_ok_and(|n| n.trim() == "0");
    if !anybody_may {
        let output = as_nobody(&relay.config);
        assert!(!output.status.success());
        let text = words(&output);
        assert!(text.contains(&site.at(1, 25).to_string()) && text.to_lowercase().contains("permission"), "{text}");
    }
    // A folder in which it may not write.
    let relay = Relay::prepare(&site, &Settings::new(&site));
    chown(&relay.home, Some(0), Some(0)).unwrap();
    fs::set_permissions(&relay.home, fs::Permissions::from_mode(0o700)).unwrap();
    let output = as_nobody(&relay.config);
    assert!(!output.status.success());
    assert!(words(&output).contains(&relay.home.display().to_string()), "{}", words(&output));
}
