//! What a message is recognised by: the keyed hashes of its reference, its identity and its content.

use mayfly_card::{AcquirerId, MinorUnits, Rrn, Stan, TerminalId};
use mayfly_core::{Hash64, MessageKind, Presented};
use mayfly_engine::Catalogue;
use mayfly_iso8583::{De, Message, OriginalData};

use crate::translate::Parts;

/// What the messages of one purchase have in common.
#[derive(Clone, Copy)]
pub(crate) struct Reference<'a> {
    pub(crate) acquirer: &'a AcquirerId,
    pub(crate) rrn: &'a Rrn,
    pub(crate) stan: Stan,
    pub(crate) terminal: &'a TerminalId,
    /// DE 13 as it came; empty where there was none.
    pub(crate) local_date: &'a str,
}

impl Reference<'_> {
    /// By acquirer and RRN; without an RRN by acquirer, STAN, terminal and local date.
    pub(crate) fn hash(&self, catalogue: &Catalogue) -> Hash64 {
        let acquirer = significant(self.acquirer.as_str()).as_bytes();
        if self.rrn.is_empty() {
            let stan = self.stan.value().to_be_bytes();
            let terminal = self.terminal.as_str().as_bytes();
            catalogue.hash("ref", &[acquirer, &stan, terminal, self.local_date.as_bytes()])
        } else {
            catalogue.hash("ref", &[acquirer, self.rrn.as_str().as_bytes()])
        }
    }
}

/// DE 90 fills the acquirer up with zeros that DE 32 need not have, so they don't count.
fn significant(acquirer: &str) -> &str {
    acquirer.trim_start_matches('0')
}

/// Where the message stands that DE 90 names.
///
/// By the RRN if there is one: it is the same in all messages of a purchase. Otherwise by what the original was
/// sent with: its STAN, from DE 90; the terminal, which is the same; the local date, if it is not told, that of
/// its transmission.
pub(crate) fn of_original(
    catalogue: &Catalogue,
    own: &Reference<'_>,
    named: &OriginalData,
) -> (Option<(MessageKind, Stan)>, Hash64) {
    let kind = MessageKind::from_mti(named.mti().without_repeat().as_str());
    // Zero is what is written where the STAN is not known.
    let stan = Stan::from_value(named.stan()).filter(|stan| stan.value() != 0);
    let mut acquirer = *own.acquirer;
    if acquirer.is_empty() && named.acquirer() != 0 {
        let mut digits = [0; 11];
        // Eleven digits at the most, which fit.
        acquirer = AcquirerId::parse(decimal(named.acquirer(), &mut digits)).unwrap_or_default();
    }
    let mut transmitted = [0; 11];
    let month_and_day = decimal(10_000 + named.transmission_time() / 1_000_000, &mut transmitted);
    let local_date = match own.local_date {
        "" if named.transmission_time() != 0 => month_and_day.get(1..).unwrap_or_default(),
        told => told,
    };
    let reference =
        Reference { acquirer: &acquirer, stan: stan.unwrap_or(own.stan), local_date, ..*own }.hash(catalogue);
    (kind.zip(stan), reference)
}

/// A number's digits, without zeros in front.
fn decimal(mut value: u64, digits: &mut [u8; 11]) -> &str {
    let mut start = digits.len();
    while value > 0 && start > 0 {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    // Only digits were written, so this is never the fallback.
    std::str::from_utf8(&digits[start..]).unwrap_or_default()
}

/// What makes a message the same as an earlier one under its reference: kind, STAN, local date; without an RRN
/// also local time and terminal. The repeat digit of the MTI and the transmission time don't count.
pub(crate) fn identity(
    catalogue: &Catalogue,
    message: &Message<'_>,
    kind: MessageKind,
    of: &Reference<'_>,
) -> Hash64 {
    let [_, class, function, _] = *kind.mti().as_bytes().first_chunk().unwrap_or(b"----");
    let [_, stan @ ..] = of.stan.value().to_be_bytes();
    let mut fixed = [0; 6];
    // A reversal that is asked for and then told (0400, 0420) is one and the same.
    let function = if kind == MessageKind::ReversalAdvice { b'0' } else { function };
    fixed[0] = class << 4 | function & 0xf;
    fixed[1..4].copy_from_slice(&stan);
    fixed[4..].copy_from_slice(&low_bytes::<2>(message.number(De::LOCAL_DATE)));
    if of.rrn.is_empty() {
        let time = message.bytes(De::LOCAL_TIME).unwrap_or_default();
        catalogue.hash("id", &[&fixed, time, of.terminal.as_str().as_bytes()])
    } else {
        catalogue.hash("id", &[&fixed])
    }
}

/// What a repeat must have in common with its first: everything that decides about money. The CVC2 does not
/// count, because whoever stores a message for a repeat must not store that.
pub(crate) fn content(catalogue: &Catalogue, message: &Message<'_>, parts: &Parts) -> Hash64 {
    let mut fixed = [0; 21];
    if let Presented::Number { index, .. } = parts.number {
        fixed[..8].copy_from_slice(&index.0.to_be_bytes());
    }
    fixed[8..13].copy_from_slice(&low_bytes::<5>(Some(parts.amount.value())));
    fixed[13..15].copy_from_slice(&parts.currency.number().to_be_bytes());
    fixed[15..18].copy_from_slice(&low_bytes::<3>(message.number(De::PROCESSING_CODE)));
    fixed[18..20].copy_from_slice(&low_bytes::<2>(message.number(De::EXPIRATION_DATE)));
    fixed[20] = u8::from(parts.declined_elsewhere);
    let merchant = parts.merchant.as_str().as_bytes();
    match (parts.replacement, message.bytes(De::ORIGINAL_DATA)) {
        (None, None) => catalogue.hash("same", &[&fixed, merchant]),
        (replacement, original) => {
            let replacement = low_bytes::<5>(replacement.map(MinorUnits::value));
            catalogue.hash("same", &[&fixed, merchant, &replacement, original.unwrap_or_default()])
        }
    }
}

/// The last bytes of a number that fits into them and is never all ones; all ones for none. Hashes are computed
/// for every message, block by block: what is shorter is cheaper.
fn low_bytes<const N: usize>(value: Option<u64>) -> [u8; N] {
    *value.unwrap_or(u64::MAX).to_be_bytes().last_chunk().unwrap_or(&[0; N])
}
