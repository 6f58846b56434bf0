//! The program `mailroot`. Everything it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::cli::main()
}
