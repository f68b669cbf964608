//! The connection to a running server: finding its socket, asking, and what its refusals come to.

use std::path::Path;

use clap::Args;
use mayfly_server::client::{Client, ClientError};
use mayfly_server::protocol::{AdminError, AdminRequest, AdminResponse, ErrorCode, Page};

use crate::failure::{Failure, Outcome};
use crate::place::Place;

/// A connection to a running server.
pub(crate) struct Admin {
    client: Client,
}

impl Admin {
    /// Connects to the server that the options of the command line name.
    pub(crate) fn connect(place: &Place) -> Outcome<Self> {
        Self::connect_to(&place.socket()?)
    }

    /// Connects to a socket.
    pub(crate) fn connect_to(socket: &Path) -> Outcome<Self> {
        Client::connect(socket).map(|client| Self { client }).map_err(failure)
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, request: AdminRequest) -> Outcome<AdminResponse> {
        self.client.ask(request).map_err(failure)
    }
}

fn failure(error: ClientError) -> Failure {
    let text = error.to_string();
    match error {
        ClientError::Refused(AdminError { code, .. }) => match code {
            ErrorCode::Invalid => Failure::Usage(text),
            ErrorCode::Version
            | ErrorCode::Busy
            | ErrorCode::Storage
            | ErrorCode::Keys
            | ErrorCode::Internal => Failure::Unreachable(text),
            _ => Failure::Refused(text),
        },
        ClientError::TooLong { .. } => Failure::Usage(text),
        _ => Failure::Unreachable(text),
    }
}

/// What a request is answered with; anything else means that the server is of another make.
macro_rules! answered {
    ($response:expr, $variant:ident) => {
        match $response {
            mayfly_server::protocol::AdminResponse::$variant(value) => Ok(value),
            _ => Err($crate::admin::another_answer()),
        }
    };
}
pub(crate) use answered;

/// The server answered something else than was asked.
pub(crate) fn another_answer() -> Failure {
    Failure::Unreachable(
        "the server answered something else than was asked; is it of the same version as this program?"
            .into(),
    )
}

/// Which part of a list.
#[derive(Clone, Debug, Args)]
pub(crate) struct PageArgs {
    /// How many items, 1 to 500
    #[arg(long, value_name = "COUNT")]
    limit: Option<u32>,
    /// Go on where the last page ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl PageArgs {
    /// For the protocol.
    pub(crate) fn page(&self) -> Page {
        Page { limit: self.limit, cursor: self.cursor.clone() }
    }
}

/// The line below a list that has more.
pub(crate) fn more(next: Option<&String>) -> String {
    next.map(|cursor| format!("\nthere is more: add --cursor {cursor}")).unwrap_or_default()
}
