//! Why authentication cannot work as the operator wants it, and the command that mends it.

use super::IssuerFault;
use relay::account::Fault;
use std::fmt;
use std::io;
use std::path::PathBuf;

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
    /// The system gives no random numbers.
    Chance,
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
                "GSSAPI is among the methods, and this program knows no Kerberos. Take it out of access.authentication.methods",
            ),
            AuthFault::Chance => f.write_str("the system gives no random numbers"),
        }
    }
}

impl std::error::Error for AuthFault {}
