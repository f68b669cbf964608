//! `mayfly send`: one ISO 8583 message, and its answer.

mod card;
pub(crate) mod compose;

use std::time::{Duration, Instant};

use clap::Args;
use mayfly_iso8583::{De, Dialect, MessageBuilder};
use serde_json::json;

use crate::admin::{Admin, answered};
use crate::dialect::DialectChoice;
use crate::duration::parse_ms;
use crate::failure::{Failure, Outcome};
use crate::message_view::{Sight, response_words, written};
use crate::output::{Output, Tone};
use crate::peer::{Peer, address};
use crate::place::Place;
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
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    to: Option<String>,
    #[command(flatten)]
    dialect: DialectChoice,
    /// How long to wait for the answer
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
        let sight = Sight::of(self.show_numbers);
        let sent = written(dialect, &builder, sight)?;
        let to = match &self.to {
            Some(to) => to.clone(),
            None => listening(place, dialect)?,
        };
        if !output.is_json() {
            output.line(output.tone(Tone::Strong, &format!("sent to {to}")))?;
            output.line(sent.lines("  ").trim_end())?;
        }
        let begun = Instant::now();
        let received = Peer::connect(&to, dialect, Duration::from_millis(self.timeout))?.ask(&builder)?;
        let elapsed_ms = begun.elapsed().as_secs_f64() * 1000.0;
        let answer = written(dialect, &received, sight)?;
        let code = received.text(De::RESPONSE_CODE).map(str::to_owned);
        if output.is_json() {
            output.json(&json!({
                "to": to, "request": sent, "answer": answer, "response_code": code, "elapsed_ms": elapsed_ms,
            }))?;
        } else {
            output.line(output.tone(Tone::Strong, &format!("answered after {elapsed_ms:.1} ms")))?;
            output.line(answer.lines("  ").trim_end())?;
            if code.as_deref() == Some("00")
                && let Some(reference) = reference(&builder)
            {
                output.line(output.tone(Tone::Faint, &reference))?;
            }
        }
        match &self.expect {
            Some(expected) if code.as_ref() != Some(expected) => {
                let got = code.as_deref().map_or_else(|| "no response code".to_owned(), response_words);
                Err(Failure::Refused(format!("expected {}, and got {got}", response_words(expected))))
            }
            _ => Ok(()),
        }
    }
}

/// What a later message about this one has to name: its completion, its reversal.
fn reference(sent: &MessageBuilder) -> Option<String> {
    let (rrn, stan) = (sent.text(De::RRN)?, sent.text(De::STAN)?);
    Some(format!("to refer to it later: --rrn {rrn} --original-stan {stan}"))
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
