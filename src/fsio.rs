//! Files that are either whole or absent.

use anyhow::{Context, Result};
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
}
