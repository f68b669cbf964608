//! Events of the check site's cards and of issuer hosts, as people and programs are shown them.

use mayfly_core::{CardRef, EtsnOpened, Event, HostAdvice, HostTerms, IssuerId};
use mayfly_dynamic::Mode;
use serde_json::{Value, json};

use super::Manner;

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Expiry => "expiry",
        Mode::Field => "field",
    }
}

/// For people: what happened to a card.
pub(super) fn card_words(card: &CardRef, event: &Event, manner: &Manner) -> String {
    let id = card.number.id;
    match event {
        Event::EtsnOpened(opened) => {
            let EtsnOpened { etsn, mode: of, expires_ms, cap, merchant, .. } = &**opened;
            let mut text = format!("{id} may pay with ETSN {} ({})", etsn.0, mode(*of));
            if let Some((cap, currency)) = cap {
                text += &format!(", up to {}", currency.show(cap.signed()));
            }
            merchant.iter().for_each(|merchant| text += &format!(", at {merchant}"));
            text + &format!(", until {}", (manner.time)(*expires_ms))
        }
        Event::EtsnUsed { etsn, .. } => format!("{id} has used ETSN {}", etsn.0),
        Event::EtsnChecked { etsn, .. } => format!("{id} was checked with ETSN {}", etsn.0),
        Event::CardMissed { locks: true, .. } => format!("{id}: a proof failed once too often, it is locked"),
        Event::CardMissed { locks: false, .. } => format!("{id}: a proof failed"),
        Event::CardUnlocked { .. } => format!("{id} is unlocked"),
        Event::RequestRefused { why, .. } => format!("{id}: a wallet's request was refused: {why}"),
        _ => id.to_string(),
    }
}

/// For programs: what happened to a card.
pub(super) fn card_fields(card: &CardRef, event: &Event, manner: &Manner) -> Value {
    let mut fields = json!({
        "number": card.number.id.to_string(),
        "account": card.account.to_string(),
    });
    match event {
        Event::EtsnOpened(opened) => {
            let EtsnOpened { etsn, mode: of, expires_ms, cap, merchant, .. } = &**opened;
            fields["etsn"] = json!(etsn.0);
            fields["mode"] = json!(mode(*of));
            fields["expires"] = json!((manner.time)(*expires_ms));
            fields["amount_max"] =
                json!(cap.map(|(cap, currency)| {
                    json!({ "minor": cap.value(), "currency": currency.letters() })
                }));
            fields["merchant"] = json!(merchant.as_ref().map(|merchant| merchant.as_str()));
        }
        Event::EtsnUsed { etsn, .. } | Event::EtsnChecked { etsn, .. } => fields["etsn"] = json!(etsn.0),
        Event::CardMissed { locks, .. } => fields["locked"] = json!(locks),
        Event::RequestRefused { why, .. } => fields["why"] = json!(why.to_string()),
        _ => {}
    }
    fields
}

/// For people: how an issuer's host is asked.
pub(super) fn host_words(issuer: IssuerId, host: Option<HostTerms>) -> String {
    let HostTerms { wait_ms, stand_in_max } = host.unwrap_or_default();
    let silent = match stand_in_max.value() {
        0 => "no".to_owned(),
        minor => format!("yes up to {minor} minor units, else no"),
    };
    format!("the host of {issuer} is waited for {wait_ms} ms; then {silent}")
}

/// For programs: how an issuer's host is asked.
pub(super) fn host_fields(issuer: IssuerId, host: Option<HostTerms>) -> Value {
    let HostTerms { wait_ms, stand_in_max } = host.unwrap_or_default();
    json!({
        "issuer": issuer.to_string(),
        "wait_ms": wait_ms,
        "stand_in_max_minor": stand_in_max.value(),
    })
}

/// For people: what an issuer host is told.
pub(super) fn advice_words(advice: &HostAdvice, manner: &Manner) -> String {
    let HostAdvice { told, issuer, number, amount, stays, currency, .. } = advice;
    let mut text = format!(
        "the host of {issuer} has to be told: {} of {}, number {}",
        (manner.name)(told.name()),
        currency.show(amount.signed()),
        number.id
    );
    stays.iter().for_each(|stays| text += &format!(", of which {} stay", currency.show(stays.signed())));
    text
}

/// For programs: what an issuer host is told.
pub(super) fn advice_fields(advice: &HostAdvice, manner: &Manner) -> Value {
    let HostAdvice { told, issuer, account, number, amount, stays, currency, trace, .. } = advice;
    json!({
        "issuer": issuer.to_string(),
        "account": account.to_string(),
        "number": number.id.to_string(),
        "told": (manner.name)(told.name()),
        "amount": { "minor": amount.value(), "currency": currency.letters() },
        "stays": stays.map(|stays| json!({ "minor": stays.value(), "currency": currency.letters() })),
        "stan": trace.stan().to_string(),
        "rrn": trace.rrn().as_str(),
    })
}
