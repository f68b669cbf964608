//! From what the office gives back to what is answered.

use mayfly_card::{Channel, Currency};
use mayfly_core::{
    AccountId, Controls, CreditLimit, HolderDigits, HostTerms, IssuerId, MerchantRule, MessageKind,
    ProgrammeId, Refusal, Retirement, Terms, state,
};
use mayfly_engine::cards::CardDeskError;
use mayfly_store::TransactionRow;
use mayfly_store::directory::{self, DirectoryError};

use crate::protocol::{
    Account, AccountLimit, AdminError, Amount, ApiKey, Entry, ErrorCode, FailedControl, Includes, Issued,
    Issuer, KeyGiven, Merchant, MerchantFacts, Number, NumberControls, NumberState, Programme, Secret,
    Standing, TermsAsked, Time, Transaction,
};
use mayfly_office::{NumberNow, OfficeError};

pub(super) fn issuer(id: IssuerId, issuer: &state::Issuer) -> Issuer {
    let HostTerms { wait_ms, stand_in_max } = issuer.host.unwrap_or_default();
    let (host_wait_ms, stand_in_max_minor) = (wait_ms, stand_in_max.value());
    Issuer { id, name: issuer.name, host_wait_ms, stand_in_max_minor }
}

pub(super) fn programme(id: ProgrammeId, programme: &state::Programme) -> Programme {
    let terms = &programme.terms;
    Programme {
        id,
        issuer: programme.issuer,
        name: programme.name,
        terms: TermsAsked {
            prefix: terms.prefix,
            layout: Some(terms.layout),
            lifetime_s: Some(terms.lifetime_ms / 1000),
            lifetime_max_s: Some(terms.lifetime_max_ms / 1000),
            uses_max: Some(terms.uses_max),
            expiry_months: Some(terms.expiry_months),
            quarantine_months: Some(terms.quarantine_months),
            active_max: Some(terms.active_max),
            amount_max_minor: Some(terms.amount_max.value()),
            tolerance_percent: Some(f64::from(terms.tolerance_bp) / 100.0),
            hold_days: Some(terms.hold_days),
            single_completion: Some(terms.single_completion),
            failed_control: Some(match terms.failed_control {
                mayfly_core::FailedControl::KeepUsable => FailedControl::KeepUsable,
                mayfly_core::FailedControl::UseUp => FailedControl::UseUp,
            }),
            includes: Some(match terms.holder {
                HolderDigits::Drawn => Includes::Nothing,
                HolderDigits::Own => Includes::OwnNumber,
                HolderDigits::Universal(_) => Includes::UniversalNumber,
            }),
            sandbox: Some(terms.sandbox),
            check_site: terms.scheme.dynamic().map(|terms| Box::new(super::cards::shown(terms))),
        },
        universal: terms.universal.map(|universal| masked(terms, universal.last_four)),
    }
}

/// A number of a programme as people see it: prefix and last four digits, as `Pan` shows itself.
pub(super) fn masked(terms: &Terms, last_four: mayfly_card::LastFour) -> String {
    let head: String = terms.prefix.as_str().chars().take(6).collect();
    let hidden = terms.layout.length().saturating_sub(head.len() + 4);
    format!("{head}{}{last_four}", "*".repeat(hidden))
}

pub(super) fn account(id: AccountId, account: &state::Account) -> Account {
    let amount = |minor| Amount { minor, currency: account.currency };
    Account {
        id,
        issuer: account.issuer,
        currency: account.currency,
        limit: match account.limit {
            CreditLimit::Prepaid => AccountLimit::Prepaid,
            CreditLimit::IssuerHost => AccountLimit::IssuerHost,
            CreditLimit::Credit(limit) => AccountLimit::Credit { minor: limit.value() },
        },
        balance: amount(account.balance),
        held: amount(account.held),
        available: amount(account.available()),
        blocked_channels: Channel::ALL.into_iter().filter(|channel| account.blocks(*channel)).collect(),
        active_numbers: account.active_numbers,
    }
}

