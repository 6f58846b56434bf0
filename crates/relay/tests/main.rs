//! Tests of whole decisions: files and scripts in, verdicts out. One binary, because each costs build time.

// A test may panic, and it reads its scripts from disk; the rules are for what is shipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod advice;
mod config;
mod counter;
mod crash;
mod explain;
mod folders;
mod gate;
mod queue;
mod route;
mod script;
