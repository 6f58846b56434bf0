//! Forms as they come in: fields by name, some of them more than once.

use std::fmt;

/// Fields of a form, in its order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The first of that name, without space around it; none: it is missing or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(field, _)| field == name)?;
        Some(found.1.trim()).filter(|value| !value.is_empty())
    }

    /// All of that name, as they came.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The first of that name.
    ///
    /// # Errors
    /// It is missing or empty.
    pub fn need(&self, name: &str, label: &str) -> Result<&str, FormFault> {
        self.get(name).ok_or_else(|| FormFault(format!("{label} is missing")))
    }
}

/// What is wrong with a form, in a sentence for whoever filled it in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FormFault(pub String);

impl fmt::Display for FormFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FormFault {}
