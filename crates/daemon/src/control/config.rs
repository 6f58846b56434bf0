//! Changes to the configuration: edited, checked as a whole, written whole or not at all, taken into force; its versions.
//!
//! A file that was edited by hand meanwhile is never overwritten: the change is refused until the hand-made one is in force
//! (`mailroot config reload`) or undone. The version before lies in `history` below the state folder, with who made the next one and how.

use super::{Fault, FileProblem};
use crate::beside;
use crate::service::{Carried, ConfigFile, Loaded, Servers, Starts, Unusable};
use relay::admin::settings::{SpotTable, spot};
use relay::admin::view::{Outcome, VersionView};
use relay::admin::{Command, edit};
use smtp::time::Timestamp;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Versions that are kept; older ones are forgotten.
pub const HISTORY_MAX: usize = 100;

/// A change that was made.
pub(super) struct Changed {
    /// What is known of it so far.
    pub outcome: Outcome,
    /// What it has begun to start.
    pub starts: Starts,
}

impl Changed {
    fn at_once(outcome: Outcome) -> Changed {
        Changed { outcome, starts: Starts::default() }
    }

    fn carried(carried: Carried, outcome: Outcome) -> Changed {
        let Carried { faults, starts } = carried;
        Changed { outcome: Outcome { troubles: faults.tell(), ..outcome }, starts }
    }

    /// With what came of what was started; not to be waited for in the service's loop.
    pub async fn settled(self) -> Outcome {
        let Changed { mut outcome, starts } = self;
        let (troubles, late) = starts.settled().await;
        outcome.troubles.extend(troubles);
        late.iter().for_each(|name| outcome.text.push_str(&format!("; '{name}' is still starting")));
        outcome
    }
}

/// Carries out a command that changes the configuration.
pub(super) async fn change(
    servers: &mut Servers,
    file: &ConfigFile,
    command: &Command,
    by: &str,
    dry_run: bool,
) -> Result<Changed, Fault> {
    let on_disk = file.text().map_err(refused)?;
    let in_force = servers.source().unwrap_or_default().to_owned();
    if *command == Command::ConfigReload {
        return reload(servers, file, &in_force, &on_disk, by, dry_run).await;
    }
    if on_disk != in_force {
        return Err(Fault::Conflict(format!(
            "{} was edited by hand and is not in force yet. Take it into force (mailroot config reload) or undo it, then try again",
            file.path().display()
        )));
    }
    let versions = servers.versions();
    let (after, what) = edited(&on_disk, command, &versions)?;
    let loaded = file.check(&after).map_err(refused)?;
    let restarts = servers.restarts(&loaded.config);
    let diff = edit::diff(&on_disk, &after);
    if dry_run || diff.is_empty() {
        let text = if diff.is_empty() { "nothing changes" } else { "this would change" };
        return Ok(Changed::at_once(Outcome { text: text.into(), diff, restarts, ..Outcome::default() }));
    }
    if let Command::ServerNew { new } = command
        && new.recipe.is_some()
        && let Some(server) = loaded.config.servers.iter().find(|server| *server.name == *new.name)
    {
        beside::make(server).map_err(Fault::Unavailable)?;
    }
    let now = servers.clock().now();
    let kept = versions.keep(&on_disk, &after, now, by, &what);
    let version = kept.map_err(|error| cannot_write(versions.folder(), &error))?;
    write_whole(file.path(), &after).map_err(|error| cannot_write(file.path(), &error))?;
    let carried = servers.take_over(&loaded).await;
    let outcome = Outcome { text: what, diff, restarts, version: Some(version), ..Outcome::default() };
    Ok(Changed::carried(carried, outcome))
}

async fn reload(
    servers: &mut Servers,
    file: &ConfigFile,
    in_force: &str,
    on_disk: &str,
    by: &str,
    dry_run: bool,
) -> Result<Changed, Fault> {
    let loaded: Loaded = file.check(on_disk).map_err(refused)?;
    let (diff, restarts) = (edit::diff(in_force, on_disk), servers.restarts(&loaded.config));
    if dry_run {
        let text = "this would change".into();
        return Ok(Changed::at_once(Outcome { text, diff, restarts, ..Outcome::default() }));
    }
    let versions = servers.versions();
    let what = "the file as it was edited by hand";
    let kept = versions.keep(in_force, on_disk, servers.clock().now(), by, what);
    let version = kept.map_err(|error| cannot_write(versions.folder(), &error))?;
    let carried = servers.take_over(&loaded).await;
    let text = "the file as it stands is in force".into();
    let outcome = Outcome { text, diff, restarts, version: Some(version), ..Outcome::default() };
    Ok(Changed::carried(carried, outcome))
}

