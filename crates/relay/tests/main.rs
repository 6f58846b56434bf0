//! Tests of whole decisions: files and scripts in, verdicts out. One binary, because each costs build time.

mod config;
mod folders;
mod gate;
mod route;
mod script;
