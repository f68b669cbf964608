//! A connection to a listener, with errors that say whose fault it is.

use std::time::Duration;

use mayfly_iso8583::{Dialect, MessageBuilder};
use mayfly_lab::{Acquirer, AcquirerError};

use crate::failure::{Failure, Outcome};

/// A connection to a listener.
pub(crate) struct Peer {
    acquirer: Acquirer,
    to: String,
    dialect: &'static Dialect,
}

impl Peer {
    /// Connects to `HOST:PORT`. An answer is waited for as long as `timeout`.
    pub(crate) fn connect(to: &str, dialect: &'static Dialect, timeout: Duration) -> Outcome<Self> {
        let acquirer = Acquirer::connect(to, dialect).map_err(|error| {
            let error = match error {
                AcquirerError::Connect(error) => error.to_string(),
                other => other.to_string(),
            };
            Failure::Unreachable(format!(
                "nobody listens at {to} ({error}); is the server running, and is this its address?"
            ))
        })?;
        Ok(Self { acquirer: acquirer.with_timeout(timeout), to: to.to_owned(), dialect })
    }

    /// Sends a message and waits for its answer.
    pub(crate) fn ask(&mut self, message: &MessageBuilder) -> Outcome<MessageBuilder> {
        self.acquirer.send(message).map_err(|error| {
            let (to, dialect) = (&self.to, self.dialect.name());
            match error {
                AcquirerError::Encode(_) | AcquirerError::NoAnswer(_) => Failure::Usage(error.to_string()),
                AcquirerError::Frame(_) | AcquirerError::Unreadable(_) => {
                    Failure::Refused(format!("{to} does not speak {dialect}: {error}"))
                }
                AcquirerError::Closed => Failure::Unreachable(format!(
                    "{to} closed the connection without an answer; does it speak {dialect}?"
                )),
                _ => Failure::Unreachable(format!("{to}: {error}")),
            }
        })
    }
}

/// An address, as it is written on the command line.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("write HOST:PORT, 127.0.0.1:8583 for example".into()),
    }
}
