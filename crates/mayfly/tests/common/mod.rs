//! Runs the binary as its users do.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts the exit code, and gives standard output.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }

    /// Asserts that it did, and reads its JSON.
    #[track_caller]
    pub(crate) fn json(self) -> serde_json::Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Asserts the exit code and that standard error says something; nothing goes to standard output.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, saying: &str) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stderr.contains(saying), "`{saying}` is not in: {self:?}");
        self.stderr
    }
}

/// The binary, without any environment of ours that it heeds.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    command.args(words).stdin(Stdio::null());
    for name in [
        "MAYFLY_DIR",
        "MAYFLY_CONFIG",
        "MAYFLY_SOCKET",
        "MAYFLY_DATABASE_PASSWORD",
        "MAYFLY_KEY_PASSPHRASE",
        "MAYFLY_PKCS11_PIN",
        "NO_COLOR",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
pub(crate) fn mayfly(words: &[&str]) -> Ran {
    Ran::of(command(words).output().unwrap())
}

/// Runs it on a data directory.
pub(crate) fn mayfly_in(dir: &Path, words: &[&str]) -> Ran {
    Ran::of(command(words).env("MAYFLY_DIR", dir).output().unwrap())
}

/// Runs it with something on standard input.
pub(crate) fn mayfly_with(input: &[u8], mut command: Command) -> Ran {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}