pub(super) fn issued(issued: &mayfly_engine::Issued) -> Result<Issued, AdminError> {
    let cvc2 = std::str::from_utf8(issued.cvc2.expose());
    let cvc2 = cvc2.map_err(|_| AdminError::new(ErrorCode::Internal, "the CVC2 is not made of digits"))?;
    Ok(Issued {
        id: issued.id,
        number: issued.pan.clone(),
        expiry: Secret::new(issued.expiry.mmyy()),
        cvc2: Secret::new(cvc2),
        expires: Time(issued.expires_ms),
    })
}

impl NumberState {
    /// As the core has it: none for an active number.
    pub(super) fn retirement(self) -> Option<Retirement> {
        match self {
            Self::Active => None,
            Self::Used => Some(Retirement::Used),
            Self::Expired => Some(Retirement::Expired),
            Self::Cancelled => Some(Retirement::Cancelled),
            Self::Blocked => Some(Retirement::Blocked),
        }
    }

    fn of(over: Option<Retirement>) -> Self {
        match over {
            None => Self::Active,
            Some(Retirement::Used) => Self::Used,
            Some(Retirement::Expired) => Self::Expired,
            Some(Retirement::Cancelled) => Self::Cancelled,
            Some(Retirement::Blocked) => Self::Blocked,
        }
    }
}

pub(super) fn number(now: NumberNow, currency: Currency, programme: &state::Programme) -> Number {
    let NumberNow { row, over } = now;
    Number {
        id: row.id,
        account: row.account,
        programme: row.programme,
        masked: masked(&programme.terms, row.last_four),
        state: NumberState::of(over),
        issued: Some(Time(row.issued_ms)),
        expires: Time(row.expires_ms),
        retired: row.retired.map(|retired| Time(retired.at_ms)),
        uses_left: row.usage.uses_left,
        spent: Amount { minor: row.usage.spent.signed(), currency },
        bound_to: row.usage.bound_to,
        controls: controls(&row.controls),
    }
}

fn controls(controls: &Controls) -> NumberControls {
    let (mccs, countries) = controls.lists.as_deref().cloned().unwrap_or_default();
    NumberControls {
        amount_max_minor: controls.amount_max.map(|amount| amount.value()),
        total_max_minor: controls.total_max.map(|amount| amount.value()),
        currency: controls.currency,
        merchant: match controls.merchant {
            MerchantRule::Any => Merchant::Any,
            MerchantRule::FirstUse => Merchant::FirstUse,
            MerchantRule::Fixed(merchant) => Merchant::Fixed(merchant),
        },
        mcc_allowed: mccs.allowed,
        mcc_refused: mccs.refused,
        countries,
        channel: controls.channel,
    }
}

pub(super) fn transaction(row: TransactionRow) -> Transaction {
    let shown = row.amount_shown();
    let TransactionRow { transaction, facts, books, .. } = row;
    let state::Totals { authorised, held, captured, refunded } = transaction.totals;
    let entries = books.entries().into_iter().filter(|(_, minor)| *minor != 0);
    Transaction {
        id: transaction.id,
        time: Time(transaction.at_ms),
        kind: transaction.kind,
        message: transaction.message.mti().to_owned(),
        response: transaction.response.code().to_owned(),
        reason: transaction.reason.name().to_owned(),
        approval: transaction.approval.map(|approval| approval.to_string()),
        number: transaction.number.map(|number| number.id),
        account: transaction.account,
        target: transaction.target,
        amount: Amount { minor: shown, currency: transaction.currency },
        merchant: (transaction.message != MessageKind::Operator).then_some(MerchantFacts {
            id: facts.merchant,
            mcc: facts.mcc,
            country: facts.country,
            terminal: facts.terminal,
            acquirer: facts.acquirer,
            stan: facts.stan,
            rrn: facts.rrn,
            entry_mode: facts.entry_mode,
        }),
        standing: transaction.is_purchase().then_some(Standing { authorised, held, captured, refunded }),
        entries: entries.map(|(book, minor)| Entry { book: book.name().to_owned(), minor }).collect(),
    }
}

