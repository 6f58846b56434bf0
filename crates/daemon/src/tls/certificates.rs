//! The certificates of one virtual server: read from their files, read again when these change, watched for their end.
//!
//! A session takes [`Certificates::credentials`] when its handshake begins and keeps them; a reload exchanges them for those
//! who come later, so no session is dropped. A changed file that cannot be used changes nothing: the old pair stays and the
//! operator hears why, once for each state of the files. The operator hears 21, 7 and 1 days before a certificate's end, and
//! when it is reached, once each.

use super::particulars::Particulars;
use super::{Credentials, Pair, TlsFault, load};
use crate::certificate::acme::is_due;
use relay::config::{Acme, CertificateSource, VirtualServer};
use rustls::RootCertStore;
use smtp::time::Timestamp;
use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Days before a certificate's end at which the operator hears of it; 0 is the end itself.
pub const WARN_DAYS: [i64; 4] = [21, 7, 1, 0];

/// The certificates of one virtual server.
pub struct Certificates {
    sources: Vec<Source>,
    authority: Option<PathBuf>,
    state: PathBuf,
    current: RwLock<Arc<Credentials>>,
    held: Mutex<Held>,
}

struct Source {
    source: CertificateSource,
    /// Where ACME keeps what it obtained.
    acme: PathBuf,
}

/// What was read last, and what the operator was told.
#[derive(Default)]
struct Held {
    stamps: Vec<Option<Stamp>>,
    /// For each source, the last one that could be used.
    pairs: Vec<Option<Arc<Pair>>>,
    roots: Option<RootCertStore>,
    /// A certificate's fingerprint and one of `WARN_DAYS`.
    warned: BTreeSet<(Box<str>, i64)>,
}

/// What tells a file from another one under the same name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why a virtual server has no certificate to show: each reason.
#[derive(Debug)]
pub struct NoCertificate(pub Vec<TlsFault>);

impl fmt::Display for NoCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if number == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for NoCertificate {}

impl Certificates {
    /// Reads the certificates of `server`; `state` is the folder where ACME keeps what it obtained. One that cannot be used
    /// is left out and told of, as long as another one can be shown.
    ///
    /// # Errors
    /// None can be shown, or the authorities for client certificates cannot be read.
    pub fn open(
        server: &VirtualServer,
        state: &Path,
        now: Timestamp,
    ) -> Result<(Certificates, Vec<TlsFault>), NoCertificate> {
        let authority = server.access.client_certificates.as_ref().map(|clients| clients.authority.clone());
        Certificates::from(&server.access.certificates, authority, state, now)
    }

    /// The same for whoever is no virtual server.
    ///
    /// # Errors
    /// None can be shown, or the authorities for client certificates cannot be read.
    pub fn from(
        sources: &[CertificateSource],
        authority: Option<PathBuf>,
        state: &Path,
        now: Timestamp,
    ) -> Result<(Certificates, Vec<TlsFault>), NoCertificate> {
        let source = |source: &CertificateSource| Source { source: source.clone(), acme: acme_file(state, source) };
        let sources: Vec<Source> = sources.iter().map(source).collect();
        let mut held = Held { pairs: vec![None; sources.len()], ..Held::default() };
        let faults = held.read(&sources, authority.as_deref(), now);
        if authority.is_some() && held.roots.is_none() {
            return Err(NoCertificate(faults));
        }
        match held.credentials() {
            Ok(credentials) => {
                let current = RwLock::new(Arc::new(credentials));
                let (state, held) = (state.to_owned(), Mutex::new(held));
                Ok((Certificates { sources, authority, state, current, held }, faults))
            }
            Err(_) if !faults.is_empty() => Err(NoCertificate(faults)),
            Err(fault) => Err(NoCertificate(vec![fault])),
        }
    }

