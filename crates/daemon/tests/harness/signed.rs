//! A BIND whose zones are signed, from a root of their own down: for DNSSEC, with lies where a test wants them.

use super::bind::{Bind, free_port};
use super::{Site, run_well};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a zone is signed.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Signing {
    /// What does not exist is denied by NSEC.
    Nsec,
    /// By NSEC3.
    Nsec3,
    /// Its signatures ran out long ago.
    Expired,
    /// Not, and its parent proves that.
    None,
}

/// A zone; its parent must come later in the list.
pub struct Zone {
    pub name: &'static str,
    pub signing: Signing,
    /// Lines of the zone file, relative to the zone.
    pub records: String,
    /// What is replaced after the zone was signed.
    pub lies: Vec<(&'static str, &'static str)>,
}

impl Zone {
    pub fn new(name: &'static str, signing: Signing, records: impl Into<String>) -> Zone {
        Zone { name, signing, records: records.into(), lies: Vec::new() }
    }

    /// The text `truth` of the signed zone is replaced, so that its signature does not fit any more.
    pub fn lie(mut self, truth: &'static str, lie: &'static str) -> Zone {
        self.lies.push((truth, lie));
        self
    }

    fn file(&self) -> String {
        if self.name == "." { "root".to_owned() } else { self.name.to_owned() }
    }
}

/// The zones, served by an authority.
pub struct Signed {
    pub bind: Bind,
    /// The root's key, as `dns.trust_anchor` wants it.
    pub anchor: PathBuf,
    folder: PathBuf,
}

impl Signed {
    /// `zones` with `test` and the root, which are signed and delegate to them.
    pub fn start(site: &Site, host: u8, zones: Vec<Zone>) -> Signed {
        let at = free_port();
        let folder = site.folder.join(format!("signed-{host}"));
        fs::create_dir_all(&folder).unwrap();
        let mut zones = zones;
        zones.push(Zone::new("test", Signing::Nsec, ""));
        zones.push(Zone::new(".", Signing::Nsec, ""));
        let mut entries = String::new();
        for at_zone in 0..zones.len() {
            let zone = &zones[at_zone];
            let mut text = format!(
                "$TTL 60\n$ORIGIN {}\n@ SOA ns.test. hostmaster.test. 1 3600 600 86400 2\n@ NS ns.test.\n{}\n",
                dotted(zone.name),
                zone.records
            );
            if zone.name == "test" {
                text.push_str(&format!("ns A {}\n", at.ip()));
            }
            for child in zones[..at_zone].iter().filter(|child| parent(child.name) == zone.name) {
                text.push_str(&format!("{} NS ns.test.\n", dotted(child.name)));
                let keys = folder.join(format!("dsset-{}", dotted(child.name)));
                text.push_str(&fs::read_to_string(keys).unwrap_or_default());
            }
            let file = folder.join(zone.file());
            fs::write(&file, text).unwrap();
            sign(&folder, zone);
            entries.push_str(&format!(
                "zone \"{}\" {{ type primary; file \"{}\"; check-mx ignore; check-names ignore; check-integrity no; }};\n",
                zone.name,
                file.display()
            ));
        }
        let anchor = folder.join("anchor");
        let key = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
        let key = key
            .into_iter()
            .find(|path| path.to_string_lossy().contains("/K.+") && path.extension().is_some_and(|e| e == "key"));
        fs::copy(key.unwrap(), &anchor).unwrap();
        let text =
            format!("{}zone-statistics none; recursion no; }};\ncontrols {{ }};\n{}", options(&folder, at), entries);
        let bind = Bind::run(at, folder.clone(), &text);
        Signed { bind, anchor, folder }
    }

    /// A resolver that asks these zones, checks their signatures, and says so in its answers.
    pub fn resolver(&self) -> Bind {
        let at = free_port();
        let folder = self.folder.join("resolver");
        fs::create_dir_all(&folder).unwrap();
        let key = fs::read_to_string(&self.anchor).unwrap();
        let key = key.lines().find_map(|line| line.split_once("DNSKEY").map(|(_, key)| key.trim().to_owned())).unwrap();
        let mut parts = key.splitn(4, ' ');
        let (flags, protocol, algorithm) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let octets = parts.next().unwrap().replace(' ', "");
        let (ip, port) = (self.bind.at.ip(), self.bind.at.port());
        let text = format!(
            "{}recursion yes; allow-recursion {{ any; }}; forward only; forwarders {{ {ip} port {port}; }};\n\
             dnssec-validation yes; empty-zones-enable no; qname-minimization off; }};\ncontrols {{ }};\n\
             trust-anchors {{ . static-key {flags} {protocol} {algorithm} \"{octets}\"; }};\n",
            options(&folder, at)
        );
        Bind::run(at, folder, &text)
    }
}

fn options(folder: &Path, at: SocketAddr) -> String {
    let shown = folder.display();
    format!(
        "logging {{ channel f {{ file \"{shown}/named.log\"; severity debug 1; }}; category default {{ f; }};\n\
         category queries {{ f; }}; }};\n\
         options {{ directory \"{shown}\"; pid-file none; session-keyfile \"{shown}/session.key\";\n\
         lock-file none; managed-keys-directory \"{shown}\"; listen-on port {} {{ {}; }}; listen-on-v6 {{ none; }};\n\
         allow-query {{ any; }}; notify no;\n",
        at.port(),
        at.ip()
    )
}

/// Signs the zone's file in place, with a key of its own; leaves its DS record for the parent.
fn sign(folder: &Path, zone: &Zone) {
    if zone.signing == Signing::None {
        return;
    }
    let name = dotted(zone.name);
    let mut keygen = Command::new("dnssec-keygen");
    let made =
        run_well(keygen.current_dir(folder).args(["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "-n", "ZONE", &name]));
    let key = String::from_utf8(made).unwrap().trim().to_owned();
    let file = zone.file();
    let text = fs::read_to_string(folder.join(&file)).unwrap();
    let public = fs::read_to_string(folder.join(format!("{key}.key"))).unwrap();
    fs::write(folder.join(&file), format!("{text}{public}")).unwrap();
    let mut signzone = Command::new("dnssec-signzone");
    signzone.current_dir(folder).args(["-q", "-z", "-P", "-O", "full", "-o", &name, "-f", &file]);
    match zone.signing {
        Signing::Nsec3 => _ = signzone.args(["-3", "aabb", "-H", "0"]),
        Signing::Expired => _ = signzone.args(["-s", "20200101000000", "-e", "20200201000000"]),
        Signing::Nsec | Signing::None => {}
    }
    run_well(signzone.args([&file, &key]));
    let mut text = fs::read_to_string(folder.join(&file)).unwrap();
    for (truth, lie) in &zone.lies {
        assert!(text.contains(truth), "{truth} is not in {text}");
        text = text.replace(truth, lie);
    }
    fs::write(folder.join(&file), text).unwrap();
}

fn dotted(name: &str) -> String {
    if name == "." { name.to_owned() } else { format!("{name}.") }
}

fn parent(name: &str) -> &str {
    match name.split_once('.') {
        Some((_, "")) => "",
        Some((_, rest)) => rest,
        None => ".",
    }
}
