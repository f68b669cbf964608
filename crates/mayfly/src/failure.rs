//! How a command fails: one sentence for people, one exit code for scripts.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It was understood and refused, or what was checked did not hold: exit code 1.
    Refused(String),
    /// It was not understood: exit code 2.
    Usage(String),
    /// The server, the peer or the files could not be reached: exit code 3.
    Unreachable(String),
    /// Whoever reads our output has seen enough (`mayfly … | head`): no failure to speak of.
    OutputClosed,
}

/// What a command comes to.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// The exit code, as the help text lists them.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        }
    }

    /// Says it on standard error, and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if *self != Self::OutputClosed {
            if json {
                let error =
                    serde_json::json!({ "error": { "exit_code": self.code(), "message": self.to_string() } });
                eprintln!("{error}");
            } else {
                eprintln!("mayfly: {self}");
            }
        }
        ExitCode::from(self.code())
    }

    /// Something could not be read, written or reached.
    pub(crate) fn unreachable(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::Unreachable(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) | Self::Usage(why) | Self::Unreachable(why) => f.write_str(why),
            Self::OutputClosed => f.write_str("the output was closed"),
        }
    }
}

/// Of writing to standard output, the one kind of I/O that is not named where it happens.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::unreachable("the output can't be written", error),
        }
    }
}
