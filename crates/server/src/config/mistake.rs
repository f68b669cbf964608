//! What an operator can get wrong in the configuration file.

use std::fmt;
use std::path::{Path, PathBuf};

use mayfly_store::DatabaseError;

use super::hosts::HostWrong;

/// Everything that is wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Each mistake.
    pub mistakes: Vec<Mistake>,
}

/// One mistake: where it is and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1; none if the key is not in the file.
    pub line: Option<usize>,
    /// The key; empty if it is about the whole file.
    pub key: String,
    /// What is wrong.
    pub wrong: Wrong,
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The file can't be read.
    Unreadable(std::io::ErrorKind),
    /// The file is longer than any configuration.
    TooLong,
    /// It is not TOML.
    Syntax(String),
    /// There is no such key.
    Unknown {
        /// The key that was meant, perhaps.
        nearest: Option<String>,
    },
    /// A value of another type.
    Type {
        /// What must stand there.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A number outside its bounds.
    Range {
        /// The number.
        found: String,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// Of what.
        unit: &'static str,
    },
    /// Not one of the words.
    Choice {
        /// What stands there.
        found: String,
        /// The words.
        of: &'static [&'static str],
    },
    /// No address with a port.
    Address(String),
    /// An address that others can reach.
    NotLoopback(String),
    /// Not an IP address.
    IpAddress(String),
    /// Others can reach it, and there is no certificate.
    PlainHttp(String),
    /// A certificate without its key, or a key without a certificate.
    HalfTls,
    /// No listener, or too many.
    ListenerCount {
        /// How many there may be.
        max: usize,
    },
    /// A listener without this key.
    ListenerLacks(&'static str),
    /// Two listeners at one address.
    ListenerTwice(String),
    /// An issuer's host can't be used.
    IssuerHost(HostWrong),
    /// No dialect of that name, nor a file.
    NoDialect(String),
    /// The dialect file is wrong.
    Dialect(String),
    /// The path does not fit into a socket's address.
    SocketPathLong {
        /// How long it is, in bytes.
        bytes: usize,
    },
    /// An empty path.
    Empty,
    /// Not a level, nor a list of levels.
    Level(String),
    /// A batch that the queue can't hold.
    BatchOverQueue,
    /// A journal that is cut while its records are still needed.
    JournalShort,
    /// Views that forget what the journal still tells.
    ViewsBeforeJournal,
    /// Views that forget what the engine still remembers.
    ViewsBeforeEngine,
    /// No database can be meant by it.
    Database(DatabaseError),
    /// It is about a database, and none is named.
    NoDatabase,
    /// The file of a password can't be used.
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: SecretFault,
    },
    /// A source of keys that lacks what it needs.
    KeyLacks {
        /// The source: a value of `keys.source`.
        source: String,
    },
    /// It is about a source that no key has.
    NoSuchSource {
        /// The source.
        source: &'static str,
    },
    /// A version of the cards' keys stands twice.
    CardKeyTwice {
        /// The version.
        version: u16,
    },
    /// A version of the cards' keys without its number.
    CardKeyLacksVersion,
    /// The password in the environment is no text.
    PasswordVariable,
    /// The file of certificate authorities can't be used.
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

/// What is wrong with a file that holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFault {
    /// It can't be read.
    Unreadable(std::io::ErrorKind),
    /// It is a directory, a device or a pipe.
    NotAFile,
    /// Group or others may read, write or execute it.
    OpenToOthers {
        /// Its permission bits.
        mode: u32,
    },
    /// There is nothing in it.
    Empty,
    /// It is longer than any password, has more than one line, or is no text.
    NotOneLine,
}

