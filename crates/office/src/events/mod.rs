//! Events of the journal as people and programs are shown them.
//!
//! Hashes and indexes are left out: they are for finding things, and say nothing to a reader. How times and names are
//! written is up to whoever shows them.

mod cards;
mod follow;
mod list;

use jiff::Timestamp;
use mayfly_card::Currency;
use mayfly_core::{
    AccountOpened, AnsweredLate, Asked, Book, CreditLimit, DecisionHook, Event, IssuerOpened, NumberClaimed,
    NumberIssued, NumberRef, Outcome, ProgrammeOpened, Resolved, Retirement, Terms, TimeMs, Transacted,
};
use serde_json::{Map, Value, json};

pub use follow::{Advised, Followed, Follower};
pub use list::{EventFilter, EventNow};
pub use mayfly_store::EventPlace;

/// What kind of event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A message was processed, or an operator moved money.
    Transacted,
    /// A number was issued.
    NumberIssued,
    /// Numbers left the active ones.
    NumbersRetired,
    /// An issuer was opened.
    IssuerOpened,
    /// A programme was opened.
    ProgrammeOpened,
    /// An account was opened.
    AccountOpened,
    /// An account's limit was changed.
    LimitSet,
    /// A channel was switched off or on.
    ChannelBlocked,
    /// The answer to a command is kept.
    AnswerKept,
    /// An issuer is to be asked before its accounts pay, or not any more.
    HookSet,
    /// An account was closed, or opened again.
    AccountClosed,
    /// A programme was closed, or opened again.
    ProgrammeClosed,
    /// Somebody is asked about a message.
    Asked,
    /// What came of that.
    Resolved,
    /// A word came after it was given up.
    AnsweredLate,
    /// A number that somebody else drew was claimed for an account.
    NumberClaimed,
    /// An ETSN of a card was opened.
    EtsnOpened,
    /// A purchase used an ETSN up.
    EtsnUsed,
    /// A zero-amount check was made with an ETSN.
    EtsnChecked,
    /// A purchase's proof failed while the card had an open ETSN.
    CardMissed,
    /// A cardholder unlocked his card.
    CardUnlocked,
    /// A wallet's request for an ETSN was refused.
    RequestRefused,
    /// An issuer's host is asked by other terms.
    HostSet,
    /// An issuer host has to be told something.
    HostAdvised,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::Transacted,
        Self::NumberIssued,
        Self::NumbersRetired,
        Self::IssuerOpened,
        Self::ProgrammeOpened,
        Self::AccountOpened,
        Self::LimitSet,
        Self::ChannelBlocked,
        Self::AnswerKept,
        Self::HookSet,
        Self::AccountClosed,
        Self::ProgrammeClosed,
        Self::Asked,
        Self::Resolved,
        Self::AnsweredLate,
        Self::NumberClaimed,
        Self::EtsnOpened,
        Self::EtsnUsed,
        Self::EtsnChecked,
        Self::CardMissed,
        Self::CardUnlocked,
        Self::RequestRefused,
        Self::HostSet,
        Self::HostAdvised,
    ];

    /// Of this event.
    pub fn of(event: &Event) -> Self {
        match event {
            Event::Transacted(_) => Self::Transacted,
            Event::NumberIssued(_) => Self::NumberIssued,
            Event::NumbersRetired(_) => Self::NumbersRetired,
            Event::IssuerOpened(_) => Self::IssuerOpened,
            Event::ProgrammeOpened(_) => Self::ProgrammeOpened,
            Event::AccountOpened(_) => Self::AccountOpened,
            Event::LimitSet { .. } => Self::LimitSet,
            Event::ChannelBlocked { .. } => Self::ChannelBlocked,
            Event::AnswerKept(_) => Self::AnswerKept,
            Event::HookSet { .. } => Self::HookSet,
            Event::AccountClosed { .. } => Self::AccountClosed,
            Event::ProgrammeClosed { .. } => Self::ProgrammeClosed,
            Event::Asked(_) => Self::Asked,
            Event::Resolved(_) => Self::Resolved,
            Event::AnsweredLate(_) => Self::AnsweredLate,
            Event::NumberClaimed(_) => Self::NumberClaimed,
            Event::EtsnOpened(_) => Self::EtsnOpened,
            Event::EtsnUsed { .. } => Self::EtsnUsed,
            Event::EtsnChecked { .. } => Self::EtsnChecked,
            Event::CardMissed { .. } => Self::CardMissed,
            Event::CardUnlocked { .. } => Self::CardUnlocked,
            Event::RequestRefused { .. } => Self::RequestRefused,
            Event::HostSet { .. } => Self::HostSet,
            Event::HostAdvised(_) => Self::HostAdvised,
        }
    }

    /// Its name, with hyphens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transacted => "transacted",
            Self::NumberIssued => "number-issued",
            Self::NumbersRetired => "numbers-retired",
            Self::IssuerOpened => "issuer-opened",
            Self::ProgrammeOpened => "programme-opened",
            Self::AccountOpened => "account-opened",
            Self::LimitSet => "limit-set",
            Self::ChannelBlocked => "channel-blocked",
            Self::AnswerKept => "answer-kept",
            Self::HookSet => "hook-set",
            Self::AccountClosed => "account-closed",
            Self::ProgrammeClosed => "programme-closed",
            Self::Asked => "asked",
            Self::Resolved => "resolved",
            Self::AnsweredLate => "answered-late",
            Self::NumberClaimed => "number-claimed",
            Self::EtsnOpened => "etsn-opened",
            Self::EtsnUsed => "etsn-used",
            Self::EtsnChecked => "etsn-checked",
            Self::CardMissed => "card-missed",
            Self::CardUnlocked => "card-unlocked",
            Self::RequestRefused => "request-refused",
            Self::HostSet => "host-set",
            Self::HostAdvised => "host-advised",
        }
    }
}

