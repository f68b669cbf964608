//! The acquirer's side of the demonstration: sends messages over TCP, reads the answers, and keeps what was said.

use std::path::Path;
use std::time::{Duration, SystemTime};

use mayfly_card::{Expiry, MinorUnits, Pan};
use mayfly_iso8583::{De, Dialect, MessageBuilder};
use mayfly_lab::{Acceptor, Card, Register};
use mayfly_server::protocol::Issued;
use zeroize::Zeroizing;

use super::pcap::{Capture, Side};
use crate::failure::{Failure, Outcome};
use crate::message_view::{MessageView, Sight, written};
use crate::peer::Peer;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The acquirer's port in the capture.
const PORT: u16 = 40_000;

/// What came of a message.
pub(crate) struct Exchange {
    /// As it was sent.
    pub(crate) request: MessageView,
    /// As it was answered.
    pub(crate) answer: MessageView,
    /// DE 39.
    pub(crate) code: String,
    /// DE 38.
    pub(crate) approval: Option<String>,
    /// The answer, whole.
    pub(crate) said: MessageBuilder,
}

/// An acquirer with its cash register.
pub(crate) struct Till {
    /// Makes the messages.
    pub(crate) register: Register,
    dialect: &'static Dialect,
    peer: Peer,
    capture: Option<Capture>,
}

impl Till {
    /// Connects to a listener.
    pub(crate) fn open(to: &str, dialect: &'static Dialect, capture: bool) -> Outcome<Self> {
        let peer = Peer::connect(to, dialect, TIMEOUT)?;
        let capture = capture.then(|| Capture::begin(PORT, SystemTime::now()));
        Ok(Self { register: Register::new(shop("SHOP")?), dialect, peer, capture })
    }

    /// Writes what was captured to a file.
    pub(crate) fn finish(self, path: Option<&Path>) -> Outcome {
        match (self.capture, path) {
            (Some(capture), Some(path)) => capture
                .finish(path, SystemTime::now())
                .map_err(|error| Failure::unreachable(format!("{} can't be written", path.display()), error)),
            _ => Ok(()),
        }
    }

    /// The next messages come from this merchant.
    pub(crate) fn at(&mut self, merchant: &str) -> Outcome<&mut Register> {
        self.register.acceptor = shop(merchant)?;
        Ok(&mut self.register)
    }

    /// Sends a message and reads its answer.
    pub(crate) fn ask(&mut self, message: &MessageBuilder) -> Outcome<Exchange> {
        let sent_at = SystemTime::now();
        let answer = self.peer.ask(message)?;
        if let Some(capture) = &mut self.capture {
            capture.said(Side::Acquirer, &wire(self.dialect, message)?, sent_at);
            capture.said(Side::Listener, &wire(self.dialect, &answer)?, SystemTime::now());
        }
        let text = |element| answer.text(element).map(str::to_owned);
        Ok(Exchange {
            request: self.view(message)?,
            answer: self.view(&answer)?,
            code: text(De::RESPONSE_CODE).unwrap_or_default(),
            approval: text(De::APPROVAL_CODE),
            said: answer,
        })
    }

    /// A message as it is shown.
    pub(crate) fn view(&self, message: &MessageBuilder) -> Outcome<MessageView> {
        written(self.dialect, message, Sight::Masked)
    }
}

/// A message as it was on the wire: a dialect has one way only to write it.
fn wire(dialect: &Dialect, message: &MessageBuilder) -> Outcome<Zeroizing<Vec<u8>>> {
    let mut wire = Zeroizing::new(Vec::new());
    message.encode(dialect, &mut wire).map_err(|error| Failure::Refused(error.to_string()))?;
    Ok(wire)
}

fn shop(merchant: &str) -> Outcome<Acceptor> {
    Acceptor::web_shop(merchant).ok_or_else(|| Failure::Refused(format!("{merchant} is no merchant's id")))
}

/// An amount of the demonstration.
pub(crate) fn minor(minor: u64) -> MinorUnits {
    MinorUnits::new(minor).unwrap_or(MinorUnits::MAX)
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

/// A number that was just issued, as its cardholder types it in.
pub(crate) fn card(issued: &Issued) -> Outcome<Card> {
    let expiry = Expiry::parse_mmyy(issued.expiry.expose())
        .map_err(|_| Failure::Refused("the server issued a number with a date that is none".into()))?;
    let cvc2 = Some(Zeroizing::new(issued.cvc2.expose().to_owned()));
    Ok(Card { pan: issued.number.clone(), expiry, cvc2 })
}

/// The same number with another CVC2.
pub(crate) fn with_wrong_cvc2(card: &Card) -> Card {
    let right = card.cvc2.as_ref().is_some_and(|cvc2| cvc2.as_str() == "000");
    let wrong = if right { "001" } else { "000" };
    Card { cvc2: Some(Zeroizing::new(wrong.into())), ..card.clone() }
}

/// The same number with a date a year later: it is wrong, and not over.
pub(crate) fn with_wrong_date(card: &Card) -> Card {
    let yymm = card.expiry.yymm();
    let (year, month) = yymm.split_at(2);
    let later = year.parse::<u32>().map_or(0, |year| (year + 1) % 100);
    let wrong = Expiry::parse_yymm(&format!("{later:02}{month}")).unwrap_or(card.expiry);
    Card { expiry: wrong, ..card.clone() }
}

/// The number that everybody knows, with a date that somebody made up.
pub(crate) fn universal(pan: &Pan, date_of: &Card) -> Card {
    Card { pan: pan.clone(), expiry: date_of.expiry, cvc2: None }
}
