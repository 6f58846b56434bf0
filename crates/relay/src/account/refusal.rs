//! What a client is told when it does not get in. One reply for a wrong password, an unknown name and a disabled account: a
//! stranger learns nothing about which names there are.
//!
//! RFC 4954 §4, §6.

use smtp::reply::Reply;
use smtp::server::replies;

/// Why a client does not get in, as far as it is told.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The proof does not hold, whatever the reason.
    Wrong,
    /// Too many were wrong before.
    Locked,
    /// We cannot tell at the moment: the provider is down, or too many wait to be checked.
    Unavailable,
    /// The message does not belong to the method.
    Malformed,
    /// The method cannot be used here and now.
    Unusable,
    /// It had got in, and its account was disabled or removed meanwhile.
    Disabled,
}

impl Refusal {
    /// The reply.
    #[must_use]
    pub fn reply(self) -> Reply {
        match self {
            Refusal::Wrong => Reply::new(535, 7, 8, "Authentication failed: check the account name and the password"),
            Refusal::Locked => {
                Reply::new(454, 7, 0, "Too many failed authentications from here; try again in some minutes")
            }
            Refusal::Unavailable => {
                Reply::new(454, 7, 0, "Authentication cannot be checked at the moment; try again in some minutes")
            }
            Refusal::Malformed => Reply::new(501, 5, 2, "The response does not belong to this authentication method"),
            Refusal::Unusable => replies::mechanism_unknown(),
            Refusal::Disabled => Reply::new(535, 7, 13, "This account is disabled; ask your administrator"),
        }
    }
}
