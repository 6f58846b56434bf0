//! (being written)

use std::process::ExitCode;

/// Runs the program; its exit code.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
