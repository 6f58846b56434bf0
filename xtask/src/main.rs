//! House rules as a test: `cargo run -p xtask -- tidy` says what is out of order and where.
//!
//! The same checks run as a test of this crate. What they are stands in [`tidy`].

mod source;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("tidy"), None) => run_tidy(),
        (Some("ratchet"), None) => print_ratchet(),
        _ => {
            eprintln!("usage: cargo run -p xtask -- tidy      check the house rules");
            eprintln!("       cargo run -p xtask -- ratchet   print the ratchet list as it would be now");
            ExitCode::from(2)
        }
    }
}

fn run_tidy() -> ExitCode {
    match source::Tree::load(&root()) {
        Ok(tree) => {
            let faults = tidy::faults(&tree);
            for fault in &faults {
                println!("{fault}");
            }
            println!("tidy: {} files, {} faults", tree.len(), faults.len());
            if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("tidy: the tree cannot be read: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_ratchet() -> ExitCode {
    match source::Tree::load(&root()) {
        Ok(tree) => {
            print!("{}", tidy::ratchet::current(&tree));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ratchet: the tree cannot be read: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace: the parent of this crate's.
fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        let tree = super::source::Tree::load(&super::root()).unwrap();
        assert!(tree.len() > 40, "only {} files were found: the walk is broken", tree.len());
        let faults: Vec<String> = super::tidy::faults(&tree).iter().map(ToString::to_string).collect();
        assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    }
}
