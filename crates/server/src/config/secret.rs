//! Secrets in files of their own: passwords, passphrases, PINs.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::mistake::SecretFault;

/// Longer than any of them, in bytes.
const SECRET_BYTES_MAX: usize = 1024;
/// What group and others may do.
const OTHERS: u32 = 0o077;

/// The one line of a file that is its owner's alone.
///
/// # Errors
/// [`SecretFault`] if it is not that.
pub fn read(path: &Path) -> Result<Zeroizing<String>, SecretFault> {
    let unreadable = |error: std::io::Error| SecretFault::Unreadable(error.kind());
    // Looked at before opening, too: opening a pipe would wait for somebody to write into it.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(SecretFault::NotAFile);
    }
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_file() {
        return Err(SecretFault::NotAFile);
    }
    if mode & OTHERS != 0 {
        return Err(SecretFault::OpenToOthers { mode });
    }
    // Reserved whole at once: growing would leave a copy of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 1));
    file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = str::from_utf8(&bytes).map_err(|_| SecretFault::NotOneLine)?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(SecretFault::Empty);
    }
    if bytes.len() > SECRET_BYTES_MAX || line.contains(['\n', '\r', '\0']) {
        return Err(SecretFault::NotOneLine);
    }
    Ok(Zeroizing::new(line.to_owned()))
}