impl SecretFault {
    /// What is wrong with this file, which should have a secret of that name.
    pub fn of(&self, path: &Path, what: &str) -> String {
        let path = path.display();
        match self {
            Self::Unreadable(kind) => format!(
                "names {path}, which can't be read ({kind}); check the path, and that the file belongs to the user that \
                 runs this program"
            ),
            Self::NotAFile => format!("names {path}, which is not a regular file; check the path"),
            Self::OpenToOthers { mode } => format!(
                "names {path}, which has mode {mode:04o}, so that its group or others can use it; run `chmod 600 {path}`, \
                 and change the {what} if somebody else may have read it"
            ),
            Self::Empty => format!("names {path}, which is empty; write the {what} there"),
            Self::NotOneLine => format!(
                "names {path}, which holds more than one line of text; write the {what} there, and nothing else"
            ),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.mistakes.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}", self.file.display())?;
            if let Some(line) = mistake.line {
                write!(f, ", line {line}")?;
            }
            write!(f, ": {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.wrong {
            Wrong::Unreadable(kind) => {
                write!(
                    f,
                    "the configuration can't be read ({kind}); check path and permissions, or make one with `mayfly init`"
                )
            }
            Wrong::TooLong => write!(f, "no configuration is that long; check the path"),
            Wrong::Syntax(why) => write!(f, "not TOML: {why}"),
            Wrong::Unknown { nearest: Some(nearest) } => {
                write!(f, "there is no key `{key}`; did you mean `{nearest}`?")
            }
            Wrong::Unknown { nearest: None } => {
                write!(f, "there is no key `{key}`; `mayfly serve --print-config` shows all that there are")
            }
            Wrong::Type { expected, found } => {
                write!(f, "`{key}` is {}; write {expected}", article(found))
            }
            Wrong::Range { found, min, max, unit } => {
                write!(f, "`{key}` is {found}; set {min} to {max} {unit}")
            }
            Wrong::Choice { found, of } => write!(f, "`{key}` is \"{found}\"; set one of {}", of.join(", ")),
            Wrong::IssuerHost(wrong) => write!(f, "`{key}` {wrong}"),
            Wrong::Address(found) => {
                write!(f, "`{key}` is \"{found}\"; set an IP address and a port, as in 127.0.0.1:8583")
            }
            Wrong::NotLoopback(found) => write!(
                f,
                "`{key}` is \"{found}\", which other machines can reach; set a loopback address, as in \
                 127.0.0.1:8580"
            ),
            Wrong::IpAddress(found) => {
                write!(
                    f,
                    "`{key}` has \"{found}\"; set IP addresses with commas between them, as in 127.0.0.1"
                )
            }
            Wrong::PlainHttp(found) => write!(
                f,
                "`{key}` is \"{found}\", which other machines can reach, and there is no certificate; set \
                 api.certificate and api.certificate_key, or a loopback address, or api.plain_http = true behind \
                 something that speaks TLS"
            ),
            Wrong::HalfTls => {
                write!(f, "`{key}` is not set; set both api.certificate and api.certificate_key, or none")
            }
            Wrong::ListenerCount { max } => write!(f, "`{key}` has none or too many; set 1 to {max}"),
            Wrong::ListenerLacks(what) => write!(
                f,
                "`{key}` has no {what}; write {{ address = \"127.0.0.1:8583\", dialect = \"ascii87\" }}"
            ),
            Wrong::ListenerTwice(address) => {
                write!(f, "`{key}` has {address} twice; give each listener an address of its own")
            }
            Wrong::NoDialect(name) => write!(
                f,
                "`{key}` is \"{name}\"; set {} or the path of a dialect file that exists",
                mayfly_iso8583::Dialect::BUILTIN.join(", ")
            ),
            Wrong::Dialect(why) => write!(f, "`{key}` names a dialect file with a mistake: {why}"),
            Wrong::SocketPathLong { bytes } => write!(
                f,
                "`{key}` has {bytes} bytes with its directory, a socket's path has at most {}; set a shorter one",
                super::SOCKET_BYTES_MAX
            ),
            Wrong::Empty => write!(f, "`{key}` is empty; set a path, or leave the key out"),
            Wrong::Level(found) => write!(
                f,
                "`{key}` has \"{found}\"; set off, error, warn, info, debug or trace, or a list as in \
                 info,mayfly_network=debug"
            ),
            Wrong::BatchOverQueue => {
                write!(f, "`{key}` is more than `engine.queue_max`; set it to that or less")
            }
            Wrong::JournalShort => write!(f, "`{key}` is 1; set it to 2 or more, or to 0 to keep everything"),
            Wrong::ViewsBeforeJournal => write!(
                f,
                "`{key}` is less than the journal is kept; set it to retention.journal_days or more, or to 0 to keep \
                 everything"
            ),
            Wrong::ViewsBeforeEngine => {
                write!(f, "`{key}` is less than engine.remember_h; set it to more days than that")
            }
            Wrong::Database(DatabaseError::Password) => write!(
                f,
                "`{key}` has a password in it; put it into a file of its own, and set database.password_file"
            ),
            Wrong::Database(error) => write!(f, "`{key}` can't be used: {error}"),
            Wrong::NoDatabase => write!(f, "`{key}` is set, and database.url is not; set both, or none"),
            Wrong::PasswordFile { path, fault } => {
                write!(f, "`{key}` {}", fault.of(path, "password"))
            }
            Wrong::KeyLacks { source } => {
                write!(
                    f,
                    "`{key}` is not set, and a key of the source \"{source}\" needs it; set both, or none"
                )
            }
            Wrong::NoSuchSource { source } => {
                write!(f, "`{key}` is set, and no key is of the source \"{source}\"; set both, or none")
            }
            Wrong::CardKeyTwice { version } => {
                write!(f, "`{key}` has version {version} once more; give each version a number of its own")
            }
            Wrong::CardKeyLacksVersion => {
                write!(f, "`{key}` has no version; write {{ version = 2, root_key_file = \"cards-2.key\" }}")
            }
            Wrong::PasswordVariable => {
                write!(f, "the environment variable {} is no text", super::PASSWORD_VARIABLE)
            }
            Wrong::CaFile { path, why } => {
                write!(
                    f,
                    "`{key}` names {}, which can't be used ({why}); set a file of certificates in PEM",
                    path.display()
                )
            }
        }
    }
}

fn article(found: &str) -> String {
    let an = found.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {found}", if an { "an" } else { "a" })
}
