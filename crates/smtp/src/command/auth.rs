//! AUTH: which method, and perhaps a first response, which nobody may see.
//!
//! RFC 4954 §4.

use super::CommandError;
use crate::sasl::{Mechanism, Secret};
use std::fmt;

/// AUTH, read. Prints and compares without showing its response.
#[derive(Clone)]
pub struct Auth {
    /// The method; `None` if we have no method of that name.
    pub mechanism: Option<Mechanism>,
    /// The first response as it came: base64, or `=` for an empty one.
    pub initial: Option<Secret>,
}

impl Auth {
    pub(super) fn parse(rest: &str) -> Result<Auth, CommandError> {
        let mut words = rest.split(' ').filter(|word| !word.is_empty());
        let name = words.next().ok_or(CommandError::AuthSyntax)?;
        let initial = words.next().map(|word| Secret::new(word.as_bytes().to_vec()));
        match words.next() {
            None => Ok(Auth { mechanism: Mechanism::parse_served(name), initial }),
            Some(_) => Err(CommandError::AuthSyntax),
        }
    }
}

impl PartialEq for Auth {
    fn eq(&self, other: &Auth) -> bool {
        let initial = match (&self.initial, &other.initial) {
            (Some(one), Some(other)) => one.equals(other.reveal()),
            (one, other) => one.is_none() && other.is_none(),
        };
        self.mechanism == other.mechanism && initial
    }
}

impl Eq for Auth {}

impl fmt::Display for Auth {
    /// The command line without its response.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AUTH {}", self.mechanism.map_or("?", Mechanism::name))
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.initial.is_some() { " …" } else { "" };
        write!(f, "Auth({}{more})", self.mechanism.map_or("?", Mechanism::name))
    }
}
