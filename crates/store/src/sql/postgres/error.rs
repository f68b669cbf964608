//! What an error of PostgreSQL means.

use std::io;

use tokio_postgres::error::{Severity, SqlState};

use crate::{Location, StoreError};

pub(crate) fn of_postgres(location: &Location, error: &tokio_postgres::Error) -> StoreError {
    let location = location.clone();
    let Some(said) = error.as_db_error() else {
        // A connection that could not be made, or broke. Such an error says what went wrong in its source.
        let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        let why = format!("{error}{source}");
        // The driver says only in words that a value was of another kind than the statement wants.
        if is_read_only(error) {
            return StoreError::Refused { location, why };
        }
        let is_ours = why.starts_with("error serializing") || why.starts_with("error deserializing");
        return if is_ours {
            StoreError::Database { location, why }
        } else {
            StoreError::Lost { location, why }
        };
    };
    // The message only: details repeat the values of rows.
    let why = said.message().to_owned();
    // The server gives up, for whatever reason, and begins anew: what was being done may be done or not.
    if said.parsed_severity() == Some(Severity::Panic) {
        return StoreError::Lost { location, why };
    }
    let code = said.code();
    let class = &code.code()[..2];
    match *code {
        SqlState::UNIQUE_VIOLATION => StoreError::Taken { location },
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => {
            StoreError::Conflict { location, why }
        }
        SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE => StoreError::Busy { location },
        SqlState::DISK_FULL => StoreError::Full { location },
        SqlState::READ_ONLY_SQL_TRANSACTION | SqlState::INSUFFICIENT_PRIVILEGE => {
            StoreError::Refused { location, why }
        }
        SqlState::IO_ERROR => StoreError::Io { location, why },
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::INVALID_SCHEMA_NAME => {
            StoreError::Damaged { location, why }
        }
        // The server shuts down, was killed, or starts; there are too many connections; the session was ended.
        _ if matches!(class, "08" | "53") || code.code().starts_with("57P") || class == "25" => {
            StoreError::Lost { location, why }
        }
        // A wrong password, or no such user or database.
        _ if matches!(class, "28" | "3D") => StoreError::CantOpen { location, why },
        _ if class == "XX" => StoreError::Damaged { location, why },
        _ => StoreError::Database { location, why },
    }
}

/// Whether the driver found, when it connected, that nothing can be written there. What the system itself does not permit has
/// a number.
fn is_read_only(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|error| {
        error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
    })
}

/// What it means that none of the hosts can be used: what is wrong with the one, or with all in the same way. Otherwise one of
/// them may come back.
pub(crate) fn of_hosts(location: &Location, mut failed: Vec<(String, StoreError)>) -> StoreError {
    let kind = |error: &StoreError| std::mem::discriminant(error);
    let alike = failed.windows(2).all(|two| kind(&two[0].1) == kind(&two[1].1));
    let is_lost = |error: &StoreError| matches!(error, StoreError::Lost { .. });
    if failed.len() < 2 || alike && !failed.iter().any(|(_, error)| is_lost(error)) {
        return failed.pop().map_or_else(|| StoreError::lost(location, "it has no host"), |(_, error)| error);
    }
    let whys = failed.iter().map(|(host, error)| format!("{host}: {}", error.why()));
    StoreError::lost(location, &whys.collect::<Vec<_>>().join("; "))
}
