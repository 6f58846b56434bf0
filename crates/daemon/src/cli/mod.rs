//! The command line: `mailroot try`, `serve`, `check`, `explain`, `route` and `version`.
//!
//! Exit codes: 0 fine, 1 something is wrong (it is said on standard error, in sentences that say what to do), 2 the command
//! line itself is wrong. What the program has to say about mail goes to the log, on standard error; what was asked
//! for, to standard output.

mod account;
mod certificate;
mod explain;
mod new;
mod oauth;
mod operate;
mod pages;
mod password;
mod probed;
mod route;
mod trial;

use crate::auth;
use crate::clock::Clock;
use crate::dns::Resolver;
use crate::explain::named as virtual_server;
use crate::log::Log;
use crate::service::{self, ConfigFile, Loaded, Ready, Service};
use clap::{Args, Parser, Subcommand, ValueEnum};

use relay::record::Level;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
To begin: mailroot try
Signals: SIGTERM or SIGINT stops gracefully; SIGHUP reads the configuration again, and keeps the old one if the new one is wrong.";

/// An SMTP relay: takes mail from applications, devices and mail servers, keeps it safe, and passes it on.
#[derive(Parser, Debug)]
#[command(name = "mailroot", version, after_help = AFTER_HELP, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Try it: on this machine only, with a folder of its own, and a configuration written for you
    Try {
        /// Everything lives here; created if it is missing
        #[arg(long, value_name = "DIR", default_value = "mailroot-try")]
        folder: PathBuf,
        /// Listen here on 127.0.0.1 [default: 2525, or the next one that is free]
        #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
        #[command(flatten)]
        running: Running,
    },
    /// Run the relay with a configuration
    Serve {
        /// The configuration, mailroot.toml
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        #[command(flatten)]
        running: Running,
    },
    /// Say what is wrong with a configuration, or what it does
    Check {
        /// The configuration, mailroot.toml
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Certificates for TLS: what there is, make one, ask for one, bring one in, obtain one by ACME
    #[command(subcommand)]
    Certificate(certificate::Certificate),
    /// Write a whole configuration for one of the usual relays
    New(new::Wanted),
    /// Say whether a mail would be taken, and which settings decide
    Explain(Box<explain::Question>),
    /// Say which hosts would take the mail of a recipient, in order, and how the channel to each must be protected
    Route(route::Question),
    /// Accounts for authentication: add, passwd, remove, list, disable, enable
    #[command(subcommand)]
    Account(account::Account),
    /// Tokens for smart hosts that want OAuth: list, login, logout, test
    #[command(subcommand, name = "oauth")]
    OAuth(oauth::OAuth),
    /// The virtual servers of the running service: list, start, stop, pause, continue, new, rename, delete
    #[command(subcommand)]
    Server(operate::ServerCommand),
    /// Sessions that go on: list, show, end, end-all
    #[command(subcommand)]
    Session(operate::SessionCommand),
    /// Where mail waits: list, suspend, resume, retry
    #[command(subcommand)]
    Destination(operate::DestinationCommand),
    /// Messages that wait: list, search, show, retry, hold, release, return, delete, export, import
    #[command(subcommand)]
    Queue(operate::QueueCommand),
    /// Messages in Badmail: list, show, requeue, delete
    #[command(subcommand)]
    Badmail(operate::BadmailCommand),
    /// Messages in Drop and Pickup: list, show, delete
    #[command(subcommand)]
    Folder(operate::FolderCommand),
    /// How much has happened: messages, connections, refusals …
    Counters(operate::Counters),
    /// What somebody should see to; exit code 3 if there is something
    Alarms(operate::Alarms),
    /// Change a setting of the running service
    Set(operate::Set),
    /// Show what a setting says
    Get(operate::Get),
    /// Domains: list, add, set, rename, remove
    #[command(subcommand)]
    Domain(operate::DomainCommand),
    /// Smart hosts: list, show, set, remove
    #[command(subcommand)]
    SmartHost(operate::SmartHostCommand),
    /// Who changed what, and when
    Audit(operate::Audit),
    /// The configuration in force: diff, reload, history, rollback
    #[command(subcommand)]
    Config(operate::ConfigCommand),
    /// Operators of the console: list, add, set, passwd, invite, remove, log-out; tokens of programs
    #[command(subcommand)]
    Operator(operate::OperatorCommand),
    /// Watch a running service: rates, where mail waits, who is connected
    Top(operate::Top),
    /// Completions for a shell, to standard output
    Completions(pages::Completions),
    /// Manual pages
    Man(pages::Man),
    /// Print the version
    Version,
}

