//! What can be wrong with certificates and keys, in words that say what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a certificate cannot be used. Its text names the file and what mends it, and never a secret.
#[derive(Debug)]
pub enum TlsFault {
    /// A file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A private key, or a password, that others on this machine may read.
    Exposed {
        /// The file.
        file: PathBuf,
    },
    /// A file has not in it what it should.
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong, and what to do.
        words: String,
    },
    /// The certificate is for another key.
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// No certificate was given where one is needed.
    Missing {
        /// What to do.
        words: String,
    },
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFault::Unreadable { file, error } if error.kind() == io::ErrorKind::PermissionDenied => {
                write!(
                    f,
                    "{} may not be read by this account; give it to the one that runs the service (chown)",
                    file.display()
                )
            }
            TlsFault::Unreadable { file, error } => write!(f, "{} cannot be read: {error}", file.display()),
            TlsFault::Exposed { file } => {
                let file = file.display();
                write!(f, "{file} is secret, but others on this machine may read it; mend it with: chmod 600 {file}")
            }
            TlsFault::Malformed { file, words } => write!(f, "{}: {words}", file.display()),
            TlsFault::Mismatch { certificate, key } => {
                let (certificate, key) = (certificate.display(), key.display());
                write!(
                    f,
                    "the key {key} does not belong to the certificate {certificate}; give the key with which it was requested"
                )
            }
            TlsFault::Missing { words } => f.write_str(words),
        }
    }
}

impl std::error::Error for TlsFault {}
