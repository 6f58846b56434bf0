//! What is kept of an owner's tokens under the state folder, so that a restart needs no log-in, and how others are kept
//! from asking at the same time.
//!
//! ```text
//! oauth/smart_host-office-0123456789abcdef.token      oauth/….lock
//!     # The tokens of smart host office. Whoever can read this file can use them.
//!     access: eyJ0eXAi…
//!     obtained: 2026-11-22T07:00:00Z
//!     expires: 2026-11-22T08:00:00Z
//!     refresh: 0.AXoA…
//!     seed: 5f1d…          (of which configured refresh token `refresh` is a descendant)
//! ```
//!
//! The number in the name is that of the client: another account, identity or scope never finds these tokens. Folder and file
//! are their owner's alone; what root writes belongs to whoever owns the folder above, so that the service can read it.
//! A file is replaced as a whole and safe on the disk before what is in it is used. [`Claim`] is held from reading to writing: one
//! process at a time asks a provider for an owner, so that a refresh token that may be used once is used once.

use super::plan::Span;
use super::provider::is_token;
use crate::certificate::place::{self, Readers};
use crate::secret;
use crate::tls::sha256;
use relay::config::terms::{Grant, OAuthClient, Owner};
use smtp::sasl::Secret;
use smtp::time::Timestamp;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long another process may keep us from asking.
const CLAIM_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often we look whether it still does.
const CLAIM_LOOK: Duration = Duration::from_millis(50);
/// The folder, under the state folder.
pub(super) const FOLDER: &str = "oauth";

/// What is kept.
#[derive(Clone, Default)]
pub(super) struct Kept {
    /// The access token, and from when to when it is good.
    pub(super) access: Option<(Secret, Span)>,
    /// The refresh token.
    pub(super) refresh: Option<Secret>,
    /// The hash of the configured refresh token that this one comes from.
    pub(super) seed: Option<[u8; 32]>,
}

/// Why nothing can be kept: a sentence with what to do.
#[derive(Debug)]
pub(super) struct KeptFault(String);

impl fmt::Display for KeptFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an owner's file, without its ending.
pub(super) fn stem(owner: &Owner, client: &OAuthClient) -> String {
    let grant = match &client.grant {
        Grant::ClientSecret(_) | Grant::ClientCertificate { .. } => "client",
        Grant::DeviceCode { .. } => "device",
        Grant::RefreshToken { .. } => "refresh",
        Grant::ServiceAccount { .. } => "account",
    };
    let parts = [&*client.user, &client.token_endpoint, &client.client_id, &client.scope, grant];
    let sum = sha256(parts.join("\n").as_bytes());
    let number: String = sum.iter().take(8).map(|octet| format!("{octet:02x}")).collect();
    format!("{}-{number}", prefix(owner))
}

/// What the names of all files of an owner begin with, before `-` and 16 digits.
pub(super) fn prefix(owner: &Owner) -> String {
    let (kind, name) = match owner {
        Owner::Server => ("server", ""),
        Owner::SmartHost(name) => ("smart_host", &**name),
        Owner::Domain(pattern) => ("domain", &**pattern),
    };
    let mut text = format!("{kind}-");
    for octet in name.bytes() {
        match octet {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' | b'-' | b'_' => text.push(octet.into()),
            _ => text.push_str(&format!("%{octet:02x}")),
        }
    }
    // A file's name has a bound; what is beyond it stands for itself by its hash.
    if text.len() > 180 {
        let sum = sha256(text.as_bytes());
        text.truncate(150);
        sum.iter().take(8).for_each(|octet| text.push_str(&format!("{octet:02x}")));
    }
    text
}

/// The file of an owner.
pub(super) fn file(state: &Path, stem: &str) -> PathBuf {
    state.join(FOLDER).join(format!("{stem}.token"))
}

/// The files of an owner, whatever the client.
pub(super) fn files_of(state: &Path, owner: &Owner) -> Vec<PathBuf> {
    let prefix = prefix(owner) + "-";
    let is_ours = |name: &str| {
        let number = name.strip_prefix(&*prefix).and_then(|rest| rest.strip_suffix(".token"));
        number.is_some_and(|number| number.len() == 16 && number.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    let entries = fs::read_dir(state.join(FOLDER)).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_ours)).map(|entry| entry.path()).collect()
}

/// The right to ask for an owner's tokens and to write them. Goes with the process, however it ends.
pub(super) struct Claim {
    file: PathBuf,
    owner: String,
    _lock: File,
}

