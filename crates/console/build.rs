//! Names assets after what is in them, so that a browser may keep each for ever and never shows an old one.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=assets");
    println!("cargo::rerun-if-changed=build.rs");
    let home = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let folder = Path::new(&home).join("assets");
    let mut files: Vec<_> = fs::read_dir(&folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    let (mut addresses, mut list) = (String::new(), String::new());
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        let Some((stem, ending)) = name.rsplit_once('.') else { continue };
        let Some(kind) = kind(ending) else { continue };
        let hash = fnv(&fs::read(file.path())?);
        let served = format!("{stem}.{hash:016x}.{ending}");
        let path = file.path().display().to_string();
        let constant = name.replace(['.', '-'], "_").to_uppercase();
        writeln!(addresses, "/// Where `assets/{name}` is served.").map_err(io::Error::other)?;
        writeln!(addresses, "pub const {constant}: &str = \"/assets/{served}\";").map_err(io::Error::other)?;
        writeln!(list, "    (\"{served}\", \"{kind}\", include_bytes!({path:?})),").map_err(io::Error::other)?;
    }
    let code = format!("{addresses}\nconst FILES: &[(&str, &str, &[u8])] = &[\n{list}];\n");
    fs::write(Path::new(&out).join("assets.rs"), code)
}

/// Licence texts are not served.
fn kind(ending: &str) -> Option<&'static str> {
    match ending {
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

/// FNV-1a: not against anybody who means harm, only against an old file in a browser's cache.
fn fnv(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3))
}
