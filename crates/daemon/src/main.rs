//! The program `mailroot`.
fn main() {}
