//! What operators do.

use mayfly_card::{AcquirerId, Currency, MinorUnits, Stan};

use super::{ACCOUNT_MAX, advise, card, issue, original};
use crate::state::{Account, State, Transaction};
use crate::{
    AccountId, AccountOpened, Answer, CreditLimit, DecisionHook, Effect, Event, Facts, Hash64, HostTerms,
    IssuerId, IssuerOpened, Kind, LimitError, MessageKind, Name, NumberRef, Operation, Previous, ProgrammeId,
    ProgrammeOpened, Reason, Refusal, ResponseCode, Terms, TotalsChange, Transacted, TransactionId,
};

pub(super) fn operate(state: &State, operation: &Operation, events: &mut Vec<Event>) -> Answer {
    let done = match operation {
        Operation::OpenIssuer { name } => open_issuer(state, *name, events),
        Operation::OpenProgramme { issuer, name, terms } => {
            open_programme(state, *issuer, *name, terms, events)
        }
        Operation::SetHook { issuer, hook } => set_hook(state, *issuer, *hook, events),
        Operation::OpenAccount { issuer, currency, limit } => {
            open_account(state, *issuer, *currency, *limit, events)
        }
        Operation::SetLimit { account, limit } => set_limit(state, *account, *limit, events),
        Operation::Fund { account, minor } => fund(state, *account, *minor, events),
        Operation::BlockChannel { account, channel, blocked } => known(state, *account).map(|_| {
            events.push(Event::ChannelBlocked { account: *account, channel: *channel, blocked: *blocked });
            Answer::Done
        }),
        Operation::CloseAccount { account, closed } => known(state, *account).map(|_| {
            events.push(Event::AccountClosed { account: *account, closed: *closed });
            Answer::Done
        }),
        Operation::CloseProgramme { programme, closed } => {
            state.programme(*programme).ok_or(Refusal::NoProgramme(*programme)).map(|found| {
                let (programme, issuer, closed) = (*programme, found.issuer, *closed);
                events.push(Event::ProgrammeClosed { programme, issuer, closed });
                Answer::Done
            })
        }
        Operation::SetHost { issuer, host } => set_host(state, *issuer, *host, events),
        Operation::UnlockCard { card } => card::unlock(state, *card, events),
        Operation::CancelNumber { number, index } => {
            return issue::cancel(state, NumberRef { id: *number, index: *index }, events);
        }
        Operation::TakeBack { transaction } => take_back(state, *transaction, events),
        Operation::ReleaseHold { transaction } => release(state, *transaction, events),
    };
    done.unwrap_or_else(Answer::Refused)
}

fn known(state: &State, account: AccountId) -> Result<&Account, Refusal> {
    state.account(account).ok_or(Refusal::NoAccount(account))
}

fn open_issuer(state: &State, name: Name, events: &mut Vec<Event>) -> Result<Answer, Refusal> {
    if state.register.issuers().iter().any(|issuer| issuer.name == name) {
        return Err(Refusal::NameTaken);
    }
    let issuer = state.register.next_issuer();
    events.push(Event::IssuerOpened(IssuerOpened { issuer, name }));
    Ok(Answer::Issuer(issuer))
}

fn open_programme(
    state: &State,
    issuer: IssuerId,
    name: Name,
    terms: &Terms,
    events: &mut Vec<Event>,
) -> Result<Answer, Refusal> {
    state.issuer(issuer).ok_or(Refusal::NoIssuer(issuer))?;
    terms.check().map_err(Refusal::Limit)?;
    let mut programmes = state.register.programmes().iter().enumerate();
    if state
        .register
        .programmes()
        .iter()
        .any(|programme| programme.issuer == issuer && programme.name == name)
    {
        return Err(Refusal::NameTaken);
    }
    // Overlapping prefixes would make it unclear whose number one is, and by whose terms.
    if let Some((at, _)) = programmes.find(|(_, programme)| programme.terms.prefix.overlaps(&terms.prefix)) {
        return Err(Refusal::PrefixTaken(ProgrammeId(at as u64 + 1)));
    }
    let programme = state.register.next_programme();
    events.push(Event::ProgrammeOpened(Box::new(ProgrammeOpened {
        programme,
        issuer,
        name,
        terms: terms.clone(),
    })));
    Ok(Answer::Programme(programme))
}

fn set_hook(
    state: &State,
    issuer: IssuerId,
    hook: Option<DecisionHook>,
    events: &mut Vec<Event>,
) -> Result<Answer, Refusal> {
    state.issuer(issuer).ok_or(Refusal::NoIssuer(issuer))?;
    if hook.is_some_and(|hook| !DecisionHook::WAIT_MS.contains(&hook.wait_ms)) {
        return Err(Refusal::Limit(LimitError { term: "time limit", bounds: "100 to 20000 milliseconds" }));
    }
    events.push(Event::HookSet { issuer, hook });
    Ok(Answer::Done)
}

fn set_host(
    state: &State,
    issuer: IssuerId,
    host: Option<HostTerms>,
    events: &mut Vec<Event>,
) -> Result<Answer, Refusal> {
    state.issuer(issuer).ok_or(Refusal::NoIssuer(issuer))?;
    if host.is_some_and(|host| !DecisionHook::WAIT_MS.contains(&host.wait_ms)) {
        return Err(Refusal::Limit(LimitError { term: "time limit", bounds: "100 to 20000 milliseconds" }));
    }
    events.push(Event::HostSet { issuer, host });
    Ok(Answer::Done)
}

