//! Secrets that a command needs: from the environment, from a file of their own, or typed, and never from the command line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};

/// Longer than any of them, in bytes.
const SECRET_BYTES_MAX: usize = 1024;
/// What group and others may do.
const OTHERS: u32 = 0o077;
/// Where people type, whatever standard input is.
const TERMINAL: &str = "/dev/tty";

/// Where a secret comes from: the environment variable goes before the file, and both before the terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecretFrom<'a> {
    /// What people call it.
    pub(crate) what: &'static str,
    /// The environment variable that can hold it.
    pub(crate) variable: &'static str,
    /// The option that names a file.
    pub(crate) option: &'static str,
    /// The file.
    pub(crate) file: Option<&'a Path>,
}

impl SecretFrom<'_> {
    /// The secret.
    pub(crate) fn load(&self) -> Outcome<Zeroizing<String>> {
        match self.given()? {
            Some(secret) => Ok(secret),
            None => self.terminal()?.ask(self.what),
        }
    }

    /// A new one: whoever types it types it twice.
    pub(crate) fn load_new(&self) -> Outcome<Zeroizing<String>> {
        if let Some(secret) = self.given()? {
            return Ok(secret);
        }
        let mut terminal = self.terminal()?;
        let secret = terminal.ask(self.what)?;
        if *terminal.ask("the same again")? == *secret {
            Ok(secret)
        } else {
            Err(Failure::Usage("that was not the same twice; try again".into()))
        }
    }

    fn given(&self) -> Outcome<Option<Zeroizing<String>>> {
        if let Some(value) = std::env::var_os(self.variable).filter(|value| !value.is_empty()) {
            let text = value.into_string().map_err(|_| self.wrong(self.variable, "is no text in UTF-8"))?;
            return Ok(Some(Zeroizing::new(text)));
        }
        self.file.map(|path| self.read(path)).transpose()
    }

    /// The one line of a file that is its owner's alone.
    fn read(&self, path: &Path) -> Outcome<Zeroizing<String>> {
        let name = path.display();
        let failed = |error| Failure::unreachable(format!("{name} can't be read"), error);
        // Looked at before opening, too: opening a pipe would wait for somebody to write into it.
        let metadata = fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(self.wrong(name, "is not a regular file"));
        }
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & OTHERS != 0 {
            let why = format!("can be used by others (mode {mode:04o}); run `chmod 600 {name}`");
            return Err(self.wrong(name, why));
        }
        // Reserved whole at once: growing would leave a copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 2));
        file.take(SECRET_BYTES_MAX as u64 + 2).read_to_end(&mut bytes).map_err(failed)?;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = str::from_utf8(line).ok().filter(|text| {
            !text.is_empty() && text.len() <= SECRET_BYTES_MAX && !text.contains(['\n', '\r', '\0'])
        });
        let text = text.ok_or_else(|| self.wrong(name, "does not have just one line of text"))?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    fn wrong(&self, whose: impl std::fmt::Display, why: impl std::fmt::Display) -> Failure {
        Failure::Usage(format!("{}: {whose} {why}", self.what))
    }

    fn terminal(&self) -> Outcome<Terminal> {
        Terminal::open().map_err(|_| {
            let Self { what, variable, option, .. } = self;
            Failure::Usage(format!(
                "{what} is needed, and there is no terminal to type it: name a file with {option}, or set {variable}"
            ))
        })
    }
}

/// A name or another thing that everybody may see, typed.
pub(crate) fn ask_openly(what: &str, otherwise: &str) -> Outcome<String> {
    let mut terminal = Terminal::open().map_err(|_| {
        Failure::Usage(format!("{what} is needed, and there is no terminal to type it: {otherwise}"))
    })?;
    let typed = terminal.line(what).map_err(unread)?;
    Ok(typed.as_str().to_owned())
}

fn unread(error: io::Error) -> Failure {
    Failure::unreachable("the terminal can't be read", error)
}

/// The terminal that the process belongs to.
struct Terminal(File);

impl Terminal {
    fn open() -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open(TERMINAL).map(Self)
    }

    /// Asks for a line that does not show while it is typed.
    fn ask(&mut self, what: &str) -> Outcome<Zeroizing<String>> {
        let _dark = Dark::begin(&self.0).map_err(unread)?;
        let typed = self.line(what);
        // The line feed was not shown either.
        let _ = self.0.write_all(b"\n");
        typed.map_err(unread)
    }

    fn line(&mut self, what: &str) -> io::Result<Zeroizing<String>> {
        self.0.write_all(format!("{what}: ").as_bytes())?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX));
        let mut byte = [0];
        while self.0.read(&mut byte)? == 1 && byte != *b"\n" {
            if bytes.len() == SECRET_BYTES_MAX {
                return Err(io::Error::other("the line is too long"));
            }
            bytes.extend_from_slice(&byte);
        }
        let text = str::from_utf8(&bytes).map_err(|_| io::Error::other("that is no text in UTF-8"))?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

/// While it lives, the terminal shows nothing of what is typed.
pub(crate) struct Dark {
    terminal: File,
    before: Termios,
}

impl Dark {
    /// From now on.
    pub(crate) fn begin(terminal: &File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut now = before.clone();
        now.local_modes -= LocalModes::ECHO;
        let terminal = terminal.try_clone()?;
        tcsetattr(&terminal, OptionalActions::Flush, &now)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Dark {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(file: &Path) -> SecretFrom<'_> {
        let (what, variable, option) = ("the word", "MAYFLY_TEST_NO_SUCH_VARIABLE", "--word-file");
        SecretFrom { what, variable, option, file: Some(file) }
    }

    fn written(content: &[u8], mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_file_has_one_line_and_one_owner() {
        for content in ["a word", "a word\n", "a word\r\n"] {
            let file = written(content.as_bytes(), 0o600);
            assert_eq!(from(file.path()).load().unwrap().as_str(), "a word");
            assert_eq!(from(file.path()).load_new().unwrap().as_str(), "a word");
        }
        for content in [&b""[..], b"\n", b"two\nlines\n", b"\xff", &[b'x'; 1025], b"nul\0\n"] {
            let file = written(content, 0o600);
            let failure = from(file.path()).load().unwrap_err();
            assert!(failure.to_string().contains("one line"), "{failure}");
            assert_eq!(failure.code(), 2);
        }
        let file = written(b"a word", 0o640);
        let failure = from(file.path()).load().unwrap_err().to_string();
        assert!(failure.contains("0640") && failure.contains("chmod 600") && !failure.contains("a word"));
        assert_eq!(from(Path::new("/dev/null")).load().unwrap_err().code(), 2);
        assert_eq!(from(&file.path().with_extension("none")).load().unwrap_err().code(), 3);
    }
}
