//! Compares what the code makes with a file beside the test; `BLESS=1` writes the file anew, for review in the diff.

use std::path::{Path, PathBuf};

/// A folder of this crate's tests.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The files in a folder whose name ends so, in order.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no *.{extension} in {}", folder.display());
    found
}

/// Is this the file's text?
pub fn check(path: &Path, text: &str) {
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, expected, "\n{} differs; if the new text is right, run the test with BLESS=1", path.display());
}

/// CRLF text as lines, each CRLF checked.
pub fn lines(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets).into_owned();
    let unended = text.replace("\r\n", "");
    assert!(!unended.contains(['\r', '\n']), "a bare CR or LF in {text:?}");
    text.replace("\r\n", "\n")
}
