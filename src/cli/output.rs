//! Standard output: the only place that writes to it.

use anyhow::Result;
use std::io::{ErrorKind, Write};

/// Writes what the person asked for.
///
/// # Errors
/// Output that cannot be written; see [`is_broken_pipe`].
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a line for the person to standard error, where nobody needs to be
/// listening.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Whether an error only means that the reader of our output, e.g. `head`,
/// had enough.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
    })
}
