//! A program that was built without Kerberos: it says so where GSSAPI is on. The other side of [`super::kerberos`], which is
//! compiled with the feature `kerberos`.

use super::Plan;
use super::fault::AuthFault;
use relay::config::Config;
use smtp::sasl::Mechanism;

/// There is none.
#[derive(Debug)]
pub(super) enum Kerberos {}

impl Kerberos {
    pub(super) fn open(_: &Plan) -> Result<Kerberos, AuthFault> {
        Err(AuthFault::NoKerberos)
    }
}

/// The virtual servers that want Kerberos, for the check.
pub(super) fn kerberos_faults(config: &Config) -> Vec<(Box<str>, AuthFault)> {
    let wanting =
        config.servers.iter().filter(|server| server.access.authentication.methods.contains(&Mechanism::Gssapi));
    wanting.map(|server| (server.name.clone(), AuthFault::NoKerberos)).collect()
}

/// Nothing is to be done.
///
/// # Errors
/// None.
pub fn prepare_kerberos(_: &Config) -> Result<(), std::io::Error> {
    Ok(())
}