#[derive(Args, Debug)]
struct Running {
    /// How much the log, on standard error, tells
    #[arg(long, value_enum, default_value_t = LogLevel::Info, value_name = "LEVEL")]
    log: LogLevel,
    /// Threads for sockets; for measurements
    #[arg(long, hide = true, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    threads: Option<u16>,
}

#[derive(Copy, Clone, ValueEnum, Debug)]
enum LogLevel {
    /// Starts, stops, alarms, destinations that are down
    Quiet,
    /// Also what happens to each message
    Info,
    /// Also each connection
    Debug,
}

/// Runs the program; its exit code.
#[must_use]
pub fn main() -> ExitCode {
    // A mistake in the command line ends here, with its usage and code 2; --help and --version with 0.
    match CommandLine::parse().command {
        Command::Try { folder, port, running } => trial::run(&folder, port, &running),
        Command::Serve { config, running } => match load(&ConfigFile::new(&config)) {
            Ok((file, loaded)) => {
                if let Err(error) = auth::prepare_kerberos(&loaded.config) {
                    complain(&format!("Kerberos cannot be prepared, as the program cannot start anew: {error}.\n"));
                }
                serve(file, loaded, &running, |_| {})
            }
            Err(code) => code,
        },
        Command::Check { config } => check(&ConfigFile::new(&config)),
        Command::Certificate(command) => certificate::run(&command),
        Command::Explain(question) => explain::run(&question),
        Command::Route(question) => route::run(&question),
        Command::New(wanted) => new::run(&wanted),
        Command::Account(command) => account::run(&command),
        Command::OAuth(command) => oauth::run(&command),
        Command::Server(command) => operate::server(&command),
        Command::Session(command) => operate::session(&command),
        Command::Destination(command) => operate::destination(&command),
        Command::Queue(command) => operate::queue(&command),
        Command::Badmail(command) => operate::badmail(&command),
        Command::Folder(command) => operate::folder(&command),
        Command::Counters(wanted) => operate::counters(&wanted),
        Command::Alarms(wanted) => operate::alarms(&wanted),
        Command::Set(set) => operate::set(&set),
        Command::Get(get) => operate::get(&get),
        Command::Domain(command) => operate::domain(&command),
        Command::SmartHost(command) => operate::smart_host(&command),
        Command::Audit(wanted) => operate::audit(&wanted),
        Command::Config(command) => operate::config(&command),
        Command::Operator(command) => operate::operator(&command),
        Command::Top(wanted) => operate::top(&wanted),
        Command::Completions(wanted) => pages::completions(&wanted),
        Command::Man(wanted) => pages::man(&wanted),
        Command::Version => {
            say(&format!("mailroot {}\n", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
    }
}

/// Reads the configuration, or says what is wrong with it.
fn load(file: &ConfigFile) -> Result<(ConfigFile, Loaded), ExitCode> {
    file.load().map(|loaded| (file.clone(), loaded)).map_err(|unusable| {
        complain(&unusable.render());
        ExitCode::FAILURE
    })
}

fn check(file: &ConfigFile) -> ExitCode {
    let (file, loaded) = match load(file) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let mut faults = certificate::faults(&loaded.config);
    for (server, fault) in auth::faults(&loaded.config) {
        faults.push_str(&format!("'{server}': {fault}\n"));
    }
    if let Err(error) = Resolver::new(&loaded.config.dns) {
        faults.push_str(&format!("{error}\n"));
    }
    if !faults.is_empty() {
        complain(&faults);
        return ExitCode::FAILURE;
    }
    let mut text = String::new();
    for server in &loaded.config.servers {
        text.push_str(&format!("{}\n", server.name));
        let notes = auth::notes(&loaded.config, server);
        server.describe().iter().chain(&notes).for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    loaded.config.notes().iter().for_each(|line| text.push_str(&format!("{line}\n")));
    say(&format!("{text}\n{}: no problems found.\n", file.path().display()));
    ExitCode::SUCCESS
}

/// Starts the log and runs the service until it is told to stop.
fn serve(file: ConfigFile, loaded: Loaded, running: &Running, ready: impl FnOnce(&Ready<'_>)) -> ExitCode {
    let clock = Clock::start();
    let level = match running.log {
        LogLevel::Quiet => Level::Quiet,
        LogLevel::Info => Level::Info,
        LogLevel::Debug => Level::Debug,
    };
    let (log, flush) = match Log::start(level, clock.clone(), Box::new(std::io::stderr())) {
        Ok(started) => started,
        Err(error) => {
            complain(&format!("The system gives no thread for the log: {error}.\n"));
            return ExitCode::FAILURE;
        }
    };
    log.take_diagnostics();
    let path = file.path().to_owned();
    let threads = running.threads.map(usize::from);
    let ended = service::run(Service { file, loaded, threads, log, clock }, ready);
    drop(flush);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(faults) => {
            complain(&not_started(&faults, &path));
            ExitCode::FAILURE
        }
    }
}

fn not_started(faults: &[String], configuration: &Path) -> String {
    let mut text = "\nMailroot could not start.\n".to_owned();
    faults.iter().for_each(|fault| text.push_str(&format!("  - {fault}\n")));
    text.push_str(&format!("The configuration is {}\n", configuration.display()));
    text
}

/// To standard output. Whoever does not read it (`mailroot check | head`) is no reason to fail.
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    let _ = std::io::stdout().lock().flush();
}

/// To standard error.
fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn parse(words: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(words.split(' '))
    }

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn what_is_understood() {
        let command = |words: &str| parse(words).unwrap().command;
        assert!(matches!(command("mailroot try"), Command::Try { folder, .. } if folder == Path::new("mailroot-try")));
        assert!(matches!(command("mailroot try --folder x"), Command::Try { folder, .. } if folder == Path::new("x")));
        assert!(matches!(
            command("mailroot serve --config a.toml --log debug --threads 3"),
            Command::Serve { running: Running { log: LogLevel::Debug, threads: Some(3) }, .. }
        ));
        assert!(matches!(command("mailroot check --config a.toml"), Command::Check { .. }));
        let question =
            "mailroot explain --from 192.0.2.1 --auth anna --tls --helo x --sender a@b --rcpt c@d --server One";
        assert!(matches!(command(question), Command::Explain(_)));
        assert!(matches!(command("mailroot route anna@x.test --server One --json"), Command::Route(_)));
        assert!(matches!(command("mailroot new --recipe inbound-dmz"), Command::New(_)));
        assert!(matches!(command("mailroot oauth list --json --config a.toml"), Command::OAuth(_)));
        assert!(matches!(command("mailroot oauth login office --config a.toml"), Command::OAuth(_)));
        assert!(matches!(command("mailroot version"), Command::Version));
    }

    #[test]
    fn mistakes_end_with_2_and_questions_with_0() {
        for wrong in [
            "mailroot",
            "mailroot bogus",
            "mailroot serve",
            "mailroot check",
            "mailroot serve --config",
            "mailroot serve --config a --log loud",
            "mailroot serve --config a --threads 0",
            "mailroot version now",
            "mailroot explain",
            "mailroot route",
            "mailroot route anna",
            "mailroot new",
            "mailroot new --recipe other",
            "mailroot oauth",
            "mailroot oauth login --config a.toml",
            "mailroot oauth test office",
            "mailroot explain --from here --sender a@b --rcpt c@d",
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
        assert_eq!(parse("mailroot --version").unwrap_err().kind(), ErrorKind::DisplayVersion);
        assert_eq!(parse("mailroot --version").unwrap_err().exit_code(), 0);
        assert_eq!(parse("mailroot serve --help").unwrap_err().exit_code(), 0);
    }

    #[test]
    fn a_failed_start_says_each_reason_and_where_to_mend_it() {
        let text = not_started(&["127.0.0.1:2525 is taken".to_owned()], Path::new("/x/mailroot.toml"));
        assert_eq!(
            text,
            "\nMailroot could not start.\n  - 127.0.0.1:2525 is taken\nThe configuration is /x/mailroot.toml\n"
        );
    }
}
