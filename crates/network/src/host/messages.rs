//! What issuer hosts are sent. Pure.

use mayfly_card::{AcquirerId, Currency, Expiry, MinorUnits};
use mayfly_core::{Asked, Facts, HostAdvice, HostTrace, MessageKind, TimeMs, Told};
use mayfly_engine::cards::Own;
use mayfly_iso8583::{De, MessageBuilder, Mti, OriginalData, ReplacementAmounts};

use crate::times::transmission_time;

const PURCHASE: &str = "000000";
const REFUND: &str = "200000";

/// As whom we speak to an issuer host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Our own acquirer id (DE 32): the acquirer of the first message is ours to answer, not the host's.
    pub acquirer: AcquirerId,
}

/// The second request: the purchase that is asked about, with the card's own number and date.
///
/// Nothing that proved it comes along, neither MAC nor pseudo number nor CVC2: what they prove was looked at. `at_ms` is when
/// it was asked.
pub fn second_request(asked: &Asked, at_ms: TimeMs, own: &Own, identity: &Identity) -> MessageBuilder {
    let request = &asked.request;
    let trace = asked.trace();
    let mti = Mti::parse(request.message.mti()).unwrap_or(Mti::AUTHORISATION_REQUEST);
    let mut message = of(mti, &trace, at_ms, own, identity);
    message.set(De::PROCESSING_CODE, PURCHASE).set(De::RRN, trace.rrn().as_str());
    money(&mut message, request.amount, request.currency);
    facts(&mut message, &request.facts);
    message
}

/// What a host is told. It is the same each time that it is made, so that the host knows a repeat. `at_ms` is when it came to
/// be owed.
pub fn advice(advice: &HostAdvice, at_ms: TimeMs, own: &Own, identity: &Identity) -> MessageBuilder {
    let (mti, processing) = match advice.told {
        Told::Reversal => (Mti::REVERSAL_ADVICE, PURCHASE),
        // What is captured at once waits for no completion.
        Told::StandIn if advice.trace.message == MessageKind::FinancialAdvice => {
            (Mti::FINANCIAL_ADVICE, PURCHASE)
        }
        Told::StandIn => (Mti::AUTHORISATION_ADVICE, PURCHASE),
        Told::Charge => (Mti::FINANCIAL_ADVICE, PURCHASE),
        Told::Refund => (Mti::FINANCIAL_ADVICE, REFUND),
    };
    let mut message = of(mti, &advice.trace, at_ms, own, identity);
    // That of the purchase to which it belongs, if it belongs to one.
    let reference = advice.about.unwrap_or(advice.trace);
    message.set(De::PROCESSING_CODE, processing).set(De::RRN, reference.rrn().as_str());
    money(&mut message, advice.amount, advice.currency);
    facts(&mut message, &advice.facts);
    if let Some(approval) = advice.approval {
        message.set(De::APPROVAL_CODE, std::str::from_utf8(&approval.characters()).unwrap_or_default());
    }
    if let Some(original) = advice.about.and_then(|about| original(&about, identity)) {
        message.set(De::ORIGINAL_DATA, &original.to_string());
    }
    let stays = advice.stays.and_then(|stays| ReplacementAmounts::new(stays.value(), 0, 0, 0).ok());
    if let Some(stays) = stays {
        message.set(De::REPLACEMENT_AMOUNTS, &stays.to_string());
    }
    message
}

/// What all of them have.
fn of(mti: Mti, trace: &HostTrace, at_ms: TimeMs, own: &Own, identity: &Identity) -> MessageBuilder {
    let mut message = MessageBuilder::new(mti);
    let transmitted = match trace.transmitted {
        0 => transmission_time(at_ms),
        known => format!("{known:010}"),
    };
    message
        .set(De::PAN, own.pan.as_str())
        .set(De::TRANSMISSION_TIME, &transmitted)
        .set_number(De::STAN, trace.stan().value().into())
        .set(De::EXPIRATION_DATE, &Expiry::from(own.expiry).yymm())
        .set(De::ACQUIRER, identity.acquirer.as_str());
    message
}

fn money(message: &mut MessageBuilder, amount: MinorUnits, currency: Currency) {
    message.set_number(De::AMOUNT, amount.value()).set(De::CURRENCY, &format!("{:03}", currency.number()));
}

/// The merchant's own, as far as there is any: that of an operator's act has none.
fn facts(message: &mut MessageBuilder, facts: &Facts) {
    if facts.local_date != 0 {
        message
            .set(De::LOCAL_TIME, &format!("{:06}", facts.local_time))
            .set(De::LOCAL_DATE, &format!("{:04}", facts.local_date));
    }
    if let Some(mcc) = facts.mcc {
        message.set(De::MCC, &mcc.to_string());
    }
    if let Some(country) = facts.country {
        message.set(De::ACQUIRER_COUNTRY, &country.to_string());
    }
    message.set(De::POS_ENTRY_MODE, &format!("{:03}", facts.entry_mode.value()));
    if !facts.terminal.is_empty() {
        message.set(De::TERMINAL, facts.terminal.as_str());
    }
    if !facts.merchant.is_empty() {
        message.set(De::CARD_ACCEPTOR, facts.merchant.as_str());
    }
}

/// DE 90. When a message that had no DE 7 was sent is not known any more; zeros say so.
fn original(about: &HostTrace, identity: &Identity) -> Option<OriginalData> {
    let mti = Mti::parse(about.message.mti())?;
    let acquirer = identity.acquirer.as_str().parse().unwrap_or(0);
    OriginalData::new(mti, about.stan().value(), about.transmitted.into(), acquirer, 0).ok()
}

#[cfg(test)]
mod tests;
