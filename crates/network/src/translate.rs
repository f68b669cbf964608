//! From a message to a request, and to nothing else: pure, without I/O, and without a trace of the card number.

use std::fmt;

use mayfly_card::{
    AcquirerId, Country, Currency, Expiry, Mcc, MerchantId, MinorUnits, Pan, PosEntryMode, Rrn, Stan,
    TerminalId,
};
use mayfly_core::scheme::dynamic::Proof;
use mayfly_core::{
    Cvc2Check, Facts, MessageKind, Original, PartitionId, Presented, Processing, Request, ResponseCode,
};
use mayfly_dynamic::Purchase;
use mayfly_engine::Catalogue;
use mayfly_engine::cards::Shown;
use mayfly_iso8583::{De, Message};

use crate::digest::{self, Reference};

/// The sub-element of DE 48 that carries the MAC field.
const MAC_FIELD: u8 = 43;
/// The sub-element of DE 48 that carries the CVC2.
const CVC2: u8 = 92;

/// Why a message can't become a request. It says which element is at fault, never what it holds; it is for the
/// log, the peer gets the response code only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No message that is served here.
    Unsupported,
    /// The element must be there.
    Missing(De),
    /// The element does not hold what it should.
    Malformed(De),
    /// DE 49 is no number of ISO 4217. The message is well-formed, and it is no transaction that could be made.
    UnknownCurrency,
    /// The peer has to sign on first.
    NotSignedOn,
}

impl Fault {
    /// What the peer is answered.
    pub fn response(self) -> ResponseCode {
        match self {
            Self::Unsupported | Self::UnknownCurrency | Self::NotSignedOn => ResponseCode::InvalidTransaction,
            Self::Missing(_) | Self::Malformed(_) => ResponseCode::FormatError,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => f.write_str("no message that is served here"),
            Self::Missing(element) => write!(f, "{element} is missing"),
            Self::Malformed(element) => write!(f, "{element} does not hold what it should"),
            Self::UnknownCurrency => f.write_str("DE 49 is no currency of ISO 4217"),
            Self::NotSignedOn => f.write_str("the peer has not signed on"),
        }
    }
}

impl std::error::Error for Fault {}

/// Makes a card message into a request for the engine.
///
/// The card number is hashed and wiped here; the CVC2 is checked and forgotten. Nothing is allocated but the
/// request.
///
/// # Errors
///
/// Why it can't be one; [`Fault::response`] is what to answer.
pub fn translate(message: &Message<'_>, catalogue: &Catalogue) -> Result<Box<Request>, Fault> {
    let kind = MessageKind::from_mti(message.mti().without_repeat().as_str()).ok_or(Fault::Unsupported)?;
    let parts = Parts::read(message, catalogue)?;
    let facts = facts(message, &parts)?;
    let local_date = message.text(De::LOCAL_DATE).unwrap_or_default();
    let own = Reference {
        acquirer: &facts.acquirer,
        rrn: &facts.rrn,
        stan: facts.stan,
        terminal: &facts.terminal,
        local_date,
    };
    let named = message.original_data().map_err(|_| Fault::Malformed(De::ORIGINAL_DATA))?;
    let named = named.map(|named| digest::of_original(catalogue, &own, &named));
    let reference = match named {
        // Without an RRN nothing else ties it to what it is about.
        Some((_, reference)) if facts.rrn.is_empty() => reference,
        _ => own.hash(catalogue),
    };
    let original = match named {
        Some((message, reference)) => Some(Original { message, reference }),
        // An approval code in a request asks for more of what was approved under it.
        None if kind == MessageKind::Authorisation && filled(message, De::APPROVAL_CODE) => {
            Some(Original { message: None, reference })
        }
        None => None,
    };
    Ok(Box::new(Request {
        message: kind,
        processing: parts.processing,
        reference,
        identity: digest::identity(catalogue, message, kind, &own),
        content: digest::content(catalogue, message, &parts),
        original,
        number: parts.number,
        expiry: parts.expiry,
        cvc2: parts.cvc2,
        proof: parts.proof,
        amount: parts.amount,
        replacement: parts.replacement,
        currency: parts.currency,
        declined_elsewhere: parts.declined_elsewhere,
        repeat: message.mti().repeat(),
        facts,
        paged: None,
        // What is no number at all belongs nowhere, and may be decided anywhere.
        partition: parts
            .partition
            .unwrap_or_else(|| PartitionId::of_hash(reference.0, catalogue.partitions())),
    }))
}

/// What decides about money.
pub(crate) struct Parts {
    processing: Processing,
    expiry: Option<Expiry>,
    cvc2: Cvc2Check,
    proof: Proof,
    pub(crate) number: Presented,
    /// Where the number belongs, if it is one.
    partition: Option<PartitionId>,
    pub(crate) amount: MinorUnits,
    pub(crate) replacement: Option<MinorUnits>,
    pub(crate) currency: Currency,
    pub(crate) merchant: MerchantId,
    pub(crate) declined_elsewhere: bool,
}