/// The text after the command, and what was done in a sentence.
fn edited(text: &str, command: &Command, versions: &Versions) -> Result<(String, String), Fault> {
    let names = |changes: &[relay::admin::Change]| {
        changes.iter().map(|change| change.setting.as_str()).collect::<Vec<_>>().join(", ")
    };
    Ok(match command {
        Command::Set { server, changes } => {
            let whose = server.as_deref().map(|name| format!(" of '{name}'")).unwrap_or_default();
            (edit::set(text, server.as_deref(), changes)?, format!("{}{whose}", names(changes)))
        }
        Command::ServerNew { new } => (edit::add_server(text, new)?, format!("new virtual server '{}'", new.name)),
        Command::ServerRename { server, name } => {
            (edit::rename_server(text, server, name)?, format!("virtual server '{server}' is '{name}' now"))
        }
        Command::ServerDelete { server } => {
            (edit::remove_server(text, server)?, format!("virtual server '{server}' is taken out; its folders stay"))
        }
        Command::DomainAdd { server, new } => {
            (edit::add_domain(text, server, new)?, format!("new domain {} of '{server}'", new.name))
        }
        Command::DomainSet { server, domain, changes } => (
            edit::set_domain(text, server, domain, changes)?,
            format!("{} of the domain {domain} of '{server}'", names(changes)),
        ),
        Command::DomainRename { server, domain, name } => (
            edit::rename_domain(text, server, domain, name)?,
            format!("the domain {domain} of '{server}' is {name} now"),
        ),
        Command::DomainRemove { server, domain } => {
            (edit::remove_domain(text, server, domain)?, format!("the domain {domain} of '{server}' is removed"))
        }
        Command::SmartHostSet { smart_host, changes } => (
            edit::set_smart_host(text, smart_host, changes)?,
            format!("{} of the smart host {smart_host}", names(changes)),
        ),
        Command::SmartHostRemove { smart_host } => {
            (edit::remove_smart_host(text, smart_host)?, format!("the smart host {smart_host} is removed"))
        }
        Command::ConfigRollback { version } => {
            let old = versions.text(*version).map_err(|_| Fault::NotFound(format!("version {version}")))?;
            (old, format!("back to version {version}"))
        }
        _ => return Err(Fault::invalid("this command does not change the configuration")),
    })
}

fn refused(unusable: Unusable) -> Fault {
    match unusable {
        Unusable::Unread(text) => Fault::Unavailable(text),
        Unusable::Faulty { source, problems } => {
            let text = problems.first().map_or_else(String::new, |first| first.text.to_string());
            let problems = problems.iter().map(|problem| file_problem(&source, problem)).collect();
            Fault::Invalid { text: format!("the configuration would not be sound: {text}"), problems }
        }
    }
}

/// With the setting that it is about, so that it can be told beside its field.
fn file_problem(source: &str, problem: &relay::config::Problem) -> FileProblem {
    let hint = if problem.hint.is_empty() { String::new() } else { format!(": {}", problem.hint) };
    let spot = spot(source, problem.span.start);
    FileProblem {
        line: problem.line as u64,
        text: format!("{}{hint}", problem.text),
        setting: spot.as_ref().map(|spot| spot.setting.clone()).filter(|setting| !setting.is_empty()),
        table: spot.map(|spot| match spot.table {
            SpotTable::Top => "the service".into(),
            SpotTable::Server(server) => server,
            SpotTable::Domain(server, domain) => format!("{domain} of {server}"),
            SpotTable::SmartHost(host) => format!("smart host {host}"),
        }),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Fault {
    Fault::Unavailable(format!("{} cannot be written: {error}; nothing was changed", path.display()))
}

/// Replaces a file by a whole one, with the rights and the owner of the old.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    // A link stays a link: what it points to is replaced.
    let path = fs::canonicalize(path)?;
    let old = fs::metadata(&path)?;
    let new = path.with_extension("toml.new");
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
    // Without the right to it the file is ours from now on.
    let _ = std::os::unix::fs::chown(&new, Some(old.uid()), Some(old.gid()));
    file.sync_all()?;
    fs::rename(&new, &path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The versions of the configuration, in files `NNNNNN.toml` with a first line that tells of them.
#[derive(Clone, Debug)]
pub struct Versions {
    folder: PathBuf,
}

impl Versions {
    /// In this state folder.
    #[must_use]
    pub fn at(state: &Path) -> Versions {
        Versions { folder: state.join("history") }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps what is in force as a version, if it is not the newest already, and what follows it; the number of that.
    pub(super) fn keep(&self, before: &str, after: &str, now: Timestamp, who: &str, what: &str) -> io::Result<u64> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let mut numbers = self.numbers()?;
        let newest = numbers.last().copied();
        let known = newest.and_then(|number| self.text(number).ok());
        let mut next = newest.unwrap_or(0) + 1;
        if known.as_deref() != Some(before) {
            self.write(next, before, now, "", "as it was before")?;
            numbers.push(next);
            next += 1;
        }
        self.write(next, after, now, who, what)?;
        numbers.push(next);
        let surplus = numbers.len().saturating_sub(HISTORY_MAX);
        for old in &numbers[..surplus] {
            fs::remove_file(self.path(*old))?;
        }
        Ok(next)
    }

    /// The text of a version.
    pub(super) fn text(&self, version: u64) -> io::Result<String> {
        let file = fs::read_to_string(self.path(version))?;
        Ok(file.split_once('\n').map(|(_, text)| text.to_owned()).unwrap_or_default())
    }

    /// All versions, newest first.
    pub(super) fn list(&self) -> io::Result<Vec<VersionView>> {
        let numbers = match self.numbers() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            numbers => numbers?,
        };
        let newest = numbers.last().copied();
        let view = |number: &u64| {
            let file = fs::read_to_string(self.path(*number)).ok()?;
            let head: Head = serde_json::from_str(file.lines().next()?.strip_prefix("# ")?).ok()?;
            let current = Some(*number) == newest;
            Some(VersionView { version: *number, at: head.at, who: head.who, what: head.what, current })
        };
        Ok(numbers.iter().rev().filter_map(view).collect())
    }

    fn path(&self, version: u64) -> PathBuf {
        self.folder.join(format!("{version:06}.toml"))
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers: Vec<u64> = fs::read_dir(&self.folder)?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".toml")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn write(&self, version: u64, text: &str, now: Timestamp, who: &str, what: &str) -> io::Result<()> {
        let head = Head { at: now.rfc3339(), who: who.into(), what: what.into() };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path(version))?;
        file.write_all(format!("# {}\n{text}", serde_json::to_string(&head)?).as_bytes())?;
        file.sync_all()
    }
}

/// The first line of a version.
#[derive(serde::Serialize, serde::Deserialize)]
struct Head {
    at: String,
    who: String,
    what: String,
}
