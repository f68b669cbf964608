//! One request, one line; one response, one line.

use serde::Deserialize;
use serde_json::error::Category;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use zeroize::Zeroizing;

use crate::protocol::{
    AdminError, AdminRequest, AdminResponse, ErrorCode, Outcome, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX,
    RequestLine, ResponseLine, VERSION,
};

/// What came of reading a line.
#[derive(Debug)]
pub(super) enum Line {
    /// A whole line. It may hold a card number: it is wiped.
    Whole(Zeroizing<Vec<u8>>),
    /// The peer is done.
    End,
    /// Longer than a request may be. What is left of it is not read.
    TooLong,
}

/// Reads one line, at most [`REQUEST_BYTES_MAX`] bytes.
pub(super) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Line> {
    // Made once, so that no copy of it is left behind by growing.
    let mut line = Zeroizing::new(Vec::with_capacity(REQUEST_BYTES_MAX));
    loop {
        let there = from.fill_buf().await?;
        if there.is_empty() {
            return Ok(Line::End);
        }
        let end = there.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(there.len());
        if line.len() + taken >= REQUEST_BYTES_MAX {
            return Ok(Line::TooLong);
        }
        line.extend_from_slice(&there[..taken]);
        from.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(Line::Whole(line));
        }
    }
}

/// Reads a request.
pub(super) fn request(line: &[u8]) -> Result<AdminRequest, AdminError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u16,
    }
    // A request of another version need not look like one of this.
    let versioned: Versioned = serde_json::from_slice(line).map_err(|error| invalid(&error))?;
    if versioned.version != VERSION {
        let what = format!(
            "this server speaks version {VERSION} of the protocol, not {}; use the command line of the same \
             release",
            versioned.version
        );
        return Err(AdminError::new(ErrorCode::Version, what));
    }
    let line: RequestLine = serde_json::from_slice(line).map_err(|error| invalid(&error))?;
    Ok(line.request)
}

fn invalid(error: &serde_json::Error) -> AdminError {
    let what = match error.classify() {
        // The texts of this crate's own types, which shorten what they quote, and serde's, which name fields.
        Category::Data => format!("the request can't be read: {error}"),
        _ => format!("the request is not one line of JSON (column {})", error.column()),
    };
    AdminError::new(ErrorCode::Invalid, what)
}

/// Writes a response, its line feed included.
pub(super) fn response(outcome: Result<AdminResponse, AdminError>) -> Zeroizing<Vec<u8>> {
    let outcome = match outcome {
        Ok(response) => Outcome::Response(Box::new(response)),
        Err(error) => Outcome::Error(error),
    };
    let bytes = bytes(outcome);
    if bytes.len() <= RESPONSE_BYTES_MAX {
        return bytes;
    }
    let what = "the answer is longer than a line may be; ask for fewer items";
    self::bytes(Outcome::Error(AdminError::new(ErrorCode::Limit, what)))
}

fn bytes(outcome: Outcome) -> Zeroizing<Vec<u8>> {
    // An issued number fits in without growing; nothing longer is secret.
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    // Writing to memory fails only for keys that are no text, and there are none.
    if serde_json::to_writer(&mut *bytes, &ResponseLine { version: VERSION, outcome }).is_err() {
        bytes.clear();
    }
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_what_is_wrong_with_them() {
        let error = |text: &str| request(text.as_bytes()).unwrap_err();
        assert!(request(br#"{"version":1,"request":{"status":{}}}"#).is_ok());
        assert_eq!(error(r#"{"version":2,"request":{"teleport":1}}"#).code, ErrorCode::Version);
        for text in ["", "{", "1", r#"{"request":{"status":{}}}"#, r#"{"version":1}"#, "\u{0}"] {
            assert_eq!(error(text).code, ErrorCode::Invalid, "{text}");
        }
        let unknown = error(r#"{"version":1,"request":{"teleport":{}}}"#);
        assert!(unknown.message.contains("teleport"), "{unknown}");
        let field = error(r#"{"version":1,"request":{"show-issuer":{"isuer":"iss_1"}}}"#);
        assert!(field.message.contains("isuer") && field.message.contains("issuer"), "{field}");
        let id = error(r#"{"version":1,"request":{"show-issuer":{"issuer":"acct_1"}}}"#);
        assert!(id.message.contains("iss_1a"), "{id}");
    }

    #[test]
    fn no_error_repeats_a_card_number() {
        let pan = "4569409360110523";
        for text in [
            format!(r#"{{"version":1,"request":{{"show-number":{{"number":"{pan}"}}}}}}"#),
            format!(
                r#"{{"version":1,"request":{{"open-programme":{{"issuer":"iss_1","name":"a","terms":{{"prefix":"456940"}},"universal":"{pan}"}}}}}}"#
            ),
        ] {
            let error = request(text.as_bytes()).unwrap_err();
            assert!(!error.message.contains("4569409360"), "{error}");
        }
    }
}
