//! Why an identity provider gives no token: its error codes and what to do.
//!
//! RFC 6749 §5.2; Microsoft Entra ID's `AADSTS` codes; Google's errors.

/// What to do when a provider has given this error; `None`: nothing, it passes.
#[must_use]
pub fn token_refusal(error: &str, _description: &str) -> Option<&'static str> {
    match error {
        "temporarily_unavailable" | "server_error" | "slow_down" => None,
        _ => Some("Look at the client's registration at the identity provider."),
    }
}
