//! Pages of what an administrator changes: property tabs, domains, smart hosts, versions of the configuration, operators; and what
//! tells him what holds: explain, certificates, the audit log.
//!
//! A form has a field for each setting, with the text that one types. What comes back is compared with what the form showed
//! ([`mark`]), so that a form changes what somebody changed in it and nothing else, whoever saves first. Then a page shows what would
//! happen ([`crate::Confirm`]), and only that page's button does it.
//!
//! IIS: the property sheets of a virtual server, the Domains node and its wizard, Rename and Delete.

mod configuration;
mod domains;
mod explain;
mod fields;
mod lists;
mod new_server;
mod operators;
mod outcome;
mod properties;
mod smart_hosts;
#[cfg(test)]
mod tests;

pub use configuration::{Configuration, ServiceSettings, Version};
pub use domains::{DomainPage, Domains, NewDomainPage, new_domain};
pub use explain::{Explain, inquiry};
pub use fields::{Changes, Field, Section, Sheet, changes, mark};
pub use lists::{Audit, Certificates, audit_filter};
pub use new_server::{NewServerPage, new_server};
pub use operators::{Operators, operator_command};
pub use outcome::{Done, Line, Trouble, diff_lines};
pub use properties::{Properties, Tab};
pub use smart_hosts::{NewSmartHostPage, SmartHostPage, SmartHosts};