fn open_account(
    state: &State,
    issuer: IssuerId,
    currency: Currency,
    limit: CreditLimit,
    events: &mut Vec<Event>,
) -> Result<Answer, Refusal> {
    state.issuer(issuer).ok_or(Refusal::NoIssuer(issuer))?;
    let account = state.next_account();
    events.push(Event::AccountOpened(AccountOpened { account, issuer, currency, limit }));
    Ok(Answer::Account(account))
}

/// Whether the money is here or with the issuer host was said when the account was opened.
fn set_limit(
    state: &State,
    id: AccountId,
    limit: CreditLimit,
    events: &mut Vec<Event>,
) -> Result<Answer, Refusal> {
    let account = known(state, id)?;
    if (account.limit == CreditLimit::IssuerHost) != (limit == CreditLimit::IssuerHost) {
        return Err(Refusal::FundedByHost(id));
    }
    events.push(Event::LimitSet { account: id, limit });
    Ok(Answer::Done)
}

fn fund(state: &State, id: AccountId, minor: i64, events: &mut Vec<Event>) -> Result<Answer, Refusal> {
    let account = known(state, id)?;
    if account.limit == CreditLimit::IssuerHost {
        return Err(Refusal::FundedByHost(id));
    }
    let amount = MinorUnits::new(minor.unsigned_abs()).ok_or(Refusal::AmountTooLarge)?;
    match account.balance.checked_add(minor) {
        Some(balance) if balance.abs() <= ACCOUNT_MAX => {}
        _ => return Err(Refusal::AmountTooLarge),
    }
    if minor < 0 && account.available() + minor < 0 {
        return Err(Refusal::Funds);
    }
    let effect = Effect { funded: minor, ..Effect::default() };
    events.push(Event::Transacted(act(state, Kind::Funding, id, account, amount, None, effect)));
    Ok(Answer::Done)
}

fn release(state: &State, id: TransactionId, events: &mut Vec<Event>) -> Result<Answer, Refusal> {
    let purchase = original::held(state, id).ok_or(Refusal::NoHold(id))?;
    let totals = TotalsChange { held: -purchase.totals.held, ..TotalsChange::default() };
    give_back(state, Kind::HoldReleased, purchase, purchase.totals.held, totals, events)
}

/// Takes back what still stands of a purchase: its peer was told that there was none. The use is not given back.
fn take_back(state: &State, id: TransactionId, events: &mut Vec<Event>) -> Result<Answer, Refusal> {
    let purchase = state
        .transactions
        .find(id)
        .filter(|purchase| purchase.is_purchase() && !purchase.message.is_advice());
    let purchase = purchase.ok_or(Refusal::NoHold(id))?;
    let captured = purchase.totals.captured - purchase.totals.refunded;
    let amount = purchase.totals.held + captured;
    if amount <= 0 {
        return Err(Refusal::NoHold(id));
    }
    let totals =
        TotalsChange { authorised: -amount, held: -purchase.totals.held, captured: -captured, refunded: 0 };
    give_back(state, Kind::Reversal, purchase, amount, totals, events)
}

fn give_back(
    state: &State,
    kind: Kind,
    purchase: &Transaction,
    amount: i64,
    totals: TotalsChange,
    events: &mut Vec<Event>,
) -> Result<Answer, Refusal> {
    let account_id = purchase.account.ok_or(Refusal::NoHold(purchase.id))?;
    let account = known(state, account_id)?;
    let effect = Effect { totals, ..Effect::default() };
    let amount = MinorUnits::new(amount.unsigned_abs()).ok_or(Refusal::AmountTooLarge)?;
    let mut event = act(state, kind, account_id, account, amount, Some(purchase.id), effect);
    if kind == Kind::Reversal {
        event.reverses = Some((purchase.id, amount));
        // It stands with what it takes back, so that a repeat of that finds it.
        event.reference = purchase.reference;
    }
    advise::owe(state, &event, events);
    events.push(Event::Transacted(event));
    Ok(Answer::Done)
}

/// An operator's act as a transaction. Its reference is its own id, so that no message ever finds it.
fn act(
    state: &State,
    kind: Kind,
    id: AccountId,
    account: &Account,
    amount: MinorUnits,
    target: Option<TransactionId>,
    effect: Effect,
) -> Transacted {
    let transaction = state.transactions.next_id();
    Transacted {
        id: transaction,
        kind,
        message: MessageKind::Operator,
        response: ResponseCode::Approved,
        reason: Reason::Approved,
        approval: None,
        reference: Hash64(transaction.0),
        identity: Hash64(transaction.0),
        content: Hash64(0),
        number: None,
        previous: Previous::Nothing,
        retires: None,
        account: Some(id),
        issuer: Some(account.issuer),
        programme: None,
        target,
        reverses: None,
        ceiling: MinorUnits::ZERO,
        amount,
        currency: account.currency,
        facts: Facts { acquirer: AcquirerId::default(), stan: Stan::default(), ..Facts::default() },
        effect,
    }
}
