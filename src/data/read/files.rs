//! Finding, opening and hashing input files.

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

const BUFFER: usize = 1 << 18;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The files that a config key names, globs expanded in alphabetical order.
/// A relative path is looked for in the current directory, then in `base`.
///
/// # Errors
/// A path or glob without a file; names the key and both places.
pub fn resolve(key: &str, patterns: &[String], base: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for pattern in patterns.iter().filter(|p| !p.is_empty()) {
        for file in resolve_one(key, pattern, base)? {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

fn resolve_one(key: &str, pattern: &str, base: &Path) -> Result<Vec<PathBuf>> {
    let mut places = vec![PathBuf::from(pattern)];
    if Path::new(pattern).is_relative() {
        places.push(base.join(pattern));
    }
    for place in &places {
        if place.is_dir() {
            bail!(
                "{key}: {} is a directory, name its files, e.g. {pattern}/*.csv",
                place.display()
            );
        }
        if place.exists() {
            return Ok(vec![place.clone()]);
        }
    }
    if pattern.contains(['*', '?', '[']) {
        for place in &places {
            let found = glob::glob(&place.to_string_lossy())
                .with_context(|| format!("{key}: bad glob `{pattern}`"))?;
            let mut found: Vec<PathBuf> = found
                .collect::<Result<_, _>>()
                .with_context(|| format!("{key}: cannot list `{pattern}`"))?;
            found.retain(|f| f.is_file());
            if !found.is_empty() {
                found.sort();
                return Ok(found);
            }
        }
        bail!(
            "{key}: no file matches `{pattern}`{}",
            beside(pattern, base)
        );
    }
    bail!("{key}: no such file: {pattern}{}", beside(pattern, base))
}

fn beside(pattern: &str, base: &Path) -> String {
    if Path::new(pattern).is_absolute() || base.as_os_str().is_empty() {
        return String::new();
    }
    format!(
        " (looked in the current directory and in {})",
        base.display()
    )
}

/// Opens a file for reading, through gzip or zstd where its first bytes say
/// so.
///
/// # Errors
/// Names the file.
pub fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let open = || -> Result<Box<dyn BufRead>> {
        let mut reader = BufReader::with_capacity(BUFFER, File::open(path)?);
        let start = reader.fill_buf()?;
        if start.starts_with(GZIP) {
            let unpacked = flate2::bufread::MultiGzDecoder::new(reader);
            Ok(Box::new(BufReader::with_capacity(BUFFER, unpacked)))
        } else if start.starts_with(ZSTD) {
            let unpacked = zstd::Decoder::with_buffer(reader)?;
            Ok(Box::new(BufReader::with_capacity(BUFFER, unpacked)))
        } else {
            Ok(Box::new(reader))
        }
    };
    open().with_context(|| format!("cannot read {}", path.display()))
}

/// The extension that tells the format: what is left without `.gz`, `.zst`.
pub fn extension(path: &Path) -> String {
    let lower = |p: &Path| {
        p.extension()
            .map(|e| e.to_string_lossy().to_lowercase())
            .unwrap_or_default()
    };
    match lower(path).as_str() {
        "gz" | "zst" | "zstd" => lower(Path::new(path.file_stem().unwrap_or_default())),
        other => other.to_string(),
    }
}

/// SHA-256 over the content of files, in order, and `text`; hexadecimal.
///
/// # Errors
/// Names the file that cannot be read.
pub fn hash(files: &[PathBuf], text: &str) -> Result<String> {
    let mut all = Sha256::new();
    for path in files {
        let digest = hash_file(path).with_context(|| format!("cannot read {}", path.display()))?;
        all.update(digest);
    }
    all.update(text);
    Ok(hex(&all.finalize()))
}

fn hash_file(path: &Path) -> Result<[u8; 32]> {
    let mut file = File::open(path)?;
    ensure!(!file.metadata()?.is_dir(), "it is a directory");
    let mut digest = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finalize().into()),
            n => digest.update(&buffer[..n]),
        }
    }
}

/// Hexadecimal digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn compressed_and_plain_files_read_alike() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("a.csv");
        std::fs::write(&plain, "x,y\n").unwrap();
        let gz = dir.path().join("a.csv.gz");
        let mut encoder = flate2::write::GzEncoder::new(
            File::create(&gz).unwrap(),
            flate2::Compression::default(),
        );
        encoder.write_all(b"x,y\n").unwrap();
        encoder.finish().unwrap();
        let zst = dir.path().join("b.bin");
        std::fs::write(&zst, zstd::encode_all(&b"x,y\n"[..], 1).unwrap()).unwrap();
        for path in [plain, gz, zst] {
            let mut text = String::new();
            open(&path).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "x,y\n", "{}", path.display());
        }
    }

    #[test]
    fn extensions_ignore_compression() {
        assert_eq!(extension(Path::new("d/a.CSV.gz")), "csv");
        assert_eq!(extension(Path::new("a.inter")), "inter");
        assert_eq!(extension(Path::new("a.gz")), "");
    }

    #[test]
    fn paths_are_found_beside_the_config_and_globs_are_sorted() {
        let dir = tempfile::tempdir().unwrap();
        // Names that the current directory does not have.
        for name in ["b.sortme", "a.sortme"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let patterns = ["*.sortme".into(), "a.sortme".into()];
        let files = resolve("data.path", &patterns, dir.path()).unwrap();
        let names: Vec<_> = files.iter().map(|f| f.file_name().unwrap()).collect();
        assert_eq!(names, ["a.sortme", "b.sortme"]);
    }

    #[test]
    fn a_missing_file_is_named_with_its_key() {
        let dir = tempfile::tempdir().unwrap();
        for pattern in ["none.csv", "none*.csv"] {
            let error = resolve("data.path", &[pattern.into()], dir.path()).unwrap_err();
            let error = format!("{error:#}");
            assert!(
                error.contains("data.path") && error.contains(pattern),
                "{error}"
            );
            assert!(error.contains("looked in"), "{error}");
        }
    }

    #[test]
    fn the_hash_depends_on_content_and_text_but_not_on_names() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, "1").unwrap();
        std::fs::write(&b, "1").unwrap();
        let of = |p: &PathBuf, t| hash(std::slice::from_ref(p), t).unwrap();
        assert_eq!(of(&a, "x"), of(&b, "x"));
        assert_ne!(of(&a, "x"), of(&a, "y"));
        std::fs::write(&b, "2").unwrap();
        assert_ne!(of(&a, "x"), of(&b, "x"));
    }
}
