//! `mailroot completions` and `mailroot man`: what shells and `man` want to know of the command line, made from its description.

use super::{CommandLine, complain, say};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `mailroot completions SHELL`
#[derive(Args, Debug)]
pub(super) struct Completions {
    /// For which shell; its own documentation says where the text belongs
    shell: Shell,
}

/// `mailroot man`
#[derive(Args, Debug)]
pub(super) struct Man {
    /// Write a page for each command into this folder; without it the first page goes to standard output
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(super) fn completions(wanted: &Completions) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(wanted.shell, &mut CommandLine::command(), "mailroot", &mut text);
    say(&String::from_utf8_lossy(&text));
    ExitCode::SUCCESS
}

pub(super) fn man(wanted: &Man) -> ExitCode {
    let mut command = CommandLine::command();
    command.build();
    let written = match &wanted.folder {
        None => page(&command).map(|text| say(&String::from_utf8_lossy(&text))),
        Some(folder) => fs::create_dir_all(folder).and_then(|()| write(&command, folder)),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let place = wanted.folder.as_deref().unwrap_or(Path::new("standard output"));
            complain(&format!("The pages cannot be written to {}: {error}.\n", place.display()));
            ExitCode::FAILURE
        }
    }
}

fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    Ok(text)
}

/// The page of a command and those of the commands below it: `mailroot-queue-list.1`.
fn write(command: &clap::Command, folder: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    let shown = |below: &&clap::Command| !below.is_hide_set() && below.get_name() != "help";
    command.get_subcommands().filter(shown).try_for_each(|below| write(below, folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(man(&Man { folder: Some(folder.path().to_owned()) }), ExitCode::SUCCESS);
        for name in ["mailroot", "mailroot-queue", "mailroot-session-end-all", "mailroot-server-stop", "mailroot-top"] {
            let page = fs::read_to_string(folder.path().join(format!("{name}.1"))).unwrap();
            assert!(page.contains(".TH") && page.contains("mailroot"), "{name}: {page}");
        }
    }

    #[test]
    fn completions_know_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "mailroot", &mut text);
            assert!(String::from_utf8(text).unwrap().contains("end-all"), "{shell}");
        }
    }
}