impl Claim {
    /// Takes it, unless somebody else asks right now. Touches the disk.
    pub(super) fn take(state: &Path, stem: &str, owner: &Owner) -> Result<Option<Claim>, KeptFault> {
        let folder = state.join(FOLDER);
        private_folder(&folder)?;
        let path = folder.join(format!("{stem}.lock"));
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = opened.map_err(|error| fault("open", &path, &error))?;
        hand_over(&path, &folder);
        match lock.try_lock() {
            Ok(()) => Ok(Some(Claim { file: file(state, stem), owner: owner.to_string(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(fault("lock", &path, &error)),
        }
    }

    /// Takes it as soon as nobody else asks.
    pub(super) async fn wait(state: &Path, stem: &str, owner: &Owner) -> Result<Claim, KeptFault> {
        let until = tokio::time::Instant::now() + CLAIM_WAIT_MAX;
        loop {
            let (state, stem, of) = (state.to_owned(), stem.to_owned(), owner.clone());
            let taken = tokio::task::spawn_blocking(move || Claim::take(&state, &stem, &of)).await;
            match taken
                .unwrap_or_else(|_| Err(KeptFault("nothing can be kept, by a fault in Mailroot itself".into())))?
            {
                Some(claim) => return Ok(claim),
                None if tokio::time::Instant::now() < until => tokio::time::sleep(CLAIM_LOOK).await,
                None => {
                    return Err(KeptFault(format!("another process asks for the tokens of {owner} and does not end")));
                }
            }
        }
    }

    /// The file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Puts this in its place; on the disk when it returns.
    pub(super) fn write(&self, kept: &Kept) -> Result<(), KeptFault> {
        let text = print(&self.owner, kept);
        place::write(&self.file, text.reveal(), Readers::Owner).map_err(|fault| KeptFault(fault.to_string()))?;
        if let Some(folder) = self.file.parent() {
            hand_over(&self.file, folder);
        }
        Ok(())
    }
}

/// What is kept in a file; nothing, if it is gone or is none of ours any more.
pub(super) fn read(file: &Path) -> Result<Kept, KeptFault> {
    match secret::whole(file) {
        Ok(text) => Ok(parse(&text).unwrap_or_default()),
        Err(secret::SecretFault::Unreadable { error, .. }) if error.kind() == ErrorKind::NotFound => {
            Ok(Kept::default())
        }
        Err(fault) => Err(KeptFault(fault.to_string())),
    }
}

fn print(owner: &str, kept: &Kept) -> Secret {
    let mut text = Vec::with_capacity(64 * 1024);
    text.extend(format!("# The tokens of {owner}. Whoever can read this file can use them.\n").bytes());
    let mut line = |key: &str, value: &[u8]| {
        text.extend(key.bytes().chain(*b": ").chain(value.iter().copied()).chain(*b"\n"));
    };
    if let Some((token, span)) = &kept.access {
        line("access", token.reveal());
        line("obtained", span.from.rfc3339().as_bytes());
        line("expires", span.to.rfc3339().as_bytes());
    }
    if let Some(token) = &kept.refresh {
        line("refresh", token.reveal());
    }
    if let Some(seed) = &kept.seed {
        line("seed", seed.iter().map(|octet| format!("{octet:02x}")).collect::<String>().as_bytes());
    }
    Secret::new(text)
}

fn parse(text: &Secret) -> Option<Kept> {
    let text = text.text()?;
    let field = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    let token = |key: &str| field(key).map(|value| Secret::new(value.as_bytes().to_vec())).filter(is_token);
    let time = |key: &str| field(key).and_then(Timestamp::parse_rfc3339);
    let span = time("obtained").zip(time("expires")).map(|(from, to)| Span { from, to });
    let seed = field("seed").and_then(|digits| {
        let octet = |at: usize| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok();
        let octets: Option<Vec<u8>> = (0..32).map(octet).collect();
        octets?.try_into().ok()
    });
    Some(Kept { access: token("access").zip(span), refresh: token("refresh"), seed })
}

/// What a file is like, to know whether it has changed; `None`: it is not there.
pub(super) type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// What the file is like now.
pub(super) fn stamp(file: &Path) -> Stamp {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec()))
}

/// Makes the folder and those above it where they are missing, for their owner alone.
fn private_folder(folder: &Path) -> Result<(), KeptFault> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        private_folder(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {
            if let Some(above) = folder.parent() {
                hand_over(folder, above);
            }
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(fault("make", folder, &error)),
    }
}

/// What root makes belongs to whoever owns the folder that it lies in: the service, which does not run as root. Others
/// cannot give anything away, and need not.
fn hand_over(file: &Path, folder: &Path) {
    if let Ok(of) = fs::metadata(folder) {
        let _ = std::os::unix::fs::lchown(file, Some(of.uid()), Some(of.gid()));
    }
}

fn fault(deed: &str, file: &Path, error: &io::Error) -> KeptFault {
    let advice = crate::files::advice(error).map(|advice| format!(" ({advice})")).unwrap_or_default();
    KeptFault(format!("cannot {deed} {}: {error}{advice}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay::config::terms::{BearerMechanism, SecretSource};
    use std::os::unix::fs::PermissionsExt;

    fn owner(name: &str) -> Owner {
        Owner::SmartHost(name.into())
    }

    fn client(user: &str) -> OAuthClient {
        OAuthClient {
            user: user.into(),
            mechanism: BearerMechanism::Any,
            token_endpoint: "https://id.example/token".into(),
            device_endpoint: None,
            client_id: "relay".into(),
            scope: "mail".into(),
            grant: Grant::ClientSecret(SecretSource::Environment("X".into())),
            authorities: None,
        }
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn what_is_kept_is_read_back_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let (owner, client) = (owner("office"), client("relay@contoso.com"));
        let stem = stem(&owner, &client);
        let claim = Claim::take(&state, &stem, &owner).unwrap().unwrap();
        assert!(read(claim.file()).unwrap().access.is_none());
        let span = Span::new(Timestamp(1_795_330_800_123), Some(Duration::from_secs(3_600)));
        let kept =
            Kept { access: Some((secret("eyJ0.x-y_z"), span)), refresh: Some(secret("0.AXoA~")), seed: Some([7; 32]) };
        claim.write(&kept).unwrap();
        let back = read(claim.file()).unwrap();
        assert_eq!(back.access.as_ref().unwrap().0.text(), Some("eyJ0.x-y_z"));
        assert_eq!(back.access.unwrap().1, span);
        assert_eq!((back.refresh.unwrap().text().unwrap().to_owned(), back.seed), ("0.AXoA~".into(), Some([7; 32])));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&state.join(FOLDER)), mode(claim.file())), (0o700, 0o700, 0o600));
        assert_eq!(files_of(&state, &owner), [claim.file()]);
        // As long as one has the claim, nobody else does.
        assert!(Claim::take(&state, &stem, &owner).unwrap().is_none());
        drop(claim);
        assert!(Claim::take(&state, &stem, &owner).unwrap().is_some());
    }

    #[test]
    fn another_client_has_another_file_and_no_name_leaves_the_folder() {
        let one = stem(&owner("office"), &client("a@contoso.com"));
        assert_ne!(one, stem(&owner("office"), &client("b@contoso.com")));
        assert_ne!(one, stem(&Owner::Domain("office".into()), &client("a@contoso.com")));
        assert_eq!(prefix(&Owner::Domain("*.contoso.com".into())), "domain-%2a.contoso.com");
        assert_eq!(prefix(&owner("../../etc/x y")), "smart_host-..%2f..%2fetc%2fx%20y");
        let long = (prefix(&owner(&"x".repeat(300))), prefix(&owner(&"x".repeat(301))));
        assert!(long.0.len() < 200 && long.0 != long.1, "{long:?}");
        let folder = tempfile::tempdir().unwrap();
        for name in ["office", "office-2"] {
            let (owner, client) = (owner(name), client("a"));
            let claim = Claim::take(folder.path(), &stem(&owner, &client), &owner).unwrap().unwrap();
            claim.write(&Kept::default()).unwrap();
        }
        assert_eq!(files_of(folder.path(), &owner("office")).len(), 1, "and not those of office-2");
    }

    #[test]
    fn what_is_broken_is_nothing_and_what_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.token");
        for text in
            ["", "nonsense", "access: x\nobtained: yesterday\nexpires: 2026-11-22T08:00:00Z\n", "refresh: a b\n"]
        {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            let kept = read(&file).unwrap();
            assert!(kept.access.is_none() && kept.refresh.is_none() && kept.seed.is_none(), "{text}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&file).err().unwrap().to_string().contains("chmod 600"));
    }

    #[test]
    fn a_stamp_tells_a_file_that_was_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        assert_eq!(stamp(&file), None);
        place::write(&file, b"one", Readers::Owner).unwrap();
        let first = stamp(&file);
        assert!(first.is_some() && first == stamp(&file));
        place::write(&file, b"two", Readers::Owner).unwrap();
        assert_ne!(stamp(&file), first);
    }
}
