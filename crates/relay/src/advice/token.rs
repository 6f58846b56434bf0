//! Why an identity provider gives no token, and what to do: its error codes, explained.
//!
//! The most particular row that fits decides: Microsoft's `AADSTS` number, then words of the description, then the error's name
//! in RFC 6749 §5.2 and RFC 8628 §3.5.

/// What helps when there is no token.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Remedy {
    /// Nothing but time: the provider has trouble of its own.
    Wait,
    /// What we were once allowed is over: somebody has to agree again, or bring a new refresh token.
    AgreeAgain,
    /// This, a sentence.
    Mend(&'static str),
}

/// A row of the table of refusals.
#[derive(Copy, Clone, Debug)]
pub struct Refusal {
    /// The error's name; empty for any.
    pub error: &'static str,
    /// What the description must contain; empty for anything. A number of Microsoft's is not taken for the beginning of a longer one.
    pub words: &'static str,
    /// What it means, a sentence.
    pub meaning: &'static str,
    /// What helps.
    pub remedy: Remedy,
}

use Remedy::{AgreeAgain, Mend, Wait};

const fn row(error: &'static str, words: &'static str, meaning: &'static str, remedy: Remedy) -> Refusal {
    Refusal { error, words, meaning, remedy }
}

/// The refusals that are known, the most particular first.
pub static REFUSALS: &[Refusal] = &[
    // Microsoft Entra ID.
    row(
        "",
        "AADSTS7000215",
        "The client secret is wrong.",
        Mend("Put the secret's value, which is shown only once, into the file; its ID is not the secret."),
    ),
    row(
        "",
        "AADSTS7000222",
        "The client secret has expired.",
        Mend("Make a new one at the app registration, under Certificates & secrets, and put its value into the file."),
    ),
    row(
        "",
        "AADSTS700016",
        "There is no such application in this tenant.",
        Mend("Check client_id (the Application ID) and tenant (the Directory ID)."),
    ),
    row("", "AADSTS90002", "There is no such tenant.", Mend("Check tenant: the Directory ID, or one of its domains.")),
    row(
        "",
        "AADSTS900023",
        "What tenant says is neither an ID nor a domain.",
        Mend("Check tenant: the Directory ID, or one of its domains."),
    ),
    row(
        "",
        "AADSTS700027",
        "The certificate is not the application's.",
        Mend("Upload the certificate (without its key) to the app registration, under Certificates & secrets."),
    ),
    row(
        "",
        "AADSTS700024",
        "By its clock our assertion does not hold now.",
        Mend("Set the clock of this machine: it differs from the provider's."),
    ),
    row(
        "",
        "AADSTS7000218",
        "It wants a secret from this application.",
        Mend("Allow public client flows at the app registration, under Authentication, or give client_secret."),
    ),
    row("", "AADSTS7000112", "The application is disabled.", Mend("Enable it again under Enterprise applications.")),
    row(
        "",
        "AADSTS1002012",
        "The scope does not fit this grant.",
        Mend("With a secret or certificate the scope is https://outlook.office365.com/.default."),
    ),
    row(
        "",
        "AADSTS70011",
        "The scope is not known.",
        Mend(
            "Check scope: https://outlook.office365.com/.default with a secret or certificate, else https://outlook.office.com/SMTP.Send offline_access.",
        ),
    ),
    row(
        "",
        "AADSTS65001",
        "Nobody has consented to what the application asks for.",
        Mend("Let an administrator grant consent at the app registration, under API permissions."),
    ),
    row(
        "",
        "AADSTS53003",
        "A Conditional Access policy forbids it.",
        Mend("Let an administrator exempt this application or this machine's address from the policy."),
    ),
    row("", "AADSTS50034", "There is no such account in this tenant.", Mend("Check the account and tenant.")),
    row("", "AADSTS50057", "The account is disabled.", Mend("Enable the account, or use another one.")),
    row(
        "",
        "AADSTS50020",
        "The account belongs to another tenant.",
        Mend("Log in with an account of this tenant, or correct tenant."),
    ),
    row("", "AADSTS50173", "What was granted has been revoked, as the password was changed or reset.", AgreeAgain),
    row("", "AADSTS50078", "The log-in with a second factor is too old.", AgreeAgain),
    row("", "AADSTS50076", "It wants a second factor.", AgreeAgain),
    row("", "AADSTS50079", "The account has to register a second factor.", AgreeAgain),
    row("", "AADSTS700082", "The refresh token has expired, as it was not used for long.", AgreeAgain),
    row("", "AADSTS700084", "The refresh token has expired.", AgreeAgain),
    row("", "AADSTS70043", "The refresh token has expired, by a rule on how long a log-in lasts.", AgreeAgain),
    row("", "AADSTS70008", "The refresh token has expired or was revoked.", AgreeAgain),
    row("", "AADSTS70000", "The refresh token is not good, or for another client.", AgreeAgain),
    row("", "AADSTS90033", "The provider has trouble.", Wait),
    row("", "AADSTS90012", "The provider was too slow.", Wait),
    row("", "AADSTS50196", "The provider was asked too often.", Wait),
    // Google.
    row(
        "unauthorized_client",
        "Client is unauthorized",
        "The service account may not act for this user with this scope.",
        Mend(
            "Let an administrator delegate https://mail.google.com/ to its client ID, under Security, API controls, Domain-wide delegation.",
        ),
    ),
    row(
        "invalid_grant",
        "Invalid email or User ID",
        "There is no such user in this organisation.",
        Mend("Check the account that the service account acts for (user)."),
    ),
    row(
        "invalid_grant",
        "Invalid JWT Signature",
        "The key of the service account is not known any more.",
        Mend("Make a new key for the service account and put its file in the old one's place."),
    ),
    row(
        "invalid_grant",
        "reasonable timeframe",
        "By its clock our assertion does not hold now.",
        Mend("Set the clock of this machine: it differs from the provider's."),
    ),
    row(
        "invalid_grant",
        "account not found",
        "There is no such service account any more.",
        Mend("Make a service account and a key for it anew."),
    ),
    row(
        "admin_policy_enforced",
        "",
        "An administrator forbids it for this organisation.",
        Mend("Let the administrator allow this client, under Security, API controls."),
    ),
    row("deleted_client", "", "The client was deleted.", Mend("Register a new one.")),
    row("disabled_client", "", "The client is disabled.", Mend("Enable it again at the provider.")),
    row("org_internal", "", "The client is for another organisation.", Mend("Use an account of the client's own.")),
    // Every provider.
    row(
        "invalid_client",
        "",
        "It does not know this client, or what proves it (secret, certificate) is wrong.",
        Mend("Check client_id, and the secret or certificate."),
    ),
    row("invalid_grant", "", "What we were granted has expired or was revoked.", AgreeAgain),
    row(
        "unauthorized_client",
        "",
        "This client may not ask in this way.",
        Mend("Allow this grant for the client at the identity provider."),
    ),
    row(
        "unsupported_grant_type",
        "",
        "It does not know this grant.",
        Mend("Choose another grant, or check token_endpoint."),
    ),
    row("invalid_scope", "", "The scope is not known, or not allowed.", Mend("Check scope.")),
    row("access_denied", "", "Somebody said no, or a policy does.", AgreeAgain),
    row("consent_required", "", "Nobody has consented yet.", AgreeAgain),
    row("interaction_required", "", "It wants to see a person.", AgreeAgain),
    row("login_required", "", "It wants to see a person.", AgreeAgain),
    row("expired_token", "", "The code was not entered in time.", AgreeAgain),
    row(
        "invalid_request",
        "",
        "It does not understand the question.",
        Mend("Check token_endpoint, client_id and the grant against what the provider documents."),
    ),
    row("temporarily_unavailable", "", "The provider has trouble.", Wait),
    row("server_error", "", "The provider has trouble.", Wait),
    row("slow_down", "", "The provider was asked too often.", Wait),
];

