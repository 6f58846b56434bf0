//! The tests of the crate that take more than one module: transcripts, golden files, both machines together.

// A test may panic, and it reads its files from disk; the rules are for what is shipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod client;
mod pair;
mod player;
mod report;
