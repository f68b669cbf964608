//! The client's half of the admin protocol: what the command line asks a running server with.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::protocol::{
    AdminError, AdminRequest, AdminResponse, Outcome, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX, RequestLine,
    ResponseLine, VERSION,
};

/// How long a request may take before the client gives up.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to a server's admin socket.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

/// Why a request was not answered, or was answered with an error.
#[derive(Debug)]
pub enum ClientError {
    /// No server listens there.
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// The socket belongs to somebody else.
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke before the answer was complete.
    Broken {
        /// The socket.
        path: PathBuf,
        /// How.
        error: io::Error,
    },
    /// What came back is no answer of this protocol.
    NotAnAnswer {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The request is longer than the server takes.
    TooLong {
        /// Its length, in bytes.
        bytes: usize,
    },
    /// The server says no.
    Refused(AdminError),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning { path, error } => write!(
                f,
                "no server listens on {} ({error}); start it with `mayfly serve`, or name the data directory \
                 of the one that runs",
                path.display()
            ),
            Self::NotAllowed { path } => write!(
                f,
                "you may not use {}: it is for the user that runs the server; become that user",
                path.display()
            ),
            Self::Broken { path, error } => write!(
                f,
                "the server on {} went away before it answered ({error}); whether it did what was asked \
                 shows when you look",
                path.display()
            ),
            Self::NotAnAnswer { path, why } => write!(
                f,
                "what listens on {} does not speak this protocol ({why}); is it a server of the same version?",
                path.display()
            ),
            Self::TooLong { bytes } => write!(
                f,
                "the request has {bytes} bytes, a server takes at most {REQUEST_BYTES_MAX}; ask for less"
            ),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ClientError {}

impl Client {
    /// Connects to the socket of a server.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] or [`ClientError::NotAllowed`].
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed { path: path.to_owned() },
            _ => ClientError::NotRunning { path: path.to_owned(), error },
        })?;
        let broken = |error| ClientError::Broken { path: path.to_owned(), error };
        stream.set_read_timeout(Some(TIMEOUT)).map_err(broken)?;
        stream.set_write_timeout(Some(TIMEOUT)).map_err(broken)?;
        Ok(Self { path: path.to_owned(), stream: BufReader::new(stream) })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`ClientError::Refused`] is the server's own answer; all others mean that there was none.
    pub fn ask(&mut self, request: AdminRequest) -> Result<AdminResponse, ClientError> {
        let line = RequestLine { version: VERSION, request };
        // Requests may hold a whole number: what was written is wiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
        serde_json::to_writer(&mut *bytes, &line).map_err(|error| self.not_an_answer(&error))?;
        bytes.push(b'\n');
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(ClientError::TooLong { bytes: bytes.len() });
        }
        self.stream.get_mut().write_all(&bytes).map_err(|error| self.broken(error))?;
        let mut answer = Zeroizing::new(Vec::with_capacity(4096));
        let limit = RESPONSE_BYTES_MAX as u64;
        let read = (&mut self.stream).take(limit).read_until(b'\n', &mut answer);
        read.map_err(|error| self.broken(error))?;
        if answer.last() != Some(&b'\n') {
            return Err(self.broken(io::ErrorKind::UnexpectedEof.into()));
        }
        let answer: ResponseLine =
            serde_json::from_slice(&answer).map_err(|error| self.not_an_answer(&error))?;
        match answer.outcome {
            Outcome::Response(response) => Ok(*response),
            Outcome::Error(error) => Err(ClientError::Refused(error)),
        }
    }

    fn broken(&self, error: io::Error) -> ClientError {
        ClientError::Broken { path: self.path.clone(), error }
    }

    fn not_an_answer(&self, error: &serde_json::Error) -> ClientError {
        // serde_json's texts name what was expected and where; they can quote a value that was sent.
        let why = format!("{:?} at column {}", error.classify(), error.column());
        ClientError::NotAnAnswer { path: self.path.clone(), why }
    }
}