/// What helps when a provider gives this error with this description; something that stays, if it is not known.
#[must_use]
pub fn token_refusal(error: &str, description: &str) -> Remedy {
    let fits = |row: &&Refusal| (row.error.is_empty() || row.error == error) && says(description, row.words);
    let unknown = Mend("Look at the client's registration at the identity provider.");
    REFUSALS.iter().find(fits).map_or(unknown, |row| row.remedy)
}

/// Do the words occur, and not as the beginning of a longer number?
fn says(description: &str, words: &str) -> bool {
    let is_number = words.ends_with(|c: char| c.is_ascii_digit());
    words.is_empty()
        || description.match_indices(words).any(|(at, _)| {
            let next = description[at + words.len()..].chars().next();
            !(is_number && next.is_some_and(|next| next.is_ascii_digit()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_particular_row_decides() {
        for (error, description, expected) in [
            ("invalid_client", "AADSTS7000215: Invalid client secret provided.", "its ID is not the secret"),
            ("invalid_client", "AADSTS7000222: The provided client secret keys are expired.", "Make a new one"),
            ("invalid_client", "", "Check client_id"),
            ("unauthorized_client", "AADSTS700016: Application with identifier 'x' was not found", "Directory ID"),
            (
                "unauthorized_client",
                "Client is unauthorized to retrieve access tokens using this method",
                "Domain-wide",
            ),
            ("unheard_of", "", "registration"),
            ("", "", "registration"),
        ] {
            match token_refusal(error, description) {
                Mend(words) => assert!(words.contains(expected), "{error} {description}: {words}"),
                other => panic!("{error} {description}: {other:?}"),
            }
        }
        for (error, description) in [
            ("invalid_grant", "AADSTS700082: The refresh token has expired due to inactivity."),
            ("invalid_grant", "AADSTS70008: The provided authorization code or refresh token has expired"),
            ("invalid_grant", "Token has been expired or revoked."),
            ("interaction_required", "AADSTS50076: Due to a configuration change"),
        ] {
            assert_eq!(token_refusal(error, description), AgreeAgain, "{description}");
        }
        assert_eq!(token_refusal("server_error", ""), Wait);
        assert_eq!(token_refusal("invalid_request", "AADSTS90033: A transient error has occurred."), Wait);
    }

    #[test]
    fn a_number_is_not_the_beginning_of_another() {
        assert!(says("AADSTS70008: x", "AADSTS70008") && !says("AADSTS700082: x", "AADSTS70008"));
        assert!(says("AADSTS700082 AADSTS70008", "AADSTS70008") && says("", ""));
    }

    #[test]
    fn every_row_can_be_reached_and_says_something() {
        for (at, row) in REFUSALS.iter().enumerate() {
            assert!(!row.meaning.is_empty() && row.meaning.ends_with('.'), "{row:?}");
            if let Mend(words) = row.remedy {
                assert!(words.ends_with('.'), "{row:?}");
            }
            let error = if row.error.is_empty() { "invalid_client" } else { row.error };
            let decides =
                REFUSALS.iter().position(|r| (r.error.is_empty() || r.error == error) && says(row.words, r.words));
            assert_eq!(decides, Some(at), "{row:?}");
        }
    }
}
