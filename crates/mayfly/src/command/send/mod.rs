//! `mayfly send`: one ISO 8583 message, and its answer.

mod card;
pub(crate) mod compose;

use std::time::{Duration, Instant};

use clap::Args;
use mayfly_iso8583::{De, Dialect, Message};
use serde_json::json;
use zeroize::Zeroizing;

use crate::admin::{Admin, answered};
use crate::dialect::DialectChoice;
use crate::duration::parse_ms;
use crate::failure::{Failure, Outcome};
use crate::message_view::{MessageView, Sight, response_words};
use crate::output::{Output, Tone};
use crate::place::Place;
use crate::wire::Connection;
use compose::Contents;
use mayfly_server::protocol::AdminRequest;

/// Send one ISO 8583 message and show it with its answer
///
/// Exit code 0 if it was answered, whatever the answer; 1 if --expect names another response code; 3 if nothing
/// came back. What is shown is masked, unless --show-numbers is given.
#[derive(Debug, Args)]
pub(crate) struct Send {
    #[command(flatten)]
    contents: Contents,
    /// Where to send it; if not given, the running server is asked where it listens
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<String>,
    #[command(flatten)]
    dialect: DialectChoice,
    /// How long to wait for the connection and for the answer
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_ms)]
    timeout: u64,
    /// The response code that should come back (DE 39)
    #[arg(long, value_name = "CODE")]
    expect: Option<String>,
    /// Show card numbers, dates and codes whole
    #[arg(long)]
    show_numbers: bool,
}

impl Send {
    /// Runs it.
    pub(crate) fn run(&self, place: &Place, output: Output) -> Outcome {
        let dialect = self.dialect.load()?;
        let builder = self.contents.compose()?;
        let mut wire = Zeroizing::new(Vec::new());
        builder
            .encode(&dialect, &mut wire)
            .map_err(|error| Failure::Usage(format!("this message can't be written: {error}")))?;
        let to = match &self.to {
            Some(to) => to.clone(),
            None => listening(place, &dialect)?,
        };
        let sight = Sight::of(self.show_numbers);
        let sent = view(&dialect, &wire[dialect.header().header_len()..], sight)?;
        if !output.is_json() {
            output.line(output.tone(Tone::Strong, &format!("sent to {to}")))?;
            output.line(sent.lines("  ").trim_end())?;
        }
        let begun = Instant::now();
        let timeout = Duration::from_millis(self.timeout);
        let received = Connection::open(&to, &dialect, timeout)?.ask(&wire)?;
        let elapsed_ms = begun.elapsed().as_secs_f64() * 1000.0;
        let answer = view(&dialect, &received, sight)?;
        let code = Message::parse(&dialect, &received)
            .ok()
            .and_then(|message| message.text(De::RESPONSE_CODE).map(str::to_owned));
        if output.is_json() {
            output.json(&json!({
                "to": to, "request": sent, "answer": answer, "response_code": code, "elapsed_ms": elapsed_ms,
            }))?;
        } else {
            output.line(output.tone(Tone::Strong, &format!("answered after {elapsed_ms:.1} ms")))?;
            output.line(answer.lines("  ").trim_end())?;
        }
        match (&self.expect, code) {
            (Some(expected), code) if code.as_deref() != Some(expected) => {
                let got = code.as_deref().map_or_else(|| "no response code".to_owned(), response_words);
                Err(Failure::Refused(format!("expected {}, and got {got}", response_words(expected))))
            }
            _ => Ok(()),
        }
    }
}

/// Where the running server listens for this dialect.
fn listening(place: &Place, dialect: &Dialect) -> Outcome<String> {
    let ask = || -> Outcome<String> {
        let status = answered!(Admin::connect(place)?.ask(AdminRequest::Status {})?, Status)?;
        let found =
            status.addresses.iso8583.into_iter().find(|listening| listening.dialect == dialect.name());
        found.map(|listening| listening.address).ok_or_else(|| {
            Failure::Refused(format!(
                "the server has no listener for {}; give --dialect or --to",
                dialect.name()
            ))
        })
    };
    ask().map_err(|failure| match failure {
        Failure::Unreachable(why) => {
            Failure::Unreachable(format!("{why}; or say where to send it with --to HOST:PORT"))
        }
        other => other,
    })
}

fn view(dialect: &Dialect, body: &[u8], sight: Sight) -> Outcome<MessageView> {
    match Message::parse(dialect, body) {
        Ok(message) => Ok(MessageView::of(&message, sight)),
        Err(failure) => Err(Failure::Refused(format!(
            "the message can't be read in the dialect {}: {}",
            dialect.name(),
            failure.error
        ))),
    }
}
