//! The tests of the crate that take more than one module: transcripts, golden files, both machines together.

mod client;
mod report;
