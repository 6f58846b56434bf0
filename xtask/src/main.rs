//! House rules as a test (`xtask tidy`) and generated documents.
fn main() {}