    /// What a handshake that begins now shows.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again if one of them has changed; `None` if none has. What cannot be used is told, and the one that was
    /// shown in its place until now stays. It waits for the disk.
    pub fn refresh(&self, now: Timestamp) -> Option<Vec<TlsFault>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.stamps == stamps(&self.sources, self.authority.as_deref()) {
            return None;
        }
        let mut faults = held.read(&self.sources, self.authority.as_deref(), now);
        match held.credentials() {
            Ok(new) => *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new),
            Err(fault) => faults.push(fault),
        }
        Some(faults)
    }

    /// Those that are to be obtained by ACME, or renewed, at `now`.
    pub fn due(&self, now: Timestamp) -> Vec<Acme> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let due = |(source, pair): (&Source, &Option<Arc<Pair>>)| match &source.source {
            CertificateSource::Acme(acme) => {
                let particulars = pair.as_ref().and_then(|pair| Particulars::read(pair.leaf()));
                particulars.is_none_or(|particulars| is_due(&particulars, acme, now)).then(|| acme.clone())
            }
            _ => None,
        };
        self.sources.iter().zip(&held.pairs).filter_map(due).collect()
    }

    /// The folder of what the service keeps for itself.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// What the operator should hear at `now` about certificates that come to their end; each thing is said once.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let credentials = self.credentials();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut said = Vec::new();
        for particulars in credentials.pairs().filter_map(|pair| Particulars::read(pair.leaf())) {
            let Some(mark) = expiry_mark(&particulars, now) else { continue };
            if held.warned.insert((particulars.fingerprint.clone(), mark)) {
                said.push(warning(&particulars, now));
            }
        }
        said
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("shown", &self.credentials()).finish_non_exhaustive()
    }
}

/// Which of [`WARN_DAYS`] is reached.
#[must_use]
pub fn expiry_mark(particulars: &Particulars, now: Timestamp) -> Option<i64> {
    let left = particulars.days_left(now);
    WARN_DAYS.into_iter().filter(|days| left < *days).min()
}

fn warning(particulars: &Particulars, now: Timestamp) -> String {
    let names =
        if particulars.names.is_empty() { particulars.subject.to_string() } else { particulars.names.join(", ") };
    let end = particulars.not_after.rfc3339();
    let when = match particulars.days_left(now) {
        left if left < 0 => "has expired; clients that check it go away".to_owned(),
        0 => "expires within a day".to_owned(),
        1 => "expires in 1 day".to_owned(),
        left => format!("expires in {left} days"),
    };
    format!("The certificate for {names} {when} ({end}). Put a new one in its place; no restart is needed.")
}

/// Where the certificate of an ACME source is kept: certificate chain and key in one file.
#[must_use]
pub fn acme_file(state: &Path, source: &CertificateSource) -> PathBuf {
    let name = match source {
        CertificateSource::Acme(acme) => acme.names.first().map(ToString::to_string).unwrap_or_default(),
        _ => String::new(),
    };
    state.join("acme").join("certificates").join(format!("{name}.pem"))
}

impl Held {
    /// Takes over what can be used; what cannot, is told.
    fn read(&mut self, sources: &[Source], authority: Option<&Path>, now: Timestamp) -> Vec<TlsFault> {
        // Before the files are read: what changes meanwhile is seen as changed the next time.
        self.stamps = stamps(sources, authority);
        let mut faults = Vec::new();
        for (Source { source, acme }, held) in sources.iter().zip(&mut self.pairs) {
            match load::pair(source, acme, now) {
                Ok(pair) => *held = Some(Arc::new(pair)),
                Err(fault) => faults.push(fault),
            }
        }
        match authority.map(load::authorities).transpose() {
            Ok(roots) => self.roots = roots,
            Err(fault) => faults.push(fault),
        }
        faults
    }

    fn credentials(&self) -> Result<Credentials, TlsFault> {
        Credentials::new(self.pairs.iter().flatten().cloned().collect(), self.roots.clone())
    }
}

fn stamps(sources: &[Source], authority: Option<&Path>) -> Vec<Option<Stamp>> {
    let files = sources.iter().flat_map(|source| load::files(&source.source, &source.acme));
    files.chain(authority.map(Path::to_owned)).map(|file| stamp(&file)).collect()
}

/// The file as it is now.
pub(super) fn stamp(file: &Path) -> Option<Stamp> {
    // Through links: what they point to is what counts, and whoever turns a link around changes it.
    let metadata = std::fs::metadata(file).ok()?;
    Some(Stamp {
        inode: metadata.ino(),
        size: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}
