//! What an operator can see and do: views and commands, the same for the console, the command line and the API.
//!
//! Every change is a [`Command`]; every answer is a view ([`view`]). [`may`] says whether an operator may give a command, before
//! anything else looks at it. What a command does to the configuration file is text in, text out;
//! what it does to queue, sessions and folders, the daemon carries out. A page or a program that
//! shows something has no other source.
//!
//! IIS: the property tabs, Current Sessions, the Security tab (operators).

pub mod alarms;
pub mod archive;
mod command;
pub mod content;
pub mod edit;
mod operator;
mod reach;
pub mod recipe;
pub mod roster;
pub mod settings;
pub mod transfer;
pub mod view;

pub use command::{
    AuditFilter, Change, Command, Direction, DomainKind, Filter, FolderName, FolderVerb, Inquiry, NewDomain, NewServer,
    QueueVerb, ServerVerb, Which,
};
pub use operator::{Denied, Operator, Role, Scope, Sight, may, may_see};
