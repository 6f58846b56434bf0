//! Whose domain is it: the default one, an alias, a remote domain, or foreign?
//!
//! The longest match counts, and a name written whole goes before any pattern: of `branch.example.com`,
//! `*.branch.example.com` and `*.example.com`, the mailbox `x@a.branch.example.com` belongs to the second. `*.example.com` does
//! not match `example.com` itself.
//!
//! IIS: SMTP domains, local (default, alias) and remote.

use crate::config::{DomainPattern, RemoteDomain, VirtualServer};
use smtp::address::Domain;
use std::sync::Arc;

/// What a domain is to a virtual server.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Place<'a> {
    /// The default domain.
    Default,
    /// An alias of it, and as what it is written.
    Alias(&'a DomainPattern),
    /// A remote domain with settings of its own.
    Remote(&'a Arc<RemoteDomain>),
    /// None of ours.
    Foreign,
}

impl Place<'_> {
    /// Mail for it ends here: in Drop, or at the server that the default domain's route names.
    #[must_use]
    pub fn is_local(self) -> bool {
        matches!(self, Place::Default | Place::Alias(_))
    }
}

impl VirtualServer {
    /// Places a domain: the longest match among the default domain, the aliases and the remote domains.
    #[must_use]
    pub fn place(&self, domain: &Domain) -> Place<'_> {
        if *domain == self.default_domain.name {
            return Place::Default;
        }
        let aliases = self.aliases.iter().map(|pattern| (pattern, Place::Alias(pattern)));
        let remotes = self.remotes.iter().map(|remote| (&remote.pattern, Place::Remote(remote)));
        aliases
            .chain(remotes)
            .filter(|(pattern, _)| pattern.matches(domain))
            // A name written whole is longer than any pattern that matches it.
            .max_by_key(|(pattern, _)| pattern.name.as_str().len())
            .map_or(Place::Foreign, |(_, place)| place)
    }
}

impl DomainPattern {
    /// Does the pattern match this name?
    #[must_use]
    pub fn matches(&self, domain: &Domain) -> bool {
        if self.below { domain.is_below(&self.name) } else { *domain == self.name }
    }
}
