//! Where lots go, and the name under which operators know it.

use crate::config::Terms;
use crate::config::terms::Owner;
use crate::route::{Hosts, NextHop, Protocol};
use std::fmt;
use std::sync::Arc;

/// Where lots go.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// The Drop folder.
    Drop,
    /// Another host.
    Hop(Arc<NextHop>),
}

impl Target {
    /// The terms on which mail goes there; `None`: it is the Drop folder.
    #[must_use]
    pub fn terms(&self) -> Option<&Terms> {
        match self {
            Target::Drop => None,
            Target::Hop(hop) => Some(&hop.terms),
        }
    }

    /// Its name, by which it is suspended and listed.
    #[must_use]
    pub fn name(&self) -> Box<str> {
        self.to_string().into()
    }

    /// Recipients that one transaction may have; more are several lots.
    #[must_use]
    pub fn recipients_max(&self) -> usize {
        let pacing = self.terms().map(|terms| terms.pacing).unwrap_or_default();
        let most = pacing.recipients_per_message.into_iter().chain(pacing.recipients_per_day).min();
        most.map_or(usize::MAX, |most| most.max(1) as usize)
    }
}

impl fmt::Display for Target {
    /// As the log and the queue's listing name a destination: `far.test`, `smart_host:office`, `lmtp:[127.0.0.1]:24`, `drop`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hop = match self {
            Target::Drop => return f.write_str("drop"),
            Target::Hop(hop) => hop,
        };
        if hop.protocol == Protocol::Lmtp {
            f.write_str("lmtp:")?;
        }
        match (&hop.hosts, &hop.terms.owner) {
            (Hosts::Mx { domain, .. }, _) => domain.fmt(f),
            (Hosts::Listed(_), Owner::SmartHost(name)) => write!(f, "smart_host:{name}"),
            (Hosts::Listed(hosts), _) => {
                for (i, host) in hosts.iter().enumerate() {
                    write!(f, "{}{host}", if i == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            (Hosts::Literal { ip, port }, _) => write!(f, "[{ip}]:{port}"),
            (Hosts::Unix(path), _) => path.display().fmt(f),
        }
    }
}
