//! `mailroot account …`: add, passwd, remove, list, disable, enable.
//!
//! A password is asked for at the terminal without being shown, or read from standard input; it is never an argument, which every
//! user of the machine could read. The file is written whole or not at all, and only its owner can read it; commands at the same time change it
//! one after the other. A relay that runs takes the change over by itself.

use super::{complain, load, password, say};
use crate::auth::{self, AccountsLock, AuthFault};
use crate::service::ConfigFile;
use clap::{Args, Subcommand};
use relay::account::{Account as Entry, Accounts, NtHash, SenderPattern, check_name};
use smtp::sasl::clear::PASSWORD_MAX;
use smtp::sasl::scram::{ITERATIONS, Keys};
use smtp::sasl::{Mechanism, ntlm};
use std::path::PathBuf;
use std::process::ExitCode;

/// Octets of a password's salt in SCRAM.
const SALT_OCTETS: usize = 16;

#[derive(Subcommand, Debug)]
pub(super) enum Account {
    /// Add an account
    Add {
        name: String,
        #[command(flatten)]
        password: PasswordOptions,
        /// The account may use these senders alone: alice@example.com, *@example.com, *@*.example.com
        #[arg(long, value_name = "SENDER")]
        may_send_as: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Give an account a new password
    Passwd {
        name: String,
        #[command(flatten)]
        password: PasswordOptions,
        #[command(flatten)]
        place: Place,
    },
    /// Remove an account
    Remove {
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// List the accounts
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Let nobody log on to an account until it is enabled again
    Disable {
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Let an account log on again
    Enable {
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args, Debug)]
pub(super) struct PasswordOptions {
    /// Read the password from standard input, its first line
    #[arg(long)]
    password_stdin: bool,
    /// Keep an NT hash too, for NTLM: whoever can read it can log on with it
    #[arg(long)]
    ntlm: bool,
}

/// Which accounts file.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(super) struct Place {
    /// The configuration, mailroot.toml, which names the accounts file
    #[arg(long, value_name = "FILE", conflicts_with = "accounts")]
    config: Option<PathBuf>,
    /// The virtual server of that configuration, if it has several
    #[arg(long, value_name = "NAME", requires = "config")]
    server: Option<String>,
    /// The accounts file itself
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
}

/// What went wrong: a sentence that says what to do. Or it has been said already.
enum Trouble {
    Said(ExitCode),
    Says(String),
}

impl From<AuthFault> for Trouble {
    fn from(fault: AuthFault) -> Trouble {
        Trouble::Says(fault.to_string())
    }
}

fn says<T>(text: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Says(text.into()))
}

pub(super) fn run(command: &Account) -> ExitCode {
    match carry_out(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Said(code)) => code,
        Err(Trouble::Says(text)) => {
            complain(&format!("{text}\n"));
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: &Account) -> Result<(), Trouble> {
    match command {
        Account::Add { name, password, may_send_as, place } => add(name, password, may_send_as, &place.find()?),
        Account::Passwd { name, password, place } => passwd(name, password, &place.find()?),
        Account::Remove { name, place } => {
            let file = place.find()?;
            file.change(false, |accounts| {
                file.one(accounts, name)?;
                accounts.remove(name);
                Ok(())
            })
        }
        Account::List { place } => {
            say(&listing(&place.find()?.read(false)?));
            Ok(())
        }
        Account::Disable { name, place } => set_disabled(name, &place.find()?, true),
        Account::Enable { name, place } => set_disabled(name, &place.find()?, false),
    }
}

fn set_disabled(name: &str, file: &AccountsAt, disabled: bool) -> Result<(), Trouble> {
    file.change(false, |accounts| {
        let account = file.one(accounts, name)?;
        accounts.put(Entry { disabled, ..account });
        Ok(())
    })
}

fn add(name: &str, password: &PasswordOptions, may_send_as: &[String], file: &AccountsAt) -> Result<(), Trouble> {
    if let Err(fault) = check_name(name) {
        return says(format!("{name:?} cannot be an account: {fault}."));
    }
    file.refuse_useless_hash(password)?;
    let refuse_second = |accounts: &Accounts| match accounts.find(name) {
        Some(_) => {
            says(format!("There is an account {name:?} already. To change its password: mailroot account passwd"))
        }
        None => Ok(()),
    };
    refuse_second(&file.read(true)?)?;
    let mut account = Entry::new(name);
    for text in may_send_as {
        let Some(pattern) = SenderPattern::parse(text) else {
            return says(format!("{text:?} is no sender. Write alice@example.com, *@example.com or *@*.example.com."));
        };
        account.may_send_as.push(pattern);
    }
    set_password(&mut account, password)?;
    file.change(true, |accounts| {
        refuse_second(accounts)?;
        accounts.put(account);
        Ok(())
    })
}

fn passwd(name: &str, password: &PasswordOptions, file: &AccountsAt) -> Result<(), Trouble> {
    file.refuse_useless_hash(password)?;
    let mut with_new = file.one(&file.read(false)?, name)?;
    let had_hash = with_new.nt_hash.is_some();
    set_password(&mut with_new, password)?;
    if had_hash && with_new.nt_hash.is_none() {
        complain("Note: the NT hash is gone; NTLM does not work for this account. To keep one: --ntlm\n");
    }
    file.change(false, |accounts| {
        let account = file.one(accounts, name)?;
        let Entry { password, scram, nt_hash, .. } = with_new;
        accounts.put(Entry { password, scram, nt_hash, ..account });
        Ok(())
    })
}

/// An accounts file, and what the configuration says of it.
struct AccountsAt {
    path: PathBuf,
    default_domain: Option<Box<str>>,
    /// Is NTLM on where the file is used? `None`: no configuration was named.
    ntlm: Option<bool>,
}

impl AccountsAt {
    /// What is in the file; one that is not there is empty if it `may_be_new`.
    fn read(&self, may_be_new: bool) -> Result<Accounts, Trouble> {
        match auth::read_accounts(&self.path, self.default_domain.as_deref()) {
            Err(AuthFault::Missing { .. }) if may_be_new => Ok(Accounts::new(self.default_domain.as_deref())),
            read => read.map_err(Trouble::from),
        }
    }

    fn one(&self, accounts: &Accounts, name: &str) -> Result<Entry, Trouble> {
        match accounts.find(name) {
            Some(account) => Ok(account.clone()),
            None => says(format!("There is no account {name:?} in {}.", self.path.display())),
        }
    }

    /// Reads the file, lets it be changed, and writes it; whoever else wants to change it waits. Not to be held up by questions.
    fn change(
        &self,
        may_be_new: bool,
        change: impl FnOnce(&mut Accounts) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let lock = AccountsLock::wait(&self.path, may_be_new)?;
        let mut accounts = self.read(false)?;
        change(&mut accounts)?;
        if accounts.salt_key.is_none() {
            accounts.salt_key = auth::fresh_salt_key();
        }
        let written = auth::write_accounts(&self.path, &accounts.print());
        drop(lock);
        written.map_err(|error| Trouble::Says(format!("{} cannot be written: {error}.", self.path.display())))
    }

    fn refuse_useless_hash(&self, options: &PasswordOptions) -> Result<(), Trouble> {
        if options.ntlm && self.ntlm == Some(false) {
            return says(
                "NTLM is not among access.authentication.methods, so an NT hash would be of use to thieves alone. Leave --ntlm out, or \
                 switch NTLM on first.",
            );
        }
        Ok(())
    }
}

impl Place {
    fn find(&self) -> Result<AccountsAt, Trouble> {
        if let Some(path) = &self.accounts {
            return Ok(AccountsAt { path: path.clone(), default_domain: None, ntlm: None });
        }
        let Some(config) = &self.config else { return says("Name the configuration: --config FILE") };
        let (_, loaded) = load(&ConfigFile::new(config)).map_err(Trouble::Said)?;
        let servers = &loaded.config.servers;
        let server = match &self.server {
            Some(name) => servers.iter().find(|server| *server.name == **name),
            None if servers.iter().all(|server| server.access.accounts == servers[0].access.accounts) => {
                servers.first()
            }
            None => None,
        };
        let Some(server) = server else {
            let names: Vec<String> = servers.iter().map(|server| format!("{:?}", server.name)).collect();
            return says(format!("Which virtual server is meant? --server with one of: {}", names.join(", ")));
        };
        let path = server.access.accounts.clone();
        let mut users = servers.iter().filter(|server| server.access.accounts == path);
        let ntlm = users.any(|server| server.access.authentication.methods.contains(&Mechanism::Ntlm));
        let default_domain = server.access.authentication.default_logon_domain.clone();
        Ok(AccountsAt { path, default_domain, ntlm: Some(ntlm) })
    }
}

/// Gives the account all that it keeps of a password.
fn set_password(account: &mut Entry, options: &PasswordOptions) -> Result<(), Trouble> {
    let read =
        if options.password_stdin { password::from_input() } else { password::from_terminal("--password-stdin") };
    let password = read.map_err(Trouble::Says)?;
    let text = match password.text() {
        Some(text) if !text.is_empty() && text.len() <= PASSWORD_MAX && !text.contains(char::is_control) => text,
        _ => return says(format!("A password is text of 1 to {PASSWORD_MAX} octets without control characters.")),
    };
    account.nt_hash = options.ntlm.then(|| NtHash(ntlm::nt_hash(text)));
    let mut salt = [0; SALT_OCTETS];
    let hash = auth::hash(&password, auth::COST);
    if aws_lc_rs::rand::fill(&mut salt).is_err() || hash.is_none() {
        return says("The hash of the password cannot be computed: the system gives no memory or no random numbers.");
    }
    account.password = hash;
    account.scram = Some(Keys::derive(&password, &salt, ITERATIONS));
    if options.ntlm {
        complain(
            "Warning: the NT hash in the accounts file is as good as the password itself: whoever reads it can log on with it.\n",
        );
    }
    Ok(())
}

/// One line an account: its name, what it can log on with, and as whom it may send.
fn listing(accounts: &Accounts) -> String {
    let mut text = String::new();
    for account in accounts.iter() {
        let methods = [
            (account.password.is_some(), "PLAIN LOGIN"),
            (account.scram.is_some(), "SCRAM"),
            (account.nt_hash.is_some(), "NTLM"),
        ];
        let methods: Vec<&str> = methods.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
        let methods = if methods.is_empty() { "no password".to_owned() } else { methods.join(" ") };
        let senders: Vec<String> = account.may_send_as.iter().map(ToString::to_string).collect();
        let senders = if senders.is_empty() { "any sender".to_owned() } else { senders.join(" ") };
        let disabled = if account.disabled { "  disabled" } else { "" };
        text.push_str(&format!("{}  {methods}  {senders}{disabled}\n", account.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_shows_no_secret() {
        let mut accounts = Accounts::new(None);
        let mut alice = Entry::new("alice");
        alice.nt_hash = Some(NtHash(ntlm::nt_hash("x")));
        alice.may_send_as.extend(SenderPattern::parse("*@example.com"));
        accounts.put(alice);
        accounts.put(Entry { disabled: true, ..Entry::new("bob") });
        assert_eq!(listing(&accounts), "alice  NTLM  *@example.com\nbob  no password  any sender  disabled\n");
    }
}
