//! An event of the journal as people and scripts are shown it.
//!
//! Hashes and indexes are left out: they are for finding things, and say nothing to a reader.

use mayfly_card::Currency;
use mayfly_core::{
    AccountOpened, Book, CreditLimit, Event, IssuerOpened, NumberIssued, Outcome, ProgrammeOpened, Terms,
    TimeMs, Transacted,
};
use mayfly_server::protocol::Time;
use serde_json::{Map, Value, json};

/// An event with where and when it stands.
pub(crate) struct EventView<'a> {
    /// The number of its record.
    pub(crate) sequence: u64,
    /// The time of its record.
    pub(crate) at_ms: TimeMs,
    /// What happened.
    pub(crate) event: &'a Event,
}

impl EventView<'_> {
    /// For people: one line.
    pub(crate) fn line(&self) -> String {
        format!("{:>8}  {}  {}", self.sequence, Time(self.at_ms), words(self.event))
    }

    /// For scripts: one object.
    pub(crate) fn json(&self) -> Value {
        let (name, mut fields) = fields(self.event);
        let mut object = Map::new();
        object.insert("record".into(), self.sequence.into());
        object.insert("time".into(), Time(self.at_ms).to_string().into());
        object.insert("event".into(), name.into());
        object.append(&mut fields);
        Value::Object(object)
    }
}

fn words(event: &Event) -> String {
    match event {
        Event::Transacted(transacted) => transacted_words(transacted),
        Event::NumberIssued(issued) => {
            let NumberIssued { number, last_four, account, programme, expires_ms, uses, .. } = &**issued;
            let times = if *uses == 1 { "once".to_owned() } else { format!("{uses} times") };
            let until = Time(*expires_ms);
            format!(
                "number {} …{last_four} issued to {account} by {programme}, good {times} until {until}",
                number.id
            )
        }
        Event::NumbersRetired(retired) => {
            let each: Vec<String> =
                retired.iter().map(|(number, why)| format!("{} ({})", number.id, why.name())).collect();
            format!("numbers retired: {}", each.join(", "))
        }
        Event::IssuerOpened(IssuerOpened { issuer, name }) => format!("issuer {issuer} opened: {name}"),
        Event::ProgrammeOpened(opened) => {
            let ProgrammeOpened { programme, issuer, name, terms } = &**opened;
            format!("programme {programme} of {issuer} opened: {name}, numbers begin with {}", terms.prefix)
        }
        Event::AccountOpened(AccountOpened { account, issuer, currency, limit }) => {
            format!("account {account} with {issuer} opened, {}", limit_words(*limit, *currency))
        }
        Event::AnswerKept(kept) => format!("the answer is kept for a day: {}", outcome_words(kept.outcome)),
        Event::LimitSet { account, limit } => match limit {
            CreditLimit::Prepaid => format!("{account} is prepaid now"),
            CreditLimit::Credit(minor) => format!("{account} may owe {} minor units now", minor.value()),
        },
        Event::ChannelBlocked { account, channel, blocked } => {
            let state = if *blocked { "off" } else { "on" };
            format!("{account} has {} switched {state}", channel.name())
        }
    }
}

fn outcome_words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Number { number, .. } => number.to_string(),
        Outcome::Issuer(id) => id.to_string(),
        Outcome::Programme(id) => id.to_string(),
        Outcome::Account(id) => id.to_string(),
        Outcome::Done => "done".to_owned(),
    }
}

fn limit_words(limit: CreditLimit, currency: Currency) -> String {
    match limit {
        CreditLimit::Prepaid => format!("prepaid in {}", currency.letters()),
        CreditLimit::Credit(minor) => format!("credit up to {}", currency.show(minor.signed())),
    }
}

fn transacted_words(transacted: &Transacted) -> String {
    let Transacted { id, kind, message, response, reason, currency, amount, facts, .. } = transacted;
    let amount = match transacted.effect.funded {
        0 => currency.show(amount.signed()),
        funded => currency.show(funded),
    };
    let mut text = format!("{id} {}", kind.name());
    if !message.mti().is_empty() {
        text += &format!(" ({})", message.mti());
    }
    text += &format!(" of {amount}");
    if !facts.merchant.is_empty() {
        text += &format!(" at {}", facts.merchant);
    }
    text += &format!(": {} {}", response.code(), reason.name());
    for (name, id) in [
        ("number", transacted.number.map(|number| number.id.to_string())),
        ("account", transacted.account.map(|id| id.to_string())),
        ("belongs to", transacted.target.map(|id| id.to_string())),
    ] {
        if let Some(id) = id {
            text += &format!(", {name} {id}");
        }
    }
    text
}

