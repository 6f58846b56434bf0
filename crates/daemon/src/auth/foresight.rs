//! What a start would find wrong with authentication, told before: for `mailroot check`.
//!
//! Reads the files that the configuration names, as [`Authenticator::open`](super::Authenticator::open) does. Asks no identity provider, and changes nothing.

use super::accounts_file::read_accounts;
use super::fault::AuthFault;
use super::kerberos::kerberos_faults;
use super::oauth::Issuer;
use relay::account::Accounts;
use relay::config::{Config, VirtualServer};
use relay::gate::Means;
use smtp::sasl::Mechanism;

/// Why a method that is on cannot work, each with its virtual server.
#[must_use]
pub fn faults(config: &Config) -> Vec<(Box<str>, AuthFault)> {
    let mut faults = kerberos_faults(config);
    for server in &config.servers {
        let found = [accounts_fault(server), issuer_fault(server)];
        faults.extend(found.into_iter().flatten().map(|fault| (server.name.clone(), fault)));
    }
    faults
}

fn accounts_fault(server: &VirtualServer) -> Option<AuthFault> {
    let authentication = &server.access.authentication;
    if authentication.methods.is_empty() {
        return None;
    }
    match read_accounts(&server.access.accounts, authentication.default_logon_domain.as_deref()) {
        Err(AuthFault::Missing { .. }) if !authentication.needs_accounts() => None,
        read => read.err(),
    }
}

fn issuer_fault(server: &VirtualServer) -> Option<AuthFault> {
    let authentication = &server.access.authentication;
    let wanted = authentication.oauth.as_ref()?;
    let takes_tokens = authentication.methods.iter().any(|method| method.is_token());
    takes_tokens.then(|| Issuer::look(wanted).err()).flatten().map(AuthFault::Issuer)
}

/// What the methods of this virtual server would have to work with.
#[must_use]
pub fn means(config: &Config, server: &VirtualServer, accounts: &Accounts) -> Means {
    let has = |method: Mechanism| server.access.authentication.methods.contains(&method);
    Means {
        nt_hashes: accounts.have_nt_hashes(),
        tickets: has(Mechanism::Gssapi) && !kerberos_faults(config).iter().any(|(name, _)| *name == server.name),
        tokens: server.access.authentication.oauth.is_some() && issuer_fault(server).is_none(),
    }
}

/// What the operator should know of this virtual server's accounts, though nothing is wrong.
#[must_use]
pub fn notes(config: &Config, server: &VirtualServer) -> Vec<String> {
    let (path, authentication) = (&server.access.accounts, &server.access.authentication);
    let mut users = config.servers.iter().filter(|other| other.access.accounts == *path);
    if users.any(|user| user.access.authentication.methods.contains(&Mechanism::Ntlm)) {
        return Vec::new();
    }
    let Ok(accounts) = read_accounts(path, authentication.default_logon_domain.as_deref()) else { return Vec::new() };
    let mut named = accounts.iter().filter(|account| account.nt_hash.is_some()).map(|account| &account.name);
    let Some(first) = named.next() else { return Vec::new() };
    let have = match named.count() {
        0 => format!("{first} has"),
        more => format!("{first} and {more} other accounts have"),
    };
    let path = path.display();
    vec![format!(
        "note: {have} an NT hash in {path}, which is as good as a password, and NTLM is not on; to be rid of it: mailroot account \
         passwd {first} --accounts {path}"
    )]
}
