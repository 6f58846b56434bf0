//! Folders on disks of their own.

use super::*;

/// A folder on another disk than the tests' temporary folders, if this machine has one that everybody may use.
fn elsewhere(home: &Home) -> Option<TempDir> {
    let other = tempfile::tempdir_in("/dev/shm").ok()?;
    let folder = |path: &Path| Folder::open(path).unwrap().look(OsStr::new("file")).map(|look| look.identity.0);
    for path in [other.path(), &home.path("")] {
        fs::write(path.join("file"), "x").unwrap();
    }
    let differ = folder(other.path()).unwrap() != folder(&home.path("")).unwrap();
    for path in [other.path(), &home.path("")] {
        fs::remove_file(path.join("file")).unwrap();
    }
    differ.then_some(other)
}

#[test]
fn pickup_may_be_a_disk_of_its_own() {
    let home = home("");
    let Some(other) = elsewhere(&home) else {
        eprintln!("SKIPPED: this machine has no second disk at /dev/shm");
        return;
    };
    fs::create_dir(home.path("Queue")).unwrap();
    std::os::unix::fs::symlink(other.path(), home.path("Queue/claimed")).unwrap();
    let life = home.start(IMPATIENT);
    home.put("one.eml", MAIL);
    home.put("bad.eml", "To: x@y.test\n\n");
    life.accepted();
    life.wait_for("Pickup file bad.eml is in Badmail");
    wait_until(|| home.names("Pickup/.claimed").is_empty(), || "the claimed file stays".into());
    life.end();
    // What was claimed there is found there.
    home.put("two.eml", MAIL);
    let life = home.open();
    life.accepted();
    let mut folder = PickupFolder::open(&home.path("")).unwrap();
    take(&mut folder, "two.eml", life.store.begin().unwrap());
    life.end();
    assert_eq!(home.names("Pickup/.claimed").len(), 1);
    let life = home.start(IMPATIENT);
    assert_eq!(life.accepted_many(2)[1].envelope.origin, Origin::Pickup { file: "two.eml".into() });
    life.end();
}

#[test]
fn badmail_may_be_a_disk_of_its_own() {
    let home = home("");
    let Some(other) = elsewhere(&home) else {
        eprintln!("SKIPPED: this machine has no second disk at /dev/shm");
        return;
    };
    std::os::unix::fs::symlink(other.path(), home.path("Badmail")).unwrap();
    let text = format!("To: x@y.test\n\n{}", "line\n".repeat(100_000));
    home.put("bad.eml", &text);
    let life = home.start(IMPATIENT);
    life.wait_for("Pickup file bad.eml is in Badmail");
    wait_until(|| home.names("Queue/claimed").is_empty(), || "the claimed file stays".into());
    let bad = home.names("Badmail").into_iter().find(|name| name.ends_with(".BAD")).unwrap();
    assert_eq!(fs::read_to_string(home.path("Badmail").join(bad)).unwrap(), text);
    assert_eq!(home.names("Badmail").len(), 3);
    life.end();
}
