//! A small file system of its own, for tests that fill it or make it read-only. Only the superuser can mount.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A mounted file system; unmounted when this is dropped.
pub(crate) struct Mount(TempDir);

impl Mount {
    /// One in memory, of a size as `mount` takes it.
    pub(crate) fn tmpfs(size: &str) -> Result<Self, String> {
        let at = TempDir::new().map_err(|error| error.to_string())?;
        let options = format!("size={size},mode=700");
        mount(["-t", "tmpfs", "-o", options.as_str(), "tmpfs"], at.path())?;
        Ok(Self(at))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// With other options.
    pub(crate) fn again(&self, options: &str) {
        mount(["-o", format!("remount,{options}").as_str()], self.path()).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process of a failed test may still be in it: out of sight now, gone with that process.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn mount<'a>(args: impl IntoIterator<Item = &'a str>, at: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(args).arg(at).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
