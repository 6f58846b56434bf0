//! The wizard for a new virtual server.

use crate::form::{Fields, FormFault};
use crate::layout::Frame;
use crate::{Page, path, written};
use askama::Template;
use relay::admin::recipe::Recipe;
use relay::admin::settings;
use relay::admin::{Command, NewServer};

/// The page: first the recipe, then the questions.
#[derive(Template)]
#[template(path = "desk/new_server.html")]
pub struct NewServerPage {
    /// What stands around it.
    pub frame: Frame,
    /// What was typed.
    pub form: Fields,
    /// What is wrong with it: the field, and why.
    pub wrong: Vec<(String, String)>,
}

impl Page for NewServerPage {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl NewServerPage {
    fn recipes(&self) -> [Recipe; 4] {
        Recipe::ALL
    }

    /// Was a recipe, or none, chosen?
    fn is_chosen(&self) -> bool {
        self.form.0.iter().any(|(name, _)| name == "recipe")
    }

    fn recipe(&self) -> &str {
        self.form.get("recipe").unwrap_or_default()
    }

    /// What stands in a field: what was typed, or what the recipe proposes.
    fn text(&self, field: &str) -> String {
        if let Some(typed) = self.form.get(field) {
            return typed.to_owned();
        }
        let recipe = Recipe::named(self.recipe());
        let proposed = |setting: &str| recipe.and_then(|recipe| proposal(recipe, setting));
        match field {
            "listen" => proposed("general.listen").unwrap_or_else(|| "0.0.0.0:25".into()),
            "home" => match self.frame.servers.len() {
                0 => "mailroot".into(),
                number => format!("mailroot{}", number + 1),
            },
            "name" => proposed("name").unwrap_or_default(),
            _ => String::new(),
        }
    }

    fn faults(&self, field: &str) -> Vec<&str> {
        self.wrong.iter().filter(|(of, _)| of == field).map(|(_, text)| text.as_str()).collect()
    }
}

/// What a recipe says, as one types it.
fn proposal(recipe: Recipe, setting: &str) -> Option<String> {
    let text = recipe.text();
    let views = settings::of_server(text, &settings::first_server(text)?).ok()?;
    views.into_iter().find(|view| view.name == setting).map(|view| view.text)
}

/// The wizard's answers as a command.
///
/// # Errors
/// One is missing.
pub fn new_server(form: &Fields) -> Result<Command, (String, FormFault)> {
    let need = |field: &str, label: &str| {
        form.need(field, label).map(str::to_owned).map_err(|fault| (field.to_owned(), fault))
    };
    let listen = form.get("listen").unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty());
    let new = NewServer {
        name: need("name", "Its name")?,
        listen: listen.map(str::to_owned).collect(),
        home: need("home", "Its home folder")?,
        default_domain: need("default_domain", "Its default domain")?,
        recipe: form.get("recipe").map(str::to_owned),
    };
    Ok(Command::ServerNew { new })
}
