//! A TCP connection on which ISO 8583 messages travel one after the other.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use mayfly_iso8583::{Dialect, Frame, Header};
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};

/// The shortest time that is waited for: the operating system takes zero for ever.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// A connection to a listener.
#[derive(Debug)]
pub(crate) struct Connection {
    to: String,
    dialect: String,
    header: Header,
    stream: TcpStream,
    timeout: Duration,
    /// What was received and not yet taken. It may hold card numbers.
    received: Zeroizing<Vec<u8>>,
}

impl Connection {
    /// Connects to `HOST:PORT`.
    pub(crate) fn open(to: &str, dialect: &Dialect, timeout: Duration) -> Outcome<Self> {
        let timeout = timeout.max(TIMEOUT_MIN);
        let addresses = to.to_socket_addrs().map_err(|error| {
            Failure::Usage(format!("{to} is no address ({error}): write HOST:PORT, 127.0.0.1:8583 for example"))
        })?;
        let mut failure = Failure::Usage(format!("{to} has no address"));
        for address in addresses {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => {
                    return Ok(Self {
                        to: to.to_owned(),
                        dialect: dialect.name().to_owned(),
                        header: dialect.header(),
                        stream,
                        timeout,
                        received: Zeroizing::default(),
                    });
                }
                Err(error) => {
                    failure = Failure::Unreachable(format!(
                        "nobody answers at {to} ({error}); is the server running, and is this its address?"
                    ));
                }
            }
        }
        Err(failure)
    }

    /// Both ends: ours, and theirs.
    pub(crate) fn addresses(&self) -> Outcome<(SocketAddr, SocketAddr)> {
        let addresses = || Ok((self.stream.local_addr()?, self.stream.peer_addr()?));
        addresses().map_err(|error| self.broken(&error))
    }

    /// Sends a message with its header, and waits for the next one that comes back: without its header.
    pub(crate) fn ask(&mut self, message: &[u8]) -> Outcome<Zeroizing<Vec<u8>>> {
        let deadline = Instant::now() + self.timeout;
        let sent = self.stream.set_write_timeout(Some(self.timeout)).and_then(|()| self.stream.write_all(message));
        sent.map_err(|error| self.broken(&error))?;
        loop {
            if let Some(answer) = self.take()? {
                return Ok(answer);
            }
            self.receive(deadline)?;
        }
    }

    /// The next message, if it is there as a whole.
    fn take(&mut self) -> Outcome<Option<Zeroizing<Vec<u8>>>> {
        loop {
            match self.header.next_frame(&self.received, self.header.message_len_max()) {
                Ok(Frame::Message { range }) => {
                    let end = range.end;
                    let message = Zeroizing::new(self.received[range].to_vec());
                    self.received.drain(..end);
                    return Ok(Some(message));
                }
                Ok(Frame::KeepAlive { consumed }) => drop(self.received.drain(..consumed)),
                Ok(Frame::Incomplete { .. }) => return Ok(None),
                Err(error) => {
                    let Self { to, dialect, .. } = self;
                    return Err(Failure::Refused(format!("{to} does not speak {dialect}: {error}")));
                }
            }
        }
    }

    fn receive(&mut self, deadline: Instant) -> Outcome {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut chunk = Zeroizing::new([0; 4096]);
        let read = self
            .stream
            .set_read_timeout(Some(left.max(TIMEOUT_MIN)))
            .and_then(|()| self.stream.read(&mut *chunk));
        let Self { to, dialect, timeout, .. } = self;
        match read {
            Ok(0) => Err(Failure::Unreachable(format!(
                "{to} closed the connection without an answer; does it speak {dialect}?"
            ))),
            Ok(bytes) => {
                self.received.extend_from_slice(&chunk[..bytes]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(Failure::Unreachable(format!("{to} did not answer within {} ms", timeout.as_millis())))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn broken(&self, error: &io::Error) -> Failure {
        Failure::unreachable(format!("the connection to {} broke", self.to), error)
    }
}