impl From<OfficeError> for AdminError {
    fn from(error: OfficeError) -> Self {
        let code = match &error {
            OfficeError::Refused(refusal) => code(refusal),
            OfficeError::Terms(_) => ErrorCode::Limit,
            OfficeError::NoNumber(_) | OfficeError::NoTransaction(_) | OfficeError::NoKey(_) => {
                ErrorCode::NotFound
            }
            OfficeError::Directory(error) => directory_code(error),
            OfficeError::WhichProgramme { .. } | OfficeError::OwnNumberMissing => ErrorCode::Conflict,
            OfficeError::OfCheckSite(_) => ErrorCode::Conflict,
            OfficeError::Card(error) => card_code(error),
            OfficeError::Busy(_) | OfficeError::Behind { .. } => ErrorCode::Busy,
            OfficeError::Stopped | OfficeError::Views(_) => ErrorCode::Storage,
            OfficeError::Keys(_) => ErrorCode::Keys,
            OfficeError::Random(_) | OfficeError::Note(_) => ErrorCode::Internal,
        };
        if let OfficeError::Views(error) = &error {
            tracing::error!(%error, "the views could not be read");
        }
        Self::new(code, error)
    }
}

fn card_code(error: &CardDeskError) -> ErrorCode {
    match error {
        CardDeskError::ProcessNotEnabled | CardDeskError::Expiry | CardDeskError::NotOfProgramme => {
            ErrorCode::Limit
        }
        CardDeskError::Busy(_) => ErrorCode::Busy,
        CardDeskError::Random(_) | CardDeskError::Reference(_) => ErrorCode::Internal,
        CardDeskError::Stopped => ErrorCode::Storage,
        _ => ErrorCode::Conflict,
    }
}

fn directory_code(error: &DirectoryError) -> ErrorCode {
    match error {
        DirectoryError::KeyIssuer { .. } | DirectoryError::KeyMerchant { .. } => ErrorCode::Invalid,
        DirectoryError::NoMerchant => ErrorCode::NotFound,
        DirectoryError::KeyOver { .. }
        | DirectoryError::KeyVersion(_)
        | DirectoryError::KeyVersionNext { .. }
        | DirectoryError::KeyVersionUsed { .. } => ErrorCode::Conflict,
        _ => ErrorCode::Storage,
    }
}

pub(super) fn key(key: directory::ApiKey) -> ApiKey {
    ApiKey {
        id: key.id,
        role: key.role,
        issuer: key.issuer,
        merchant: key.merchant,
        label: key.label,
        hint: key.hint,
        created: Time(key.created_ms),
        expires: key.expires_ms.map(Time),
        revoked: key.revoked_ms.map(Time),
        replaced_by: key.replaced_by,
    }
}

pub(super) fn key_given(given: mayfly_office::KeyGiven) -> KeyGiven {
    KeyGiven { token: Secret::new(given.token.expose()), key: key(given.key) }
}

fn code(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::NoIssuer(_) | Refusal::NoProgramme(_) | Refusal::NoAccount(_) => ErrorCode::NotFound,
        Refusal::AccountClosed(_) | Refusal::ProgrammeClosed(_) => ErrorCode::Conflict,
        Refusal::NoNumber(_) | Refusal::NoQuestion(_) | Refusal::NoHold(_) | Refusal::OtherIssuer => {
            ErrorCode::Conflict
        }
        Refusal::NameTaken | Refusal::PrefixTaken(_) | Refusal::NumberTaken => ErrorCode::Taken,
        Refusal::Limit(_)
        | Refusal::Uses { .. }
        | Refusal::Lifetime { .. }
        | Refusal::ActiveNumbers { .. }
        | Refusal::AmountTooLarge => ErrorCode::Limit,
        Refusal::OpenPurchases { .. } => ErrorCode::Limit,
        Refusal::NoCard(_)
        | Refusal::CardLocked(_)
        | Refusal::NotOfCheckSite(_)
        | Refusal::FundedByHost(_) => ErrorCode::Conflict,
        Refusal::CardChanged => ErrorCode::Busy,
        Refusal::Funds => ErrorCode::Funds,
        Refusal::KeyReused | Refusal::NoKeyHere => ErrorCode::Conflict,
        Refusal::CandidatesTaken | Refusal::Busy => ErrorCode::Busy,
        Refusal::Storage => ErrorCode::Storage,
    }
}
