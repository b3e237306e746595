//! Files that are either whole or absent.

use anyhow::{Context, Result, ensure};
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes a file through a temporary neighbor and a rename, so that a crash
/// or a full disk leaves the old file, or none, but never half of one.
///
/// # Errors
/// Names the path; the temporary file is removed.
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut std::fs::File>) -> Result<()>,
) -> Result<()> {
    let dir = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let inner = || -> Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".recsys-")
            .suffix(".part")
            .tempfile_in(dir)?;
        let mut buffered = BufWriter::new(file.as_file_mut());
        write(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        file.as_file().sync_all()?;
        relax_permissions(file.as_file())?;
        file.persist(path)?;
        Ok(())
    };
    inner().with_context(|| format!("cannot write {}", path.display()))
}

/// Puts a finished file in the place of another.
///
/// # Errors
/// A file that cannot be made durable or renamed.
pub fn replace(scratch: &Path, path: &Path) -> Result<()> {
    let file = std::fs::File::open(scratch)?;
    relax_permissions(&file)?;
    file.sync_all()?;
    Ok(std::fs::rename(scratch, path)?)
}

/// Temporary files are private; what they become is an ordinary file.
#[cfg(unix)]
fn relax_permissions(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn relax_permissions(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

/// Fills a new folder under a temporary name beside it and renames it at the
/// end, so that it appears whole or not at all.
///
/// # Errors
/// A folder of that name that is not empty, a file of that name, and what
/// `fill` returns; what was written is removed.
pub fn write_folder<T>(path: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let taken = match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.exists(),
    };
    ensure!(
        !taken,
        "{} is there already; name another folder, or remove it",
        path.display()
    );
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let start = || -> Result<tempfile::TempDir> {
        std::fs::create_dir_all(parent)?;
        Ok(tempfile::Builder::new()
            .prefix(".recsys-")
            .suffix(".part")
            .tempdir_in(parent)?)
    };
    let folder = start().with_context(|| format!("cannot write {}", path.display()))?;
    let filled = fill(folder.path())?;
    let finish = || -> std::io::Result<()> {
        relax_folder_permissions(folder.path())?;
        if path.is_dir() {
            std::fs::remove_dir(path)?;
        }
        std::fs::rename(folder.path(), path)
    };
    finish().with_context(|| format!("cannot write {}", path.display()))?;
    // Under its new name it is not to be removed any more.
    let _ = folder.keep();
    Ok(filled)
}

#[cfg(unix)]
fn relax_folder_permissions(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn relax_folder_permissions(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// [`write_atomic`] for content at hand.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_atomic_bytes(path: &Path, content: &[u8]) -> Result<()> {
    write_atomic(path, |w| Ok(w.write_all(content)?))
}

/// Reads a text file, naming it on failure.
///
/// # Errors
/// Missing, unreadable or not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_keeps_the_old_file_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomic_bytes(&path, b"old").unwrap();
        let failed = write_atomic(&path, |w| {
            w.write_all(b"half")?;
            anyhow::bail!("no space left")
        });
        assert!(format!("{:#}", failed.unwrap_err()).contains("a.txt"));
        assert_eq!(read_text(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_whole_or_absent_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/folder");
        let failed = write_folder(&path, |folder| -> Result<()> {
            std::fs::write(folder.join("a"), "half")?;
            anyhow::bail!("no space left")
        });
        assert!(failed.is_err() && !path.exists());
        std::fs::create_dir(&path).unwrap();
        let fill = |folder: &Path| Ok(std::fs::write(folder.join("a"), "whole")?);
        write_folder(&path, fill).unwrap();
        assert_eq!(read_text(&path.join("a")).unwrap(), "whole");
        let error = write_folder(&path, fill).unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
        assert_eq!(
            std::fs::read_dir(dir.path().join("new")).unwrap().count(),
            1
        );
    }
}
