//! Reads from a keytab whose keys it has, to tell the operator at the start what is missing. The keys themselves are left to
//! the Kerberos library.
//!
//! Source: the file format as MIT Kerberos documents it ("keytab file format", version 2).

use crate::auth::fault::{AuthFault, KeytabFault};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Octets of a keytab; one key takes about a hundred.
const KEYTAB_OCTETS_MAX: u64 = 1 << 20;
const VERSION: [u8; 2] = [5, 2];
/// The service of SMTP in principals (RFC 4954 §4); Windows writes it in capitals, too.
const SERVICE: &str = "smtp";

/// Is there a key with which the service of this host can be reached?
pub(super) fn look(path: &Path, host: &str) -> Result<(), AuthFault> {
    let fault = |fault| AuthFault::Keytab { path: path.to_owned(), fault };
    let octets = read(path).map_err(fault)?;
    let names = principals(&octets).ok_or(KeytabFault::Broken).map_err(fault)?;
    if names.iter().any(|name| is_ours(name, Some(host))) {
        return Ok(());
    }
    Err(fault(KeytabFault::NoKey { host: host.into(), others: names.into() }))
}

fn read(path: &Path) -> Result<Vec<u8>, KeytabFault> {
    let file = File::open(path).map_err(KeytabFault::Unreadable)?;
    let about = file.metadata().map_err(KeytabFault::Unreadable)?;
    let mode = about.permissions().mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(KeytabFault::OpenToAll { mode });
    }
    let mut octets = Vec::new();
    file.take(KEYTAB_OCTETS_MAX + 1).read_to_end(&mut octets).map_err(KeytabFault::Unreadable)?;
    if octets.len() as u64 > KEYTAB_OCTETS_MAX { Err(KeytabFault::Broken) } else { Ok(octets) }
}

/// Is it `smtp/HOST@REALM`, of this host or of any?
pub(super) fn is_ours(principal: &str, host: Option<&str>) -> bool {
    let (name, _) = principal.rsplit_once('@').unwrap_or((principal, ""));
    let Some((service, instance)) = name.split_once('/') else { return false };
    service.eq_ignore_ascii_case(SERVICE) && host.is_none_or(|host| instance.eq_ignore_ascii_case(host))
}

/// The principals, each once; `None` if it is no keytab.
fn principals(octets: &[u8]) -> Option<Vec<Box<str>>> {
    let mut rest = octets.strip_prefix(&VERSION)?;
    let mut names: Vec<Box<str>> = Vec::new();
    while !rest.is_empty() {
        let length = i32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?);
        let entry = take(&mut rest, usize::try_from(length.unsigned_abs()).ok()?)?;
        // A negative length is a hole, where a key was taken out.
        if length > 0 {
            let name = principal(entry)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Some(names)
}

fn principal(mut entry: &[u8]) -> Option<Box<str>> {
    let components = number(&mut entry)?;
    let realm = text(&mut entry)?;
    let parts: Vec<String> = (0..components).map(|_| text(&mut entry)).collect::<Option<_>>()?;
    Some(format!("{}@{realm}", parts.join("/")).into())
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = number(rest)?;
    let octets = take(rest, length)?;
    Some(String::from_utf8_lossy(octets).chars().filter(|char| !char.is_control()).collect())
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(take(rest, 2)?.try_into().ok()?)))
}

fn take<'a>(rest: &mut &'a [u8], octets: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(octets)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(realm: &str, parts: &[&str]) -> Vec<u8> {
        let mut entry = u16::try_from(parts.len()).unwrap().to_be_bytes().to_vec();
        for text in std::iter::once(&realm).chain(parts) {
            entry.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            entry.extend(text.as_bytes());
        }
        entry.extend([0, 0, 0, 1, 0, 0, 0, 0, 3, 0, 18, 0, 2, 7, 7]);
        let mut whole = i32::try_from(entry.len()).unwrap().to_be_bytes().to_vec();
        whole.extend(entry);
        whole
    }

    fn keytab() -> Vec<u8> {
        let mut octets = VERSION.to_vec();
        octets.extend(entry("EXAMPLE.TEST", &["HTTP", "mx.example.test"]));
        octets.extend([0xff, 0xff, 0xff, 0xfd, 1, 2, 3]);
        octets.extend(entry("EXAMPLE.TEST", &["SMTP", "mx.example.test"]));
        octets.extend(entry("EXAMPLE.TEST", &["SMTP", "mx.example.test"]));
        octets
    }

    #[test]
    fn holes_are_passed_and_names_told_once() {
        let names = principals(&keytab()).unwrap();
        assert_eq!(names, ["HTTP/mx.example.test@EXAMPLE.TEST".into(), "SMTP/mx.example.test@EXAMPLE.TEST".into()]);
    }

    #[test]
    fn what_is_cut_or_damaged_is_no_keytab() {
        let whole = keytab();
        for end in [0, 1, 3, 9, whole.len() - 1] {
            assert_eq!(principals(&whole[..end]), None, "{end}");
        }
        assert_eq!(principals(&[5, 1]), None);
        assert_eq!(principals(&[5, 2, 0x80, 0, 0, 0]), None);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            let _ = principals(&damaged);
        }
    }

    #[test]
    fn the_service_and_the_host_count() {
        for (principal, ours) in [
            ("smtp/mx.test@R", true),
            ("SMTP/MX.TEST@R", true),
            ("smtp/other.test@R", false),
            ("HTTP/mx.test@R", false),
            ("smtp@R", false),
            ("smtp/mx.test/x@R", false),
        ] {
            assert_eq!(is_ours(principal, Some("mx.test")), ours, "{principal}");
        }
        assert!(is_ours("smtp/other.test@R", None) && !is_ours("host/other.test@R", None));
    }
}