impl Parts {
    fn read(message: &Message<'_>, catalogue: &Catalogue) -> Result<Self, Fault> {
        let expiry = optional(message, De::EXPIRATION_DATE, Expiry::parse_yymm)?;
        let (number, partition, cvc2) = number(message, catalogue, expiry)?;
        let amount = required(message, De::AMOUNT, MinorUnits::parse)?;
        let currency = currency(message)?;
        let merchant = optional(message, De::CARD_ACCEPTOR, MerchantId::parse)?.unwrap_or_default();
        let field = message.sub_element(De::ADDITIONAL_DATA, MAC_FIELD);
        let field = field.map(|field| (field.as_bytes(), Purchase { amount, currency, merchant }));
        let proof = catalogue.proof(&number, &Shown { expiry, field });
        let replacement =
            message.replacement_amounts().map_err(|_| Fault::Malformed(De::REPLACEMENT_AMOUNTS))?;
        Ok(Self {
            processing: processing(message)?,
            expiry,
            cvc2,
            number,
            partition,
            amount,
            proof,
            // Twelve digits at the most, so it is never lost.
            replacement: replacement.and_then(|amounts| MinorUnits::new(amounts.transaction())),
            currency,
            merchant,
            declined_elsewhere: message.mti().without_repeat().digits()[2] == b'2'
                && message.bytes(De::RESPONSE_CODE).is_some_and(|code| code != b"00"),
        })
    }
}

/// The number is only looked at: it is wiped when this returns.
fn number(
    message: &Message<'_>,
    catalogue: &Catalogue,
    expiry: Option<Expiry>,
) -> Result<(Presented, Option<PartitionId>, Cvc2Check), Fault> {
    let digits = message.bytes(De::PAN).ok_or(Fault::Missing(De::PAN))?;
    let sent = message.sub_element(De::ADDITIONAL_DATA, CVC2).map(str::as_bytes);
    let Ok(pan) = Pan::parse(digits) else {
        // Whatever was sent, it belongs to no number.
        return Ok((Presented::Invalid, None, sent.map_or(Cvc2Check::Absent, |_| Cvc2Check::Wrong)));
    };
    let partition = catalogue.partition_of(&pan);
    Ok((catalogue.presented(&pan), Some(partition), catalogue.check_cvc2(&pan, expiry, sent)))
}

/// A reversal is about another message, and needs no processing code of its own.
fn processing(message: &Message<'_>) -> Result<Processing, Fault> {
    match message.bytes(De::PROCESSING_CODE) {
        Some([b'0', b'0', ..]) => Ok(Processing::Purchase),
        Some([b'2', b'0', ..]) => Ok(Processing::Refund),
        Some(_) => Ok(Processing::Other),
        None if message.mti().digits()[1] == b'4' => Ok(Processing::Other),
        None => Err(Fault::Missing(De::PROCESSING_CODE)),
    }
}

fn currency(message: &Message<'_>) -> Result<Currency, Fault> {
    let text = message.text(De::CURRENCY).ok_or(Fault::Missing(De::CURRENCY))?;
    let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(Fault::Malformed(De::CURRENCY));
    }
    Currency::parse_numeric(text).map_err(|_| Fault::UnknownCurrency)
}

/// What else the message says of itself.
fn facts(message: &Message<'_>, parts: &Parts) -> Result<Facts, Fault> {
    Ok(Facts {
        acquirer: optional(message, De::ACQUIRER, AcquirerId::parse)?.unwrap_or_default(),
        stan: required(message, De::STAN, Stan::parse)?,
        rrn: optional(message, De::RRN, Rrn::parse)?.unwrap_or_default(),
        terminal: optional(message, De::TERMINAL, TerminalId::parse)?.unwrap_or_default(),
        merchant: parts.merchant,
        mcc: optional(message, De::MCC, Mcc::parse)?,
        country: optional(message, De::ACQUIRER_COUNTRY, Country::parse)?,
        entry_mode: optional(message, De::POS_ENTRY_MODE, PosEntryMode::parse)?.unwrap_or_default(),
        transmitted: optional(message, De::TRANSMISSION_TIME, str::parse)?.unwrap_or_default(),
        local_date: optional(message, De::LOCAL_DATE, str::parse)?.unwrap_or_default(),
        local_time: optional(message, De::LOCAL_TIME, str::parse)?.unwrap_or_default(),
    })
}

fn optional<T, E>(
    message: &Message<'_>,
    element: De,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, Fault> {
    match message.text(element) {
        Some(text) => parse(text).map(Some).map_err(|_| Fault::Malformed(element)),
        None => Ok(None),
    }
}

fn required<T, E>(
    message: &Message<'_>,
    element: De,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, Fault> {
    optional(message, element, parse)?.ok_or(Fault::Missing(element))
}

/// Whether an element is there and not just padding.
fn filled(message: &Message<'_>, element: De) -> bool {
    message.bytes(element).is_some_and(|content| content.iter().any(|byte| *byte != b' '))
}
