//! The admin socket: one JSON line for each request and each answer.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::Card;

/// A connection to the admin socket.
pub(crate) struct Admin {
    stream: BufReader<UnixStream>,
}

impl Admin {
    /// To the socket at `path`.
    pub(crate) fn connect(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks. The value is what the response holds, or the server's error; [`io::Error`] means that it is gone.
    pub(crate) fn ask(&mut self, request: Value) -> io::Result<Result<Value, Value>> {
        let line = json!({ "version": 1, "request": request }).to_string() + "\n";
        self.stream.get_mut().write_all(line.as_bytes())?;
        let mut answer = String::new();
        self.stream.read_line(&mut answer)?;
        if !answer.ends_with('\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut answer: Value = serde_json::from_str(&answer)?;
        if let Some(error) = answer.get_mut("error") {
            return Ok(Err(error.take()));
        }
        let response = answer["response"].as_object_mut().and_then(|object| object.values_mut().next());
        Ok(Ok(response.map(Value::take).unwrap_or_default()))
    }

    /// What must be answered with a response.
    pub(crate) fn must(&mut self, request: Value) -> Value {
        let shown = request.to_string();
        self.ask(request).unwrap().unwrap_or_else(|error| panic!("{shown}: {error}"))
    }

    /// An issuer with a programme whose numbers begin with `prefix`; gives the issuer's id. The bounds are wide,
    /// for tests that are about something else.
    pub(crate) fn open_issuer(&mut self, name: &str, prefix: &str) -> String {
        self.open_issuer_with(name, prefix, json!({}))
    }

    /// The same, with more terms.
    pub(crate) fn open_issuer_with(&mut self, name: &str, prefix: &str, more: Value) -> String {
        let issuer = id(&self.must(json!({ "open-issuer": { "name": name } })));
        let mut terms = json!({ "prefix": prefix, "active_max": 1_000_000, "lifetime_s": 86_400 });
        terms.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.must(json!({ "open-programme": { "issuer": issuer, "name": name, "terms": terms } }));
        issuer
    }

    /// An account in USD that may owe so much, in cents; gives its id.
    pub(crate) fn open_account(&mut self, issuer: &str, credit: u64) -> String {
        let limit = json!({ "credit": { "minor": credit } });
        id(&self.must(json!({ "open-account": { "issuer": issuer, "currency": "USD", "limit": limit } })))
    }

    /// A number that is good so many times.
    pub(crate) fn issue(&mut self, account: &str, uses: u32) -> io::Result<Result<Card, Value>> {
        let request = json!({ "issue-number": { "account": account, "uses": uses } });
        Ok(self.ask(request)?.map(|issued| {
            let text = |name: &str| issued[name].as_str().unwrap_or_default().to_owned();
            let expiry = text("expiry");
            let (month, year) = expiry.split_at(2);
            Card { id: text("id"), number: text("number"), yymm: format!("{year}{month}"), uses }
        }))
    }

    /// What an account has, and what of it is held, in cents.
    pub(crate) fn money(&mut self, account: &str) -> (i64, i64) {
        let shown = self.must(json!({ "show-account": { "account": account } }));
        (shown["balance"]["minor"].as_i64().unwrap(), shown["held"]["minor"].as_i64().unwrap())
    }
}

fn id(opened: &Value) -> String {
    opened["id"].as_str().unwrap().to_owned()
}