fn fields(event: &Event) -> (&'static str, Map<String, Value>) {
    let (name, value) = match event {
        Event::Transacted(transacted) => ("transacted", transacted_fields(transacted)),
        Event::NumberIssued(issued) => {
            let NumberIssued { number, last_four, account, programme, expires_ms, uses, .. } = &**issued;
            let value = json!({
                "number": number.id.to_string(),
                "last_four": last_four.to_string(),
                "account": account.to_string(),
                "programme": programme.to_string(),
                "expires": Time(*expires_ms).to_string(),
                "uses": uses,
            });
            ("number-issued", value)
        }
        Event::NumbersRetired(retired) => {
            let each = |(number, why): &(mayfly_core::NumberRef, mayfly_core::Retirement)| json!({ "number": number.id.to_string(), "why": why.name() });
            ("numbers-retired", json!({ "numbers": retired.iter().map(each).collect::<Vec<_>>() }))
        }
        Event::IssuerOpened(IssuerOpened { issuer, name }) => {
            ("issuer-opened", json!({ "issuer": issuer.to_string(), "name": name.as_str() }))
        }
        Event::ProgrammeOpened(opened) => {
            let ProgrammeOpened { programme, issuer, name, terms } = &**opened;
            let value = json!({
                "programme": programme.to_string(),
                "issuer": issuer.to_string(),
                "name": name.as_str(),
                "terms": terms_fields(terms),
            });
            ("programme-opened", value)
        }
        Event::AccountOpened(AccountOpened { account, issuer, currency, limit }) => {
            let value = json!({
                "account": account.to_string(),
                "issuer": issuer.to_string(),
                "currency": currency.letters(),
                "limit": limit_field(*limit),
            });
            ("account-opened", value)
        }
        Event::AnswerKept(kept) => ("answer-kept", json!({ "outcome": outcome_words(kept.outcome) })),
        Event::LimitSet { account, limit } => {
            ("limit-set", json!({ "account": account.to_string(), "limit": limit_field(*limit) }))
        }
        Event::ChannelBlocked { account, channel, blocked } => {
            let value =
                json!({ "account": account.to_string(), "channel": channel.name(), "blocked": blocked });
            ("channel-blocked", value)
        }
    };
    match value {
        Value::Object(fields) => (name, fields),
        _ => (name, Map::new()),
    }
}

fn limit_field(limit: CreditLimit) -> Value {
    match limit {
        CreditLimit::Prepaid => json!("prepaid"),
        CreditLimit::Credit(minor) => json!({ "credit": { "minor": minor.value() } }),
    }
}

fn terms_fields(terms: &Terms) -> Value {
    json!({
        "prefix": terms.prefix.as_str(),
        "layout": terms.layout.to_string(),
        "lifetime_ms": terms.lifetime_ms,
        "lifetime_max_ms": terms.lifetime_max_ms,
        "uses_max": terms.uses_max,
        "expiry_months": terms.expiry_months,
        "quarantine_months": terms.quarantine_months,
        "active_max": terms.active_max,
        "amount_max_minor": terms.amount_max.value(),
        "tolerance_bp": terms.tolerance_bp,
        "hold_days": terms.hold_days,
        "single_completion": terms.single_completion,
        "universal_last_four": terms.universal.as_ref().map(|universal| universal.last_four.to_string()),
    })
}

fn transacted_fields(transacted: &Transacted) -> Value {
    let facts = &transacted.facts;
    let entries: Vec<Value> = transacted
        .effect
        .books()
        .entries()
        .into_iter()
        .filter(|(_, minor)| *minor != 0)
        .map(|(book, minor): (Book, i64)| json!({ "book": book.name(), "minor": minor }))
        .collect();
    json!({
        "transaction": transacted.id.to_string(),
        "kind": transacted.kind.name(),
        "message": transacted.message.mti(),
        "response": transacted.response.code(),
        "reason": transacted.reason.name(),
        "approval": transacted.approval.map(|code| code.to_string()),
        "number": transacted.number.map(|number| number.id.to_string()),
        "account": transacted.account.map(|id| id.to_string()),
        "issuer": transacted.issuer.map(|id| id.to_string()),
        "target": transacted.target.map(|id| id.to_string()),
        "amount": { "minor": transacted.amount.value(), "currency": transacted.currency.letters() },
        "merchant": facts.merchant.as_str(),
        "terminal": facts.terminal.as_str(),
        "acquirer": facts.acquirer.as_str(),
        "stan": facts.stan.to_string(),
        "rrn": facts.rrn.as_str(),
        "entries": entries,
    })
}
