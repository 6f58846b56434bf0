//! The four recipes of docs/recipes, as an administrator would use them.

mod with_clients;
