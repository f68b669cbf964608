//! What an error of PostgreSQL means.

use tokio_postgres::error::SqlState;

use crate::{Location, StoreError};

pub(crate) fn of_postgres(location: &Location, error: &tokio_postgres::Error) -> StoreError {
    let location = location.clone();
    let Some(said) = error.as_db_error() else {
        // A connection that could not be made, or broke. Such an error says what went wrong in its source.
        let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        let why = format!("{error}{source}");
        // The driver says only in words that a value was of another kind than the statement wants.
        let is_ours = why.starts_with("error serializing") || why.starts_with("error deserializing");
        return if is_ours {
            StoreError::Database { location, why }
        } else {
            StoreError::Lost { location, why }
        };
    };
    // The message only: details repeat the values of rows.
    let why = said.message().to_owned();
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
