//! Why authentication cannot work as the operator wants it, and the command that mends it.

use super::IssuerFault;
use relay::account::Fault;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a method that is on cannot work.
#[derive(Debug)]
pub enum AuthFault {
    /// There is no accounts file.
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The accounts file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others can read or write the accounts file.
    ReadableByOthers {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The accounts file is wrong.
    Broken {
        /// The file.
        path: PathBuf,
        /// Where, and how.
        faults: Box<[Fault]>,
    },
    /// The issuer of tokens cannot be asked.
    Issuer(IssuerFault),
    /// GSSAPI is on, and this program cannot do it.
    NoKerberos,
    /// GSSAPI is on, and no keytab is named.
    NoKeytab,
    /// The library reads another keytab: that of another virtual server, or of the configuration at the start.
    OtherKeytab {
        /// The one that is wanted.
        path: PathBuf,
    },
    /// The keytab cannot be used.
    Keytab {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: KeytabFault,
    },
    /// The system gives no random numbers.
    Chance,
}

/// Why a keytab cannot be used.
#[derive(Debug)]
pub enum KeytabFault {
    /// It is not there, or may not be read.
    Unreadable(io::Error),
    /// Everybody can read it.
    OpenToAll {
        /// Its mode.
        mode: u32,
    },
    /// It is no keytab.
    Broken,
    /// It has no key of our service.
    NoKey {
        /// Our name.
        host: Box<str>,
        /// Whose keys it has.
        others: Box<[Box<str>]>,
    },
}

impl AuthFault {
    /// Does nobody authenticate by any method? Otherwise only GSSAPI is missing.
    #[must_use]
    pub fn is_total(&self) -> bool {
        !matches!(
            self,
            AuthFault::NoKerberos | AuthFault::NoKeytab | AuthFault::OtherKeytab { .. } | AuthFault::Keytab { .. }
        )
    }
}

impl fmt::Display for AuthFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthFault::Missing { path } => write!(
                f,
                "{0} does not exist. Make the first account: mailroot account add NAME --accounts {0}",
                path.display()
            ),
            AuthFault::Unreadable { path, error } => write!(f, "{} cannot be read: {error}", path.display()),
            AuthFault::ReadableByOthers { path, mode } => write!(
                f,
                "{0} is open to others (mode {mode:04o}), who could guess its passwords. Mend it: chmod 600 {0}",
                path.display()
            ),
            AuthFault::Broken { path, faults } => {
                for (i, fault) in faults.iter().enumerate() {
                    write!(f, "{}{}, {fault}", if i == 0 { "" } else { "\n" }, path.display())?;
                }
                Ok(())
            }
            AuthFault::Issuer(fault) => fault.fmt(f),
            AuthFault::NoKerberos => f.write_str(
                "GSSAPI is among the methods, and this program was built without Kerberos. Build it with the feature `kerberos` \
                 (docs/authentication.md says how), or take GSSAPI out of access.authentication.methods",
            ),
            AuthFault::NoKeytab => f.write_str("GSSAPI is among the methods, and access.authentication.keytab is missing"),
            AuthFault::OtherKeytab { path } => write!(
                f,
                "the keytab {} is not the one that this program reads: all virtual servers share one, and another one needs a \
                 restart",
                path.display()
            ),
            AuthFault::Keytab { path, fault } => {
                write!(f, "the keytab {} ", path.display())?;
                keytab(f, path, fault)
            }
            AuthFault::Chance => f.write_str("the system gives no random numbers"),
        }
    }
}

fn keytab(f: &mut fmt::Formatter<'_>, path: &Path, fault: &KeytabFault) -> fmt::Result {
    match fault {
        KeytabFault::Unreadable(error) => write!(f, "cannot be read: {error}"),
        KeytabFault::OpenToAll { mode } => write!(
            f,
            "is open to everybody (mode {mode:04o}), who could make tickets with it. Mend it: chmod 600 {}",
            path.display()
        ),
        KeytabFault::Broken => f.write_str("is no keytab"),
        KeytabFault::NoKey { host, others } if others.is_empty() => {
            write!(f, "is empty; it needs a key for smtp/{host}")
        }
        KeytabFault::NoKey { host, others } => {
            write!(f, "has no key for smtp/{host} (the name is delivery.fqdn), only for {}", others.join(", "))
        }
    }
}

impl std::error::Error for AuthFault {}
