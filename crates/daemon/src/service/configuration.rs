//! The configuration file: where it lies, read and checked, or why not.

use relay::config::Config;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Problems that one attempt to reload puts into the log; `mailroot check` shows all.
const PROBLEMS_LOGGED: usize = 10;

/// Where the configuration lies.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
}

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// Its text.
    pub source: String,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug)]
pub enum Unusable {
    /// The file cannot be read: a sentence that says what to do.
    Unread(String),
    /// The file has problems.
    Faulty {
        /// Its text.
        source: String,
        /// What is wrong with it.
        problems: Vec<relay::config::Problem>,
    },
}

impl ConfigFile {
    /// The file at `path`; a relative one is taken from where the process is now.
    #[must_use]
    pub fn new(path: &Path) -> ConfigFile {
        ConfigFile { path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()) }
    }

    /// Its path, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// It cannot be read, or has problems.
    pub fn load(&self) -> Result<Loaded, Unusable> {
        self.check(&self.text()?)
    }

    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn text(&self) -> Result<String, Unusable> {
        let path = self.path.display();
        fs::read_to_string(&self.path).map_err(|error| {
            Unusable::Unread(match error.kind() {
                ErrorKind::NotFound => format!(
                    "There is no file {path}. To get one to begin with: mailroot try --folder DIR writes DIR/mailroot.toml."
                ),
                ErrorKind::PermissionDenied => format!(
                    "The file {path} may not be read by this user; give the user who runs mailroot the right to (chgrp, chmod g+r)."
                ),
                ErrorKind::IsADirectory => format!("{path} is a folder; name the file in it."),
                ErrorKind::InvalidData => format!("The file {path} is not text in UTF-8; save it as UTF-8."),
                _ => format!("The file {path} cannot be read: {error}."),
            })
        })
    }

    /// Checks a text as if it stood in the file.
    ///
    /// # Errors
    /// It has problems.
    pub fn check(&self, source: &str) -> Result<Loaded, Unusable> {
        let source = source.to_owned();
        match Config::parse(&source, &self.path.display().to_string(), &host_name()) {
            Ok(config) => Ok(Loaded { config, source }),
            Err(problems) => Err(Unusable::Faulty { source, problems }),
        }
    }
}

impl Unusable {
    /// For a terminal: every problem with its line and a caret, and how many there are.
    #[must_use]
    pub fn render(&self) -> String {
        match self {
            Unusable::Unread(text) => format!("{text}\n"),
            Unusable::Faulty { source, problems } => {
                let mut text: String = problems.iter().map(|problem| problem.render(source)).collect();
                let (n, s) = (problems.len(), if problems.len() == 1 { "" } else { "s" });
                text.push_str(&format!("\n{n} problem{s} found.\n"));
                text
            }
        }
    }

    /// For the log: one line each, and how many were left out.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Unusable::Unread(text) => vec![text.clone()],
            Unusable::Faulty { problems, .. } => {
                let mut lines: Vec<_> = problems.iter().take(PROBLEMS_LOGGED).map(ToString::to_string).collect();
                if let Some(more @ 1..) = problems.len().checked_sub(PROBLEMS_LOGGED) {
                    lines.push(format!("{more} more problems; to see them all: mailroot check --config FILE"));
                }
                lines
            }
        }
    }
}

/// The machine's name, from which `delivery.fqdn` is taken where the configuration does not say.
fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_in_words() {
        let folder = std::env::temp_dir().join(format!("mailroot-configuration-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let told = |path: &Path| ConfigFile::new(path).load().unwrap_err().render();
        let missing = folder.join("mailroot.toml");
        assert!(told(&missing).starts_with(&format!("There is no file {}", missing.display())));
        assert!(told(&folder).contains("is a folder"), "{}", told(&folder));
        fs::write(&missing, b"\xff\xfe").unwrap();
        assert!(told(&missing).contains("UTF-8"));
        fs::write(&missing, "[[virtual_server]]\nnam = 1\n").unwrap();
        let text = told(&missing);
        assert!(text.contains("nam") && text.contains("problem"), "{text}");
        let lines = ConfigFile::new(&missing).load().unwrap_err().lines();
        assert!(!lines.is_empty() && lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn relative_paths_become_absolute() {
        assert!(ConfigFile::new(Path::new("mailroot.toml")).path().is_absolute());
    }
}
