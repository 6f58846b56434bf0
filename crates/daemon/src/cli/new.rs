//! `mailroot new`: a whole configuration for one of the usual relays, ready to be changed.
//!
//! The recipes are files of the manual (docs/recipes), and stand in the program as they are there. Beside the
//! configuration it puts what that needs to be started at once: a self-signed certificate, and an accounts file without
//! accounts. Writes into places that are empty and replaces nothing.

use super::{complain, say};
use crate::beside;
use crate::certificate::place::{self, Readers};
use crate::service::ConfigFile;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use relay::admin::recipe::{EXAMPLE, Recipe};
use smtp::address::Domain;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args, Debug)]
pub(super) struct Wanted {
    /// For which relay
    #[arg(long, value_enum, value_name = "NAME")]
    recipe: Named,
    /// Where to write it; created if it is missing
    #[arg(long, value_name = "DIR", default_value = "mailroot")]
    folder: PathBuf,
    /// Your domain
    #[arg(long, value_name = "NAME", default_value = EXAMPLE, value_parser = super::explain::domain)]
    domain: Domain,
}

/// A recipe on the command line.
#[derive(Copy, Clone, Debug)]
struct Named(Recipe);

impl ValueEnum for Named {
    fn value_variants<'a>() -> &'a [Named] {
        const ALL: [Named; 4] = {
            let [a, b, c, d] = Recipe::ALL;
            [Named(a), Named(b), Named(c), Named(d)]
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()).help(self.0.purpose().trim_end_matches('.')))
    }
}

pub(super) fn run(wanted: &Wanted) -> ExitCode {
    match write(wanted) {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(why) => {
            complain(&format!("{}\n", why.trim_end()));
            ExitCode::FAILURE
        }
    }
}

/// Writes everything; what to do with it.
fn write(wanted: &Wanted) -> Result<String, String> {
    let file = ConfigFile::new(&wanted.folder.join("mailroot.toml"));
    let path = file.path();
    if path.exists() {
        return Err(format!("{} is there already; name another folder: --folder DIR", path.display()));
    }
    fs::create_dir_all(&wanted.folder)
        .map_err(|error| format!("{} cannot be made: {error}", wanted.folder.display()))?;
    let text = wanted.recipe.0.own(wanted.domain.as_str());
    let loaded = file.check(&text).map_err(|unusable| unusable.render())?;
    let mut told = format!("{}\n", path.display());
    for server in &loaded.config.servers {
        for written in beside::make(server)? {
            told.push_str(&format!("{}\n", written.display()));
        }
    }
    // Last: while it is missing, the same command goes on where it stopped.
    place::write(path, text.as_bytes(), Readers::Everybody).map_err(|fault| fault.to_string())?;
    for server in &loaded.config.servers {
        told.push_str(&format!("\n{}\n", server.name));
        server.describe().iter().for_each(|line| told.push_str(&format!("  {line}\n")));
    }
    let needs_accounts = loaded.config.servers.iter().any(|server| server.access.authentication.needs_accounts());
    told.push_str(&next(path, needs_accounts));
    Ok(told)
}

fn next(path: &Path, needs_accounts: bool) -> String {
    let path = path.display();
    let account = if needs_accounts { format!("  mailroot account add --config {path} NAME\n") } else { String::new() };
    format!(
        "\nChange the addresses in it, and then:\n{account}  mailroot check --config {path}\n  \
         mailroot explain --config {path} --from ADDRESS --sender SENDER --rcpt RECIPIENT\n  \
         mailroot serve --config {path}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay::config::CertificateSource;
    use std::os::unix::fs::PermissionsExt;

    /// Each recipe is a file that passes the check, for the reader's own domain too, and its secrets are for the owner's
    /// eyes only.
    #[test]
    fn every_recipe_is_written_whole_and_once() {
        let folder = tempfile::TempDir::new().unwrap();
        for recipe in Named::value_variants() {
            let place = folder.path().join(recipe.0.name());
            let domain = Domain::parse("firm.test").unwrap();
            let wanted = Wanted { recipe: *recipe, folder: place.clone(), domain };
            let told = write(&wanted).unwrap();
            assert!(told.contains("mailroot check --config"), "{told}");
            let text = fs::read_to_string(place.join("mailroot.toml")).unwrap();
            assert!(!text.contains(EXAMPLE) && text.contains("firm.test"), "{text}");
            let loaded = ConfigFile::new(&place.join("mailroot.toml")).load().unwrap();
            let server = &loaded.config.servers[0];
            let CertificateSource::Pem { file, key } = &server.access.certificates[0] else { panic!("{told}") };
            assert!(file.exists() && told.contains("firm.test.pem"), "{told}");
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(key), 0o600);
            assert_eq!(server.access.accounts.exists(), server.access.authentication.needs_accounts(), "{told}");
            if server.access.authentication.needs_accounts() {
                assert_eq!(mode(&server.access.accounts), 0o600);
                assert!(told.contains("mailroot account add"), "{told}");
            }
            assert!(!told.contains("note: "), "{told}");
            let again = write(&wanted).unwrap_err();
            assert!(again.contains("is there already"), "{again}");
        }
    }
}
