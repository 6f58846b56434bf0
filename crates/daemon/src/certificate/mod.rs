//! Certificates as an operator works with them: what there is, how to make one, ask for one, bring one in.
//!
//! [`list`] tells what a configuration shows and until when; [`make`] creates keys, self-signed certificates and signing
//! requests; [`import`] turns a PFX file into PEM; [`acme`] obtains and renews by ACME. Reading and showing certificates is
//! [`crate::tls`]'s. Files are written whole or not at all, keys for their owner alone.
//!
//! IIS: Access tab, Certificate… (the Web Server Certificate Wizard).

pub mod acme;
pub mod import;
pub mod list;
pub mod make;
pub mod place;
