//! Brings a public data set into `datasets/NAME/`: downloaded from its
//! official address (resumable) or taken from a local copy, checked, and
//! either whole or absent.

mod catalog;
mod download;
mod unpack;
mod verify;

pub use catalog::{CATALOG, CatalogFile, Check, FetchEntry, Source, find};

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// What happens while a data set is fetched.
#[derive(Clone, Debug, PartialEq)]
pub enum FetchEvent {
    /// The terms of use; always the first event.
    License { name: String, terms: String },
    /// Bytes of one address at hand, out of all of them where the server says.
    Downloaded {
        url: String,
        done: u64,
        total: Option<u64>,
    },
    /// A file was written.
    Unpacked { file: String },
    /// A file has the content that it should have.
    Verified { file: String },
    /// Nothing was done: the data set is there, whole.
    AlreadyThere(PathBuf),
}

/// Puts data set `name` into `dest_root/name` and returns that folder.
///
/// `from` replaces the official address: a zip file, a folder with the files
/// (plain or `.gz`), the address of a zip, or an address below which the
/// files lie.
///
/// # Errors
/// An unknown name (the nearest is offered), no connection (what came so far
/// is kept, the next call resumes it), content with another checksum (what
/// was downloaded is removed), a folder `dest_root/name` that holds something
/// else.
pub fn fetch(
    name: &str,
    from: Option<&str>,
    dest_root: &Path,
    report: &mut dyn FnMut(FetchEvent),
) -> Result<PathBuf> {
    fetch_entry(find(name)?, from, dest_root, report)
}

fn fetch_entry(
    entry: &FetchEntry,
    from: Option<&str>,
    dest_root: &Path,
    report: &mut dyn FnMut(FetchEvent),
) -> Result<PathBuf> {
    report(FetchEvent::License {
        name: entry.name.to_owned(),
        terms: entry.license.to_owned(),
    });
    let dest = dest_root.join(entry.name);
    if dest.exists() {
        verify::folder(entry, &dest, &mut |_| {}).with_context(|| {
            format!(
                "{} exists but is not data set `{}`: move it away to fetch it again",
                dest.display(),
                entry.name
            )
        })?;
        report(FetchEvent::AlreadyThere(dest.clone()));
        return Ok(dest);
    }
    std::fs::create_dir_all(dest_root)
        .with_context(|| format!("cannot create {}", dest_root.display()))?;
    let staging = tempfile::Builder::new()
        .prefix(&format!(".{}-", entry.name))
        .tempdir_in(dest_root)
        .with_context(|| format!("cannot create a folder in {}", dest_root.display()))?;
    let parts = collect(entry, from, dest_root, staging.path(), report)?;
    let verified = verify::folder(entry, staging.path(), report);
    if verified.is_ok() {
        write_terms(entry, staging.path())?;
        relax_permissions(staging.path())?;
        let staged = staging.keep();
        std::fs::rename(&staged, &dest)
            .with_context(|| format!("cannot rename {} to {}", staged.display(), dest.display()))?;
    }
    for part in &parts {
        std::fs::remove_file(part).ok();
    }
    verified
        .with_context(|| format!("what came is not data set `{}` and was removed", entry.name))?;
    Ok(dest)
}

/// Fills `staging`; returns the downloaded files, which are of no more use
/// once it is verified.
fn collect(
    entry: &FetchEntry,
    from: Option<&str>,
    dest_root: &Path,
    staging: &Path,
    report: &mut dyn FnMut(FetchEvent),
) -> Result<Vec<PathBuf>> {
    match from {
        Some(url) if is_url(url) && url.ends_with(".zip") => {
            from_zip_url(entry, url, None, dest_root, staging, report)
        }
        Some(url) if is_url(url) => from_base_url(entry, url, dest_root, staging, report),
        Some(path) => {
            from_path(entry, Path::new(path), staging, report)?;
            Ok(Vec::new())
        }
        None => match entry.source {
            Source::Zip { url, sha256 } => {
                from_zip_url(entry, url, Some(sha256), dest_root, staging, report)
            }
            Source::Files { base } => from_base_url(entry, base, dest_root, staging, report),
        },
    }
}

fn is_url(from: &str) -> bool {
    from.starts_with("http://") || from.starts_with("https://")
}

fn from_zip_url(
    entry: &FetchEntry,
    url: &str,
    sha256: Option<&'static str>,
    dest_root: &Path,
    staging: &Path,
    report: &mut dyn FnMut(FetchEvent),
) -> Result<Vec<PathBuf>> {
    let part = dest_root.join(format!("{}.zip.part", entry.name));
    ensure!(
        download::to_part(url, &part, report)?,
        "{url} does not exist (404)"
    );
    let unpacked = match sha256 {
        Some(expected) => verify::file(&part, &Check::Sha256(expected)),
        None => Ok(()),
    }
    .and_then(|()| unpack::zip(entry, &part, staging, report));
    if unpacked.is_err() {
        std::fs::remove_file(&part).ok();
    }
    unpacked.with_context(|| format!("{url} was removed again, fetch it once more"))?;
    Ok(vec![part])
}

fn from_base_url(
    entry: &FetchEntry,
    base: &str,
    dest_root: &Path,
    staging: &Path,
    report: &mut dyn FnMut(FetchEvent),
) -> Result<Vec<PathBuf>> {
    let mut parts = Vec::new();
    for file in entry.files {
        let url = format!("{}/{}", base.trim_end_matches('/'), file.name);
        let part = dest_root.join(format!("{}.{}.part", entry.name, file.name));
        if download::to_part(&url, &part, report)? {
            unpack::copy(&part, &staging.join(file.name))?;
            parts.push(part);
        } else {
            ensure!(!file.required, "{url} does not exist (404)");
        }
    }
    Ok(parts)
}

fn from_path(
    entry: &FetchEntry,
    path: &Path,
    staging: &Path,
    report: &mut dyn FnMut(FetchEvent),
) -> Result<()> {
    if path.is_dir() {
        return unpack::folder(entry, path, staging, report);
    }
    ensure!(path.exists(), "{} does not exist", path.display());
    if unpack::is_zip(path)? {
        return unpack::zip(entry, path, staging, report);
    }
    if let [only] = entry.files {
        return unpack::plain_or_gz(path, &staging.join(only.name));
    }
    bail!(
        "{} is neither a zip file nor a folder with the files of `{}`",
        path.display(),
        entry.name
    )
}

/// The terms stay beside the data.
fn write_terms(entry: &FetchEntry, folder: &Path) -> Result<()> {
    let text = format!("{}\n{}\n\n{}\n", entry.summary, entry.page, entry.license);
    crate::fsio::write_atomic_bytes(&folder.join("TERMS.txt"), text.as_bytes())
}

/// Temporary folders are private; what they become is an ordinary folder.
#[cfg(unix)]
fn relax_permissions(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} readable", folder.display()))
}

#[cfg(not(unix))]
fn relax_permissions(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
