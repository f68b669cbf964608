//! How long it takes to read a message, make it into a request, and write its answer.
//!
//! ```text
//! cargo run --release -p mayfly-network --example translate_speed
//! ```

use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use mayfly_card::ApprovalCode;
use mayfly_core::ResponseCode;
use mayfly_engine::Catalogue;
use mayfly_iso8583::{De, Dialect, Message, MessageBuilder, Mti};
use mayfly_keys::{KeyService, RootKey};
use mayfly_network::{respond, translate};

const ROUNDS: usize = 50;
const MESSAGES: u32 = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let catalogue = Catalogue::new(KeyService::new(&RootKey::from_bytes(&[7; 32])));
    let mut request = MessageBuilder::new(Mti::AUTHORISATION_REQUEST);
    for (element, content) in [
        (De::PAN, "4569409360110520"),
        (De::PROCESSING_CODE, "000000"),
        (De::AMOUNT, "2498"),
        (De::TRANSMISSION_TIME, "1122135606"),
        (De::STAN, "000017"),
        (De::LOCAL_TIME, "145606"),
        (De::LOCAL_DATE, "1122"),
        (De::EXPIRATION_DATE, "2912"),
        (De::MCC, "5411"),
        (De::ACQUIRER_COUNTRY, "840"),
        (De::POS_ENTRY_MODE, "812"),
        (De::ACQUIRER, "423935"),
        (De::RRN, "RRN000000001"),
        (De::TERMINAL, "TERM0001"),
        (De::CARD_ACCEPTOR, "MERCHANT1"),
        (De::CURRENCY, "840"),
    ] {
        request.set(element, content);
    }
    for name in Dialect::BUILTIN {
        let dialect = Dialect::builtin(name).ok_or("built in")?;
        let mut wire = Vec::new();
        request.encode_body(dialect, &mut wire)?;
        let message = Message::parse(dialect, &wire).map_err(|failure| failure.error)?;
        let approval = ApprovalCode::from_value(42);
        let mut out = Vec::with_capacity(4096);
        measure(name, "parse", || {
            black_box(Message::parse(dialect, black_box(&wire)).is_ok());
        })?;
        measure(name, "translate", || drop(black_box(translate(black_box(&message), &catalogue))))?;
        measure(name, "answer", || {
            out.clear();
            if let Some(answer) = respond(black_box(&message), ResponseCode::Approved, approval) {
                let _ = black_box(answer.encode(dialect, &mut out));
            }
        })?;
    }
    Ok(())
}

/// The fastest of some rounds: what slows the others down is not ours.
fn measure(dialect: &str, what: &str, mut once: impl FnMut()) -> std::io::Result<()> {
    let round = || {
        let begun = Instant::now();
        (0..MESSAGES).for_each(|_| once());
        begun.elapsed() / MESSAGES
    };
    let fastest = std::iter::repeat_with(round).take(ROUNDS).min().unwrap_or_default();
    writeln!(std::io::stdout(), "{dialect:>9} {what:>9} {:>5} ns", fastest.as_nanos())
}