/// How times and names are written.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// A time, in milliseconds since 1970 (UTC).
    pub time: fn(TimeMs) -> String,
    /// A name of the core's: of a kind, a reason, a channel. The core writes them with hyphens.
    pub name: fn(&str) -> String,
}

impl Manner {
    /// For programs, over HTTP: times are RFC 3339, names have underscores.
    pub const PROGRAMS: Self = Self { time: rfc_3339, name: |name| name.replace('-', "_") };
}

/// A time as RFC 3339 in UTC, to the millisecond. What lies after the year 9999 is shown as its end.
pub fn rfc_3339(at_ms: TimeMs) -> String {
    let time = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.unwrap_or(Timestamp::MAX))
}

/// For people: what happened, in a line.
pub fn words(event: &Event, manner: &Manner) -> String {
    match event {
        Event::Transacted(transacted) => transacted_words(transacted, manner),
        Event::NumberIssued(issued) => {
            let NumberIssued { number, last_four, account, programme, expires_ms, uses, .. } = &**issued;
            let times = if *uses == 1 { "once".to_owned() } else { format!("{uses} times") };
            let until = (manner.time)(*expires_ms);
            format!(
                "number {} …{last_four} issued to {account} by {programme}, good {times} until {until}",
                number.id
            )
        }
        Event::NumbersRetired(retired) => {
            let each: Vec<String> = retired
                .iter()
                .map(|(number, why)| format!("{} ({})", number.id, (manner.name)(why.name())))
                .collect();
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
        Event::HookSet { issuer, hook: None } => format!("{issuer} is not asked any more"),
        Event::HookSet { issuer, hook: Some(DecisionHook { wait_ms, when_late }) } => {
            let late = (manner.name)(when_late.name());
            format!("{issuer} is asked before its accounts pay, for {wait_ms} ms; then {late}")
        }
        Event::AccountClosed { account, closed } => {
            format!("{account} is {}", if *closed { "closed" } else { "open again" })
        }
        Event::ProgrammeClosed { programme, closed, .. } => {
            format!("{programme} is {}", if *closed { "closed" } else { "open again" })
        }
        Event::Asked(asked) => {
            let Asked { question, issuer, kind, request, number, .. } = &**asked;
            let amount = request.currency.show(request.amount.signed());
            let mut text = format!("{question} to {issuer}: {} of {amount}", (manner.name)(kind.name()));
            if !request.facts.merchant.is_empty() {
                text += &format!(" at {}", request.facts.merchant);
            }
            number.iter().for_each(|number| text += &format!(", number {}", number.id));
            text
        }
        Event::Resolved(Resolved { question, word, transaction, .. }) => {
            let became = transaction.map(|id| format!(", {id}")).unwrap_or_default();
            format!("{question}: {}{became}", (manner.name)(word.name()))
        }
        Event::AnsweredLate(AnsweredLate { question, word, .. }) => {
            format!("{question}: {}, too late", (manner.name)(word.name()))
        }
        Event::NumberClaimed(NumberClaimed { account, .. }) => {
            format!("a number that was drawn elsewhere is claimed for {account}")
        }
        Event::EtsnOpened(opened) => cards::card_words(&opened.card, event, manner),
        Event::EtsnUsed { card, .. }
        | Event::EtsnChecked { card, .. }
        | Event::CardMissed { card, .. }
        | Event::CardUnlocked { card }
        | Event::RequestRefused { card, .. } => cards::card_words(card, event, manner),
        Event::HostSet { issuer, host } => cards::host_words(*issuer, *host),
        Event::HostAdvised(advice) => cards::advice_words(advice, manner),
        Event::LimitSet { account, limit } => match limit {
            CreditLimit::Prepaid => format!("{account} is prepaid now"),
            CreditLimit::IssuerHost => format!("{account} is funded by its issuer host"),
            CreditLimit::Credit(minor) => format!("{account} may owe {} minor units now", minor.value()),
        },
        Event::ChannelBlocked { account, channel, blocked } => {
            let state = if *blocked { "off" } else { "on" };
            format!("{account} has {} switched {state}", (manner.name)(channel.name()))
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
        CreditLimit::IssuerHost => format!("funded by its issuer host in {}", currency.letters()),
        CreditLimit::Credit(minor) => format!("credit up to {}", currency.show(minor.signed())),
    }
}

fn transacted_words(transacted: &Transacted, manner: &Manner) -> String {
    let Transacted { id, kind, message, response, reason, currency, amount, facts, .. } = transacted;
    let amount = match transacted.effect.funded {
        0 => currency.show(amount.signed()),
        funded => currency.show(funded),
    };
    let mut text = format!("{id} {}", (manner.name)(kind.name()));
    if !message.mti().is_empty() {
        text += &format!(" ({})", message.mti());
    }
    text += &format!(" of {amount}");
    if !facts.merchant.is_empty() {
        text += &format!(" at {}", facts.merchant);
    }
    text += &format!(": {} {}", response.code(), (manner.name)(reason.name()));
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

/// For programs: what happened, by the names of its parts.
pub fn fields(event: &Event, manner: &Manner) -> Map<String, Value> {
    let name = |name: &str| (manner.name)(name);
    let value = match event {
        Event::Transacted(transacted) => transacted_fields(transacted, manner),
        Event::NumberIssued(issued) => {
            let NumberIssued { number, last_four, account, programme, expires_ms, uses, .. } = &**issued;
            json!({
                "number": number.id.to_string(),
                "last_four": last_four.to_string(),
                "account": account.to_string(),
                "programme": programme.to_string(),
                "expires": (manner.time)(*expires_ms),
                "uses": uses,
            })
        }
        Event::NumbersRetired(retired) => {
            let each = |(number, why): &(NumberRef, Retirement)| {
                let (number, why) = (number.id.to_string(), name(why.name()));
                json!({ "number": number, "why": why })
            };
            json!({ "numbers": retired.iter().map(each).collect::<Vec<_>>() })
        }
        Event::IssuerOpened(IssuerOpened { issuer, name }) => {
            json!({ "issuer": issuer.to_string(), "name": name.as_str() })
        }
        Event::ProgrammeOpened(opened) => {
            let ProgrammeOpened { programme, issuer, name, terms } = &**opened;
            json!({
                "programme": programme.to_string(),
                "issuer": issuer.to_string(),
                "name": name.as_str(),
                "terms": terms_fields(terms, manner),
            })
        }
        Event::AccountOpened(AccountOpened { account, issuer, currency, limit }) => {
            json!({
                "account": account.to_string(),
                "issuer": issuer.to_string(),
                "currency": currency.letters(),
                "limit": limit_field(*limit, manner),
            })
        }
        Event::AnswerKept(kept) => json!({ "outcome": outcome_words(kept.outcome) }),
        Event::HookSet { issuer, hook } => json!({
            "issuer": issuer.to_string(),
            "hook": hook.map(|DecisionHook { wait_ms, when_late }| {
                json!({ "wait_ms": wait_ms, "when_late": name(when_late.name()) })
            }),
        }),
        Event::AccountClosed { account, closed } => {
            json!({ "account": account.to_string(), "closed": closed })
        }
        Event::ProgrammeClosed { programme, closed, .. } => {
            json!({ "programme": programme.to_string(), "closed": closed })
        }
        Event::Asked(asked) => asked_fields(asked, manner),
        Event::Resolved(Resolved { question, issuer, word, transaction }) => json!({
            "question": question.to_string(),
            "issuer": issuer.to_string(),
            "word": name(word.name()),
            "transaction": transaction.map(|id| id.to_string()),
        }),
        Event::AnsweredLate(AnsweredLate { question, issuer, word }) => json!({
            "question": question.to_string(),
            "issuer": issuer.to_string(),
            "word": name(word.name()),
        }),
        Event::NumberClaimed(NumberClaimed { account, .. }) => json!({ "account": account.to_string() }),
        Event::EtsnOpened(opened) => cards::card_fields(&opened.card, event, manner),
        Event::EtsnUsed { card, .. }
        | Event::EtsnChecked { card, .. }
        | Event::CardMissed { card, .. }
        | Event::CardUnlocked { card }
        | Event::RequestRefused { card, .. } => cards::card_fields(card, event, manner),
        Event::HostSet { issuer, host } => cards::host_fields(*issuer, *host),
        Event::HostAdvised(advice) => cards::advice_fields(advice, manner),
        Event::LimitSet { account, limit } => {
            json!({ "account": account.to_string(), "limit": limit_field(*limit, manner) })
        }
        Event::ChannelBlocked { account, channel, blocked } => {
            json!({ "account": account.to_string(), "channel": name(channel.name()), "blocked": blocked })
        }
    };
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn limit_field(limit: CreditLimit, manner: &Manner) -> Value {
    match limit {
        CreditLimit::Prepaid => json!("prepaid"),
        CreditLimit::IssuerHost => json!((manner.name)("issuer-host")),
        CreditLimit::Credit(minor) => json!({ "credit": { "minor": minor.value() } }),
    }
}

fn terms_fields(terms: &Terms, manner: &Manner) -> Value {
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
        "includes": (manner.name)(terms.holder.name()),
        "sandbox": terms.sandbox,
        "universal_last_four": terms.universal.as_ref().map(|universal| universal.last_four.to_string()),
    })
}

fn asked_fields(asked: &Asked, manner: &Manner) -> Value {
    let Asked { question, issuer, kind, request, account, number, deadline_ms, .. } = asked;
    json!({
        "question": question.to_string(),
        "issuer": issuer.to_string(),
        "kind": (manner.name)(kind.name()),
        "message": request.message.mti(),
        "account": account.map(|id| id.to_string()),
        "number": number.map(|number| number.id.to_string()),
        "amount": { "minor": request.amount.value(), "currency": request.currency.letters() },
        "merchant": request.facts.merchant.as_str(),
        "deadline": (manner.time)(*deadline_ms),
    })
}

fn transacted_fields(transacted: &Transacted, manner: &Manner) -> Value {
    let name = |name: &str| (manner.name)(name);
    let facts = &transacted.facts;
    let entries: Vec<Value> = transacted
        .effect
        .books()
        .entries()
        .into_iter()
        .filter(|(_, minor)| *minor != 0)
        .map(|(book, minor): (Book, i64)| json!({ "book": name(book.name()), "minor": minor }))
        .collect();
    json!({
        "transaction": transacted.id.to_string(),
        "kind": name(transacted.kind.name()),
        "message": transacted.message.mti(),
        "response": transacted.response.code(),
        "reason": name(transacted.reason.name()),
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
