//! A token of SoftHSM2 in a directory of its own, for what speaks to a hardware module.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::new_directory;

/// Tokens of SoftHSM2, and the configuration that leads to them; all of it is removed with this.
///
/// The library reads its configuration from the environment ([`SoftHsm::VARIABLE`]), so whatever loads it is a process
/// that was started with that.
#[derive(Debug)]
pub struct SoftHsm {
    directory: PathBuf,
}

impl SoftHsm {
    /// Where the library looks for its configuration.
    pub const VARIABLE: &str = "SOFTHSM2_CONF";
    /// The user's PIN of every token.
    pub const PIN: &str = "493817";

    /// With one token of this label.
    ///
    /// # Panics
    /// If SoftHSM2 is not installed, or makes no token.
    #[must_use]
    pub fn with_token(label: &str) -> Self {
        let made = Self { directory: new_directory("softhsm") };
        let tokens = made.directory.join("tokens");
        std::fs::create_dir_all(&tokens).expect("a temporary directory");
        let configuration = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        std::fs::write(made.configuration(), configuration).expect("a file in a temporary directory");
        made.add_token(label);
        made
    }

    /// Makes another token.
    ///
    /// # Panics
    /// If SoftHSM2 is not installed, or makes no token.
    pub fn add_token(&self, label: &str) {
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", label, "--so-pin", "80021774", "--pin", Self::PIN])
            .env(Self::VARIABLE, self.configuration())
            .output();
        match made {
            Ok(output) if output.status.success() => {}
            Ok(output) => panic!("softhsm2-util: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => panic!("this test needs SoftHSM2 ({error}): install Debian's package softhsm2"),
        }
    }

    /// Takes all tokens away from whoever has them open, as if the module were disconnected; or brings them back.
    ///
    /// # Panics
    /// If they are not where they were left.
    pub fn take_away(&self, away: bool) {
        let places = ["tokens", "tokens.away"].map(|name| self.directory.join(name));
        let (from, to) = if away { (&places[0], &places[1]) } else { (&places[1], &places[0]) };
        std::fs::rename(from, to).expect("a directory in a temporary directory");
    }

    /// The value of [`SoftHsm::VARIABLE`].
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.directory.join("softhsm2.conf")
    }

    /// The library, where Debian has it.
    ///
    /// # Panics
    /// If SoftHSM2 is not installed.
    #[must_use]
    pub fn library() -> &'static Path {
        let path = Path::new("/usr/lib/softhsm/libsofthsm2.so");
        assert!(path.exists(), "this test needs SoftHSM2: install Debian's package softhsm2");
        path
    }
}

impl Drop for SoftHsm {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
