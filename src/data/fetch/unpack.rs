//! Archives and folders into the files that the catalog lists.
//!
//! Only listed names are ever written, so an archive cannot put anything
//! outside of the folder meant for it.

use super::{CatalogFile, FetchEntry, FetchEvent};
use anyhow::{Context, Result, ensure};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

/// Takes the listed files out of a zip, whatever folder they lie in there.
///
/// # Errors
/// Not a zip, or a damaged one.
pub fn zip(
    entry: &FetchEntry,
    archive: &Path,
    to: &Path,
    report: &mut dyn FnMut(FetchEvent),
) -> Result<()> {
    let context = || format!("cannot unpack {}", archive.display());
    let file = File::open(archive).with_context(context)?;
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).with_context(context)?;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).with_context(context)?;
        let Some(listed) = listed(entry, member.name()) else {
            continue;
        };
        write_file(&mut member, &to.join(listed.name)).with_context(context)?;
        report(FetchEvent::Unpacked {
            file: listed.name.to_owned(),
        });
    }
    Ok(())
}

fn listed<'a>(entry: &'a FetchEntry, member: &str) -> Option<&'a CatalogFile> {
    let base = member.rsplit(['/', '\\']).next()?;
    entry.files.iter().find(|f| f.name == base)
}

/// Copies the listed files out of a folder, where each may be `.gz`.
///
/// # Errors
/// A required file that is not there; a damaged gzip file.
pub fn folder(
    entry: &FetchEntry,
    from: &Path,
    to: &Path,
    report: &mut dyn FnMut(FetchEvent),
) -> Result<()> {
    for file in entry.files {
        let plain = from.join(file.name);
        let packed = from.join(format!("{}.gz", file.name));
        let source = [&plain, &packed].into_iter().find(|p| p.exists());
        let Some(source) = source else {
            ensure!(
                !file.required,
                "{} has neither {} nor {}.gz",
                from.display(),
                file.name,
                file.name
            );
            continue;
        };
        plain_or_gz(source, &to.join(file.name))?;
        report(FetchEvent::Unpacked {
            file: file.name.to_owned(),
        });
    }
    Ok(())
}

/// Copies a file, without its gzip if it has one.
///
/// # Errors
/// A file that cannot be read or written.
pub fn plain_or_gz(from: &Path, to: &Path) -> Result<()> {
    if starts_with(from, &[0x1f, 0x8b])? {
        let file = open(from)?;
        return write_file(&mut MultiGzDecoder::new(file), to)
            .with_context(|| format!("cannot unpack {}", from.display()));
    }
    copy(from, to)
}

/// Copies a file as it is.
///
/// # Errors
/// A file that cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    write_file(&mut open(from)?, to).with_context(|| format!("cannot copy {}", from.display()))
}

/// Whether the file begins as zip files do.
///
/// # Errors
/// A file that cannot be read.
pub fn is_zip(path: &Path) -> Result<bool> {
    starts_with(path, b"PK")
}

fn starts_with(path: &Path, magic: &[u8]) -> Result<bool> {
    let mut head = Vec::new();
    open(path)?
        .take(magic.len() as u64)
        .read_to_end(&mut head)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(head == magic)
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(BufReader::new(file))
}

fn write_file(from: &mut dyn Read, to: &Path) -> Result<()> {
    let mut file =
        BufWriter::new(File::create(to).with_context(|| format!("cannot write {}", to.display()))?);
    std::io::copy(from, &mut file)?;
    file.flush()?;
    Ok(())
}
