//! Recipes: whole configurations for the usual relays, to start from. They are files of the manual (docs/recipes), and stand in the
//! program as they are there.

use crate::config::quoted;

/// The domain in the recipes.
pub const EXAMPLE: &str = "example.com";

/// For which relay.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Recipe {
    /// From the internet to your own domains, handed over to the mail server inside.
    InboundDmz,
    /// From your servers, and whoever authenticates, to the internet or a smart host.
    Outbound,
    /// From people with an account, under TLS: ports 587 and 465.
    Submission,
    /// From printers, scanners and scripts by address, from all others with an account.
    Application,
}

impl Recipe {
    /// In the order of the manual.
    pub const ALL: [Recipe; 4] = [Recipe::InboundDmz, Recipe::Outbound, Recipe::Submission, Recipe::Application];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Recipe::InboundDmz => "inbound-dmz",
            Recipe::Outbound => "outbound",
            Recipe::Submission => "submission",
            Recipe::Application => "application",
        }
    }

    /// What it is for, in a sentence.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Recipe::InboundDmz => "From the internet to your own domains, handed over to the mail server inside.",
            Recipe::Outbound => "From your servers, and whoever authenticates, to the internet or a smart host.",
            Recipe::Submission => "From people with an account, under TLS: ports 587 and 465.",
            Recipe::Application => "From printers, scanners and scripts by address, from all others with an account.",
        }
    }

    /// The recipe of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Recipe> {
        Recipe::ALL.into_iter().find(|recipe| recipe.name() == name)
    }

    /// As the manual has it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Recipe::InboundDmz => include_str!("../../../../docs/recipes/inbound-dmz.toml"),
            Recipe::Outbound => include_str!("../../../../docs/recipes/outbound.toml"),
            Recipe::Submission => include_str!("../../../../docs/recipes/submission.toml"),
            Recipe::Application => include_str!("../../../../docs/recipes/application.toml"),
        }
    }

    /// The same for one's own domain, whatever its name is made of.
    #[must_use]
    pub fn own(self, domain: &str) -> String {
        let escaped = quoted(domain);
        self.text().replace(EXAMPLE, escaped.get(1..escaped.len() - 1).unwrap_or_default())
    }
}
