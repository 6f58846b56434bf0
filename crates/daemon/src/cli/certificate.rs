//! `mailroot certificate …`: list, self-signed, request, import, acme.
//!
//! What is made is written beside the configuration, in `tls/`, and the line that puts it to use is printed.

use super::{complain, load, say};
use crate::certificate::acme::{self, Binding};
use crate::certificate::place::{self, Readers};
use crate::certificate::{import, list, make};
use crate::clock::Clock;
use crate::service::ConfigFile;
use crate::tls::load::{authorities, read_secret};
use crate::tls::{Certificates, NoCertificate, Particulars, acme_file};
use clap::{Args, Subcommand};
use relay::config::{Acme, CertificateSource, Config, VirtualServer};
use smtp::time::Timestamp;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(super) enum Certificate {
    /// List the certificates of a configuration: names, issuer, end, where they are used
    List {
        /// The configuration, mailroot.toml
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// For programs: a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Make a certificate that nobody vouches for, to begin with or for use inside
    SelfSigned {
        #[command(flatten)]
        target: Target,
        /// How many days it holds
        #[arg(long, value_name = "DAYS", default_value_t = 730, value_parser = clap::value_parser!(u16).range(1..=7300))]
        days: u16,
    },
    /// Make a key and a request (CSR) that an authority can sign
    Request {
        #[command(flatten)]
        target: Target,
        /// Ask with this key (PEM, PKCS #8) instead of a new one
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Turn a PFX file, as Windows exports it, into a PEM certificate and key
    Import {
        /// The PFX file
        #[arg(long, value_name = "FILE")]
        pfx: PathBuf,
        /// A file whose first line is its password
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// Where to put certificate and key
        #[arg(long, value_name = "DIR", default_value = "tls")]
        folder: PathBuf,
        /// Only say what is in it
        #[arg(long)]
        check: bool,
        /// Replace files that are there
        #[arg(long)]
        force: bool,
    },
    /// Obtain the certificates of a configuration that come from an authority by ACME
    Acme {
        /// The configuration, mailroot.toml
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Only those of this virtual server
        #[arg(long, value_name = "NAME")]
        server: Option<String>,
        /// Obtain even what is good for long
        #[arg(long)]
        force: bool,
        /// For a new account: the name of the key that the authority gave you (external account binding)
        #[arg(long, value_name = "ID", requires = "eab_key_file")]
        eab_key_id: Option<String>,
        /// For a new account: a file with that key, in base64
        #[arg(long, value_name = "FILE", requires = "eab_key_id")]
        eab_key_file: Option<PathBuf>,
    },
}

/// For whom something is made, and where it is put.
#[derive(Args, Debug)]
pub(super) struct Target {
    /// The configuration, mailroot.toml: its name for itself (delivery.fqdn) is certified
    #[arg(long, value_name = "FILE", required_unless_present = "name")]
    config: Option<PathBuf>,
    /// The virtual server that is meant, if there are several
    #[arg(long, value_name = "NAME", requires = "config")]
    server: Option<String>,
    /// Certify this name instead; several times for several
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Where to put it; without it, `tls` beside the configuration
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// Why nothing came of it: said already, or a sentence.
enum Ended {
    Said(ExitCode),
    Words(String),
}

impl<E: Display> From<E> for Ended {
    fn from(error: E) -> Ended {
        Ended::Words(error.to_string())
    }
}

pub(super) fn run(command: &Certificate) -> ExitCode {
    let ended = match command {
        Certificate::List { config, json } => list_them(config, *json),
        Certificate::SelfSigned { target, days } => self_signed(target, *days),
        Certificate::Request { target, key } => request(target, key.as_deref()),
        Certificate::Import { pfx, password_file, folder, check, force } => {
            bring_in(pfx, password_file.as_deref(), folder, *check, *force)
        }
        Certificate::Acme { config, server, force, eab_key_id, eab_key_file } => {
            let binding = binding(eab_key_id.as_deref(), eab_key_file.as_deref());
            binding.and_then(|binding| obtain(config, server.as_deref(), *force, binding.as_ref()))
        }
    };
    match ended {
        Ok(code) | Err(Ended::Said(code)) => code,
        Err(Ended::Words(words)) => {
            complain(&format!("{words}\n"));
            ExitCode::FAILURE
        }
    }
}

/// For `mailroot check`: what is wrong with the certificates of a configuration; empty if nothing is.
pub(super) fn faults(config: &Config) -> String {
    let now = Clock::start().now();
    let listed = list::list(config);
    let faults = listed.iter().filter_map(|listed| Some((&listed.server, list::fault(listed, now)?)));
    let mut text: String = faults.map(|(server, fault)| format!("'{server}': {fault}\n")).collect();
    if let Err(fault) = console_certificates(config, now) {
        text.push_str(&format!("console: {fault}\n"));
    }
    for server in &config.servers {
        let authority = server.access.client_certificates.as_ref().map(|clients| authorities(&clients.authority));
        if let Some(Err(fault)) = authority {
            text.push_str(&format!("'{}': {fault}\n", server.name));
        }
    }
    text
}

fn console_certificates(config: &Config, now: Timestamp) -> Result<(), NoCertificate> {
    if config.console.certificates.is_empty() {
        return Ok(());
    }
    match Certificates::from(&config.console.certificates, None, &config.state, now)? {
        (_, faults) if faults.is_empty() => Ok(()),
        (_, faults) => Err(NoCertificate(faults)),
    }
}

fn read(config: &Path) -> Result<Config, Ended> {
    load(&ConfigFile::new(config)).map(|(_, loaded)| loaded.config).map_err(Ended::Said)
}

fn list_them(config: &Path, json: bool) -> Result<ExitCode, Ended> {
    let (list, now) = (list::list(&read(config)?), Clock::start().now());
    say(&if json { list::as_json(&list, now) } else { list::as_text(&list, now) });
    let all_good = list.iter().all(|listed| list::fault(listed, now).is_none());
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The names to certify, the folder, and how the configuration names that folder.
struct Aim {
    names: Vec<String>,
    folder: PathBuf,
    as_configured: PathBuf,
}

impl Target {
    fn aim(&self) -> Result<Aim, Ended> {
        let mut names = self.name.clone();
        let mut beside = PathBuf::new();
        if let Some(path) = &self.config {
            let config = read(path)?;
            let server = choose(&config, self.server.as_deref())?;
            if names.is_empty() {
                names.push(server.delivery.fqdn.to_string());
            }
            beside = ConfigFile::new(path).path().parent().map(Path::to_owned).unwrap_or_default();
        }
        let (folder, as_configured) = match &self.folder {
            Some(folder) => (folder.clone(), std::path::absolute(folder).unwrap_or_else(|_| folder.clone())),
            None => (beside.join("tls"), PathBuf::from("tls")),
        };
        Ok(Aim { names, folder, as_configured })
    }
}

fn choose<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c VirtualServer, Ended> {
    let known = || config.servers.iter().map(|server| format!("\"{}\"", server.name)).collect::<Vec<_>>().join(", ");
    match (name, &config.servers[..]) {
        (None, [server]) => Ok(server),
        (None, _) => {
            Err(Ended::Words(format!("There are several virtual servers; say --server with one of {}.", known())))
        }
        (Some(name), servers) => match servers.iter().find(|server| *server.name == *name) {
            Some(server) => Ok(server),
            None => Err(Ended::Words(format!("There is no virtual server \"{name}\"; there are {}.", known()))),
        },
    }
}

/// A file name out of a certified name: a wildcard's asterisk has no business there.
fn stem(name: &str) -> String {
    name.replace('*', "_").replace(['/', ':'], "-")
}

fn self_signed(target: &Target, days: u16) -> Result<ExitCode, Ended> {
    let aim = target.aim()?;
    let made = make::self_signed(&aim.names, days, Clock::start().now())?;
    let name = stem(&aim.names[0]);
    let (certificate, key) = (aim.folder.join(format!("{name}.pem")), aim.folder.join(format!("{name}.key")));
    place::refuse_existing(&[&certificate, &key], target.force)?;
    place::private_folder(&aim.folder)?;
    place::write(&key, made.key.as_bytes(), Readers::Owner)?;
    place::write(&certificate, made.text.as_bytes(), Readers::Everybody)?;
    say(&format!(
        "A certificate for {} that holds for {days} days:\n  {}\n  {}\n\nTo use it, write under [virtual_server.access]:\n\n{}\n",
        aim.names.join(", "),
        certificate.display(),
        key.display(),
        line(&aim.as_configured, &name)
    ));
    Ok(ExitCode::SUCCESS)
}

/// What puts a pair to use.
fn line(folder: &Path, name: &str) -> String {
    let quoted = |extension: &str| toml_string(&folder.join(format!("{name}.{extension}")).display().to_string());
    format!("certificate = {{ file = {}, key = {} }}\n", quoted("pem"), quoted("key"))
}

fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn request(target: &Target, key: Option<&Path>) -> Result<ExitCode, Ended> {
    let aim = target.aim()?;
    let given = key.map(read_secret).transpose()?.map(|text| String::from_utf8_lossy(&text).into_owned());
    let made = make::request(&aim.names, given.as_deref())?;
    let name = stem(&aim.names[0]);
    let (csr, new_key) = (aim.folder.join(format!("{name}.csr")), aim.folder.join(format!("{name}.key")));
    let mut written = vec![csr.as_path()];
    if given.is_none() {
        written.push(&new_key);
    }
    place::refuse_existing(&written, target.force)?;
    place::private_folder(&aim.folder)?;
    if given.is_none() {
        place::write(&new_key, made.key.as_bytes(), Readers::Owner)?;
    }
    place::write(&csr, made.text.as_bytes(), Readers::Everybody)?;
    let files: String = written.iter().map(|file| format!("  {}\n", file.display())).collect();
    say(&format!(
        "A request for {}:\n{files}\nGive {name}.csr to your authority. Put what it answers, with the certificates between it and the \
         root, into {name}.pem beside it, and write under [virtual_server.access]:\n\n{}\n",
        aim.names.join(", "),
        line(&aim.as_configured, &name)
    ));
    Ok(ExitCode::SUCCESS)
}

fn bring_in(
    pfx: &Path,
    password_file: Option<&Path>,
    folder: &Path,
    check: bool,
    force: bool,
) -> Result<ExitCode, Ended> {
    let imported = import::import(pfx, password_file)?;
    let of = &imported.particulars;
    let left = of.days_left(Clock::start().now());
    say(&format!(
        "{}: {} certificates and a key\n  names     {}\n  issued by {}\n  expires   {} ({left} days left)\n  key       {}\n",
        pfx.display(),
        imported.certificates,
        of.names.join(", "),
        of.issuer,
        of.not_after.rfc3339(),
        of.key
    ));
    if check {
        return Ok(if left < 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    let name = of.names.first().map_or_else(|| "imported".to_owned(), |name| stem(name));
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    place::refuse_existing(&[&certificate, &key], force)?;
    place::private_folder(folder)?;
    place::write(&key, imported.key.as_bytes(), Readers::Owner)?;
    place::write(&certificate, imported.chain.as_bytes(), Readers::Everybody)?;
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    say(&format!("\nTo use it, write under [virtual_server.access]:\n\n{}\n", line(&folder, &name)));
    Ok(ExitCode::SUCCESS)
}

fn binding(id: Option<&str>, file: Option<&Path>) -> Result<Option<Binding>, Ended> {
    let (Some(id), Some(file)) = (id, file) else { return Ok(None) };
    let key = read_secret(file)?;
    Ok(Some(Binding::parse(id, &String::from_utf8_lossy(&key))?))
}

fn obtain(config: &Path, server: Option<&str>, force: bool, binding: Option<&Binding>) -> Result<ExitCode, Ended> {
    let config = read(config)?;
    let servers: Vec<&VirtualServer> = match server {
        Some(_) => vec![choose(&config, server)?],
        None => config.servers.iter().map(|server| &**server).collect(),
    };
    let mut wanted: Vec<&Acme> = Vec::new();
    for source in servers.iter().flat_map(|server| &server.access.certificates) {
        if let CertificateSource::Acme(acme) = source
            && !wanted.contains(&acme)
        {
            wanted.push(acme);
        }
    }
    if wanted.is_empty() {
        return Err(Ended::Words(
            "No certificate of this configuration comes by ACME; write under [virtual_server.access]: \
             certificate = { acme = [\"mx.example.com\"], agree_to_terms = true }"
                .to_owned(),
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut code = ExitCode::SUCCESS;
    for acme in wanted {
        if let Err(words) = runtime.block_on(obtain_one(acme, &config.state, force, binding)) {
            complain(&format!("{words}\n"));
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

async fn obtain_one(acme: &Acme, state: &Path, force: bool, binding: Option<&Binding>) -> Result<(), String> {
    let names = acme.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let file = acme_file(state, &CertificateSource::Acme(acme.clone()));
    let now = Clock::start().now();
    if let Some(there) = particulars(&file).filter(|there| !force && !acme::is_due(there, acme, now)) {
        let (end, left) = (there.not_after.rfc3339(), there.days_left(now));
        say(&format!(
            "{names}: good until {end} ({left} days left); nothing to do. To obtain a new one all the same: --force\n"
        ));
        return Ok(());
    }
    say(&format!("{names}: asking {} …\n", acme.directory));
    let file = acme::obtain(acme, state, binding).await.map_err(|fault| format!("{names}: {fault}"))?;
    let end = particulars(&file).map(|there| there.not_after.rfc3339()).unwrap_or_default();
    say(&format!(
        "{names}: obtained, good until {end}\n  {}\nA running service that shows it takes it over by itself; otherwise start or reload it now.\n",
        file.display()
    ));
    Ok(())
}

fn particulars(file: &Path) -> Option<Particulars> {
    let chain = crate::tls::load::from_pem(file, file).ok()?;
    Particulars::read(chain.certificates.first()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_harmless_files_and_lines_that_toml_reads() {
        assert_eq!(stem("*.example.com"), "_.example.com");
        assert_eq!(stem("../../etc/passwd"), "..-..-etc-passwd");
        assert_eq!(
            line(Path::new("tls"), "mx.example.com"),
            "certificate = { file = \"tls/mx.example.com.pem\", key = \"tls/mx.example.com.key\" }\n"
        );
        assert_eq!(toml_string("a\"b\\c"), "\"a\\\"b\\\\c\"");
    }
}
