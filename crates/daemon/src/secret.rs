//! Reads a secret from where the configuration says it is: a file, an environment variable, the service manager's credentials.
//!
//! It is read when it is needed, so that a new password holds without a restart. A file that others on this machine may read
//! is refused: what is in it is to be taken for known. No fault shows anything of a secret.

use relay::config::terms::SecretSource;
use smtp::sasl::Secret;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Octets of a file with a secret; tokens can be long.
const SECRET_FILE_MAX: u64 = 64 * 1024;
/// Where systemd tells which folder has the credentials of `LoadCredential=`.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Why a secret is not to be had.
#[derive(Debug)]
pub enum SecretFault {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others on this machine may read the file.
    Exposed {
        /// The file.
        file: PathBuf,
    },
    /// The first line is empty, too long, or no text.
    Unusable {
        /// Where it was read.
        place: Box<str>,
        /// What is wrong.
        why: &'static str,
    },
    /// The service has no such environment variable.
    NoVariable {
        /// Its name.
        name: Box<str>,
    },
    /// The service manager has given no credentials.
    NoCredentials {
        /// Which one was asked for.
        name: Box<str>,
    },
}

impl fmt::Display for SecretFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretFault::Unreadable { file, error } if error.kind() == io::ErrorKind::PermissionDenied => {
                let file = file.display();
                write!(f, "{file} may not be read by this account; give it to the one that runs the service (chown)")
            }
            SecretFault::Unreadable { file, error } => write!(f, "{} cannot be read: {error}", file.display()),
            SecretFault::Exposed { file } => {
                let file = file.display();
                write!(f, "{file} is secret, but others on this machine may read it; mend it with: chmod 600 {file}")
            }
            SecretFault::Unusable { place, why } => write!(f, "{place} {why}; its first line must be the secret"),
            SecretFault::NoVariable { name } => write!(
                f,
                "the service has no environment variable {name}; set it where the service is started (systemd: Environment=), or \
                 name a file"
            ),
            SecretFault::NoCredentials { name } => write!(
                f,
                "the service manager has given no credential {name}; add LoadCredential={name}:/path/of/the/file to the unit, or \
                 name a file"
            ),
        }
    }
}

impl std::error::Error for SecretFault {}

/// The secret as it is now. Touches the disk.
///
/// # Errors
/// It is not to be had.
pub fn read(source: &SecretSource) -> Result<Secret, SecretFault> {
    match source {
        SecretSource::File(file) => first_line(file),
        SecretSource::Credential(name) => match file(source) {
            Some(file) => first_line(&file),
            None => Err(SecretFault::NoCredentials { name: name.clone() }),
        },
        SecretSource::Environment(name) => match std::env::var(&**name) {
            Ok(value) => usable(value.into_bytes(), &format!("the environment variable {name}")),
            Err(std::env::VarError::NotPresent) => Err(SecretFault::NoVariable { name: name.clone() }),
            Err(std::env::VarError::NotUnicode(_)) => Err(SecretFault::Unusable {
                place: format!("the environment variable {name}").into(),
                why: "is not in UTF-8",
            }),
        },
    }
}

/// The file that has the secret in it; `None` for an environment variable, and without credentials.
#[must_use]
pub fn file(source: &SecretSource) -> Option<PathBuf> {
    match source {
        SecretSource::File(file) => Some(file.clone()),
        SecretSource::Credential(name) => std::env::var_os(CREDENTIALS).map(|folder| Path::new(&folder).join(&**name)),
        SecretSource::Environment(_) => None,
    }
}

/// The whole of a file that has a secret in it (a key file).
///
/// # Errors
/// It cannot be read, or others may read it.
pub fn whole(file: &Path) -> Result<Secret, SecretFault> {
    let unreadable = |error| SecretFault::Unreadable { file: file.to_owned(), error };
    // Not to be held up by a pipe that lies there.
    let opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(file).map_err(unreadable)?;
    let metadata = opened.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("it is no file")));
    }
    // The file that was opened, not one that took its name since.
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(SecretFault::Exposed { file: file.to_owned() });
    }
    let mut octets = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0).min(4096)));
    opened.take(SECRET_FILE_MAX + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 > SECRET_FILE_MAX {
        return Err(SecretFault::Unusable { place: file.display().to_string().into(), why: "is too long" });
    }
    Ok(Secret::new(std::mem::take(&mut *octets)))
}

fn first_line(file: &Path) -> Result<Secret, SecretFault> {
    let text = whole(file)?;
    let text = text.reveal();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let line = text.split(|octet| matches!(octet, b'\r' | b'\n')).next().unwrap_or_default();
    usable(line.to_vec(), &file.display().to_string())
}

fn usable(line: Vec<u8>, place: &str) -> Result<Secret, SecretFault> {
    let secret = Secret::new(line);
    let fault = |why| SecretFault::Unusable { place: place.into(), why };
    match secret.text() {
        None => Err(fault("is not in UTF-8")),
        Some("") => Err(fault("is empty")),
        Some(text) if text.chars().any(char::is_control) => Err(fault("has control characters in it")),
        Some(_) => Ok(secret),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(file: &Path, text: &str, mode: u32) -> SecretSource {
        fs::write(file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
        SecretSource::File(file.to_owned())
    }

    #[test]
    fn the_first_line_is_the_secret_however_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        for text in ["s3cret pä$$", "s3cret pä$$\n", "s3cret pä$$\r\nnote\n", "\u{feff}s3cret pä$$\n"] {
            let read = read(&write(&file, text, 0o600)).unwrap();
            assert_eq!(read.text(), Some("s3cret pä$$"), "{text:?}");
        }
        // Debian shares keys by a group.
        assert!(read(&write(&file, "x", 0o640)).is_ok());
    }

    #[test]
    fn what_others_may_read_is_refused_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        for (text, mode, words) in [
            ("hunter2", 0o644, "chmod 600"),
            ("hunter2", 0o602, "chmod 600"),
            ("", 0o600, "is empty"),
            ("\nhunter2", 0o600, "is empty"),
            ("hunter2\x07", 0o600, "control characters"),
        ] {
            let fault = read(&write(&file, text, mode)).unwrap_err();
            assert!(fault.to_string().contains(words), "{fault}");
            assert!(!format!("{fault} {fault:?}").contains("hunter2"), "{fault:?}");
        }
        fs::write(&file, [0xff, 0xfe]).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read(&SecretSource::File(file.clone())).unwrap_err().to_string().contains("UTF-8"));
        fs::write(&file, vec![b'x'; 65 * 1024]).unwrap();
        assert!(read(&SecretSource::File(file.clone())).unwrap_err().to_string().contains("too long"));
        assert!(read(&SecretSource::File(folder.path().to_owned())).unwrap_err().to_string().contains("no file"));
        fs::remove_file(&file).unwrap();
        assert!(read(&SecretSource::File(file)).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn what_is_not_set_is_named() {
        let fault = read(&SecretSource::Environment("MAILROOT_NO_SUCH_SECRET".into())).unwrap_err().to_string();
        assert!(fault.contains("MAILROOT_NO_SUCH_SECRET"), "{fault}");
        assert!(read(&SecretSource::Environment("PATH".into())).is_ok());
        if std::env::var_os(CREDENTIALS).is_none() {
            let fault = read(&SecretSource::Credential("relay-password".into())).unwrap_err().to_string();
            assert!(fault.contains("LoadCredential=relay-password:"), "{fault}");
        }
    }
}
