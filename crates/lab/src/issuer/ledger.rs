//! The accounts of an issuer host, and what it did with them. Pure: it has no clock and no connection.

use std::collections::{HashMap, HashSet};
use std::fmt;

use mayfly_card::{Currency, Expiry, MinorUnits, MonthIndex, Pan, Rrn, TerminalId};
use mayfly_iso8583::{De, Message, MessageBuilder, Mti};
use zeroize::Zeroize;

/// What every answer takes over from its question, as far as the question has it (ISO 8583:1987).
const ECHOED: &[De] = &[
    De::PAN,
    De::PROCESSING_CODE,
    De::AMOUNT,
    De::TRANSMISSION_TIME,
    De::STAN,
    De::LOCAL_TIME,
    De::LOCAL_DATE,
    De::ACQUIRER,
    De::FORWARDER,
    De::RRN,
    De::TERMINAL,
    De::CARD_ACCEPTOR,
    De::CURRENCY,
    De::NETWORK_CODE,
    De::ORIGINAL_DATA,
    De::REPLACEMENT_AMOUNTS,
];

/// A cardholder's account.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// The card's real expiration date. Another one is declined (05), and one that is over too (54).
    pub expiry: Expiry,
    /// The currency of its money.
    pub currency: Currency,
    /// How much there is at the beginning.
    pub funds: MinorUnits,
    /// Whether everything is declined (05).
    pub blocked: bool,
}

/// What an account has, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// What was not spent.
    pub booked: i64,
    /// How much of it is held for authorisations (0100).
    pub held: i64,
}

impl Balance {
    /// What can be spent.
    pub fn available(self) -> i64 {
        self.booked - self.held
    }
}

/// What an approved question did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Held money (0100, 0120).
    Hold,
    /// Took money (0200, 0220).
    Sale,
    /// Gave money (0200, 0220 with processing code 20).
    Refund,
}

/// A question that was approved.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// What it did.
    pub kind: Kind,
    /// How much.
    pub amount: MinorUnits,
    /// How much of that was reversed since.
    pub reversed: MinorUnits,
    /// How much of a hold was charged since (0220).
    pub charged: MinorUnits,
    rrn: Rrn,
    number: Number,
}

impl Transaction {
    /// What is left of it.
    pub fn standing(&self) -> MinorUnits {
        self.amount.saturating_sub(self.reversed).saturating_sub(self.charged)
    }
}

/// A card number as a key.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Number([u8; Pan::LENGTH_MAX]);

impl Number {
    fn of(pan: &Pan) -> Self {
        let mut digits = [0; Pan::LENGTH_MAX];
        digits[..pan.length()].copy_from_slice(pan.digits());
        Self(digits)
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Number")
    }
}

/// What a question is known by, if it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity {
    named: Named,
    terminal: TerminalId,
}

/// How a reversal names its original (DE 90, and the same DE 37).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Named {
    mti: Mti,
    stan: u32,
    /// 0 where the sender of a reversal does not know it.
    transmitted: u64,
    acquirer: u64,
    rrn: Rrn,
}

/// How a question was answered.
#[derive(Clone, Copy, Debug)]
struct Done {
    code: &'static str,
    approval: Option<u32>,
    amount: u64,
}

#[derive(Debug)]
struct State {
    account: Account,
    balance: Balance,
}

/// Accounts by card number, and all that was done with them.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: HashMap<Number, State>,
    done: HashMap<Identity, Done>,
    /// By how a reversal names them: the place of the transaction, if it was approved.
    originals: HashMap<Named, Option<usize>>,
    /// Reversed before they came.
    overtaken: HashSet<Named>,
    transactions: Vec<Transaction>,
}

impl Ledger {
    /// Without accounts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens an account. One that had the number is replaced.
    pub fn open(&mut self, pan: &Pan, account: Account) -> &mut Self {
        let balance = Balance { booked: account.funds.signed(), held: 0 };
        self.accounts.insert(Number::of(pan), State { account, balance });
        self
    }

    /// Blocks an account, or unblocks it.
    pub fn block(&mut self, pan: &Pan, blocked: bool) {
        if let Some(state) = self.accounts.get_mut(&Number::of(pan)) {
            state.account.blocked = blocked;
        }
    }

    /// What an account has.
    pub fn balance(&self, pan: &Pan) -> Option<Balance> {
        self.accounts.get(&Number::of(pan)).map(|state| state.balance)
    }

    /// All questions that were approved, in their order.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// How much all approved questions but refunds come to, less what was reversed of them, in minor units.
    pub fn standing(&self) -> u64 {
        let spent = self.transactions.iter().filter(|transaction| transaction.kind != Kind::Refund);
        spent.map(|transaction| transaction.standing().value()).sum()
    }

    /// Whether every account has what it began with, less what its transactions say.
    pub fn adds_up(&self) -> bool {
        let mut expected: HashMap<&Number, Balance> = self
            .accounts
            .iter()
            .map(|(number, state)| (number, Balance { booked: state.account.funds.signed(), held: 0 }))
            .collect();
        for transaction in &self.transactions {
            let Some(balance) = expected.get_mut(&transaction.number) else { return false };
            let standing = transaction.standing().signed();
            match transaction.kind {
                Kind::Hold => balance.held += standing,
                Kind::Sale => balance.booked -= standing,
                Kind::Refund => balance.booked += standing,
            }
        }
        self.accounts.iter().all(|(number, state)| expected.get(number) == Some(&state.balance))
    }

    /// Books a question and answers it; a repeat is answered as its first was. None for what is no question.
    pub fn answer(&mut self, question: &Message<'_>, today: MonthIndex) -> Option<MessageBuilder> {
        let done = self.done(question, today);
        let mut answer = bare_answer(question, done.code)?;
        if let Some(approval) = done.approval {
            answer.set(De::APPROVAL_CODE, &format!("{approval:06}"));
        }
        Some(answer)
    }

    fn done(&mut self, question: &Message<'_>, today: MonthIndex) -> Done {
        let Some(identity) = identity(question) else { return Done::plain("30", 0) };
        let Some(amount) = amount(question) else { return Done::plain("30", 0) };
        if let Some(done) = self.done.get(&identity) {
            // The same reference with another content is no repeat.
            return if done.amount == amount.value() { *done } else { Done::plain("94", 0) };
        }
        let done = match &identity.named.mti.digits() {
            b"0100" | b"0200" => self.purchase(question, &identity, amount, today),
            b"0120" | b"0220" => self.advice(question, &identity, amount),
            b"0400" | b"0420" => self.reversal(question, &identity, amount),
            _ => Done::plain("12", amount.value()),
        };
        self.done.insert(identity, done);
        done
    }

    fn purchase(
        &mut self,
        question: &Message<'_>,
        identity: &Identity,
        amount: MinorUnits,
        today: MonthIndex,
    ) -> Done {
        let named = identity.named;
        let kind = match (question.bytes(De::PROCESSING_CODE), named.mti) {
            (Some([b'2', b'0', ..]), Mti::FINANCIAL_REQUEST) => Kind::Refund,
            (_, Mti::FINANCIAL_REQUEST) => Kind::Sale,
            _ => Kind::Hold,
        };
        let pan = question.bytes(De::PAN).and_then(|digits| Pan::parse(digits).ok());
        let checked = self.check(question, pan.as_ref(), kind, amount, today);
        let (code, pan) = match (checked, pan) {
            (Ok(()), Some(_)) if self.is_overtaken(&named) => ("05", None),
            (Ok(()), pan) => ("00", pan),
            (Err(code), _) => (code, None),
        };
        let approval = pan.map(|pan| self.enter(kind, &named, &pan, amount));
        self.originals.insert(named, approval);
        Done { code, approval: approval.map(|place| (place % 1_000_000) as u32), amount: amount.value() }
    }

    /// What was decided in our place: it is booked, whatever there is.
    fn advice(&mut self, question: &Message<'_>, identity: &Identity, amount: MinorUnits) -> Done {
        let named = identity.named;
        let kind = match (question.bytes(De::PROCESSING_CODE), named.mti) {
            (Some([b'2', b'0', ..]), Mti::FINANCIAL_ADVICE) => Kind::Refund,
            (_, Mti::FINANCIAL_ADVICE) => Kind::Sale,
            _ => Kind::Hold,
        };
        let pan = question.bytes(De::PAN).and_then(|digits| Pan::parse(digits).ok());
        let Some((pan, state)) = pan.and_then(|pan| {
            let state = self.accounts.get(&Number::of(&pan))?;
            Some((pan, state))
        }) else {
            return Done::plain("14", amount.value());
        };
        if question.number(De::CURRENCY) != Some(state.account.currency.number().into()) {
            return Done::plain("12", amount.value());
        }
        if self.is_overtaken(&named) {
            self.originals.insert(named, None);
            return Done::plain("00", amount.value());
        }
        if kind == Kind::Sale {
            self.charge_holds(&Number::of(&pan), named.rrn, amount);
        }
        let place = self.enter(kind, &named, &pan, amount);
        self.originals.insert(named, Some(place));
        Done::plain("00", amount.value())
    }

    /// What was held for a purchase is not held any more as far as it is charged.
    fn charge_holds(&mut self, number: &Number, rrn: Rrn, amount: MinorUnits) {
        let mut left = amount;
        for place in 0..self.transactions.len() {
            let held = &mut self.transactions[place];
            if held.kind == Kind::Hold && held.rrn == rrn && held.number == *number {
                let taken = held.standing().min(left);
                self.book(place, -taken.signed());
                self.transactions[place].charged = self.transactions[place].charged.saturating_add(taken);
                left = left.saturating_sub(taken);
            }
        }
    }

    /// Books a transaction.
    fn enter(&mut self, kind: Kind, named: &Named, pan: &Pan, amount: MinorUnits) -> usize {
        self.transactions.push(Transaction {
            kind,
            amount,
            reversed: MinorUnits::ZERO,
            charged: MinorUnits::ZERO,
            rrn: named.rrn,
            number: Number::of(pan),
        });
        let place = self.transactions.len() - 1;
        self.book(place, amount.signed());
        place
    }

    /// Whether its reversal came before it.
    fn is_overtaken(&self, named: &Named) -> bool {
        self.overtaken.contains(named) || self.overtaken.contains(&Named { transmitted: 0, ..*named })
    }

    fn check(
        &self,
        question: &Message<'_>,
        pan: Option<&Pan>,
        kind: Kind,
        amount: MinorUnits,
        today: MonthIndex,
    ) -> Result<(), &'static str> {
        let state = pan.and_then(|pan| self.accounts.get(&Number::of(pan))).ok_or("14")?;
        let Account { expiry, currency, blocked, .. } = state.account;
        if blocked {
            return Err("05");
        }
        if expiry.month_near(today) < today {
            return Err("54");
        }
        let date = question.text(De::EXPIRATION_DATE).and_then(|text| Expiry::parse_yymm(text).ok());
        if date != Some(expiry) {
            return Err("05");
        }
        if question.number(De::CURRENCY) != Some(currency.number().into()) {
            return Err("12");
        }
        if kind != Kind::Refund && state.balance.available() < amount.signed() {
            return Err("51");
        }
        Ok(())
    }

    /// A transaction does what its kind does with that much money, or undoes it.
    fn book(&mut self, place: usize, minor: i64) {
        let transaction = &self.transactions[place];
        if let Some(state) = self.accounts.get_mut(&transaction.number) {
            match transaction.kind {
                Kind::Hold => state.balance.held += minor,
                Kind::Sale => state.balance.booked -= minor,
                Kind::Refund => state.balance.booked += minor,
            }
        }
    }

    fn reversal(&mut self, question: &Message<'_>, identity: &Identity, amount: MinorUnits) -> Done {
        let done = |code| Done::plain(code, amount.value());
        let (Ok(Some(original)), Ok(stays)) = (question.original_data(), question.replacement_amounts())
        else {
            return done("30");
        };
        let acquirer = match original.acquirer() {
            0 => identity.named.acquirer,
            told => told,
        };
        let named = Named {
            mti: original.mti().without_repeat(),
            stan: original.stan(),
            transmitted: original.transmission_time(),
            acquirer,
            rrn: identity.named.rrn,
        };
        let Some(found) = self.original(&named) else {
            // It may still come, and must not stand then.
            self.overtaken.insert(named);
            return done("00");
        };
        // What was declined is as good as reversed.
        let Some(place) = found else { return done("00") };
        let transaction = &mut self.transactions[place];
        let pan = question.bytes(De::PAN).and_then(|digits| Pan::parse(digits).ok());
        if pan.is_some_and(|pan| Number::of(&pan) != transaction.number) {
            return done("14");
        }
        let stays = stays.and_then(|stays| MinorUnits::new(stays.transaction())).unwrap_or_default();
        // What is charged stays charged: it is reversed by itself.
        let wanted = transaction.amount.saturating_sub(transaction.reversed).saturating_sub(stays);
        let back = wanted.min(transaction.standing());
        transaction.reversed = transaction.reversed.saturating_add(back);
        self.book(place, -back.signed());
        done("00")
    }

    /// What is named so, if it has come: its place, if it was approved.
    fn original(&self, named: &Named) -> Option<Option<usize>> {
        if named.transmitted != 0 {
            return self.originals.get(named).copied();
        }
        let mut found =
            self.originals.iter().filter(|(known, _)| Named { transmitted: 0, ..**known } == *named);
        found.next().map(|(_, place)| *place)
    }
}

impl Done {
    fn plain(code: &'static str, amount: u64) -> Self {
        Self { code, approval: None, amount }
    }
}

/// The answer to a question with this code, and nothing booked. None for what is no question.
pub(super) fn bare_answer(question: &Message<'_>, code: &str) -> Option<MessageBuilder> {
    let mut answer = MessageBuilder::answer(question)?;
    answer.echo(question, ECHOED).set(De::RESPONSE_CODE, code);
    Some(answer)
}

fn identity(question: &Message<'_>) -> Option<Identity> {
    Some(Identity {
        named: Named {
            mti: question.mti().without_repeat(),
            stan: u32::try_from(question.number(De::STAN)?).ok()?,
            transmitted: question.number(De::TRANSMISSION_TIME)?,
            acquirer: question.number(De::ACQUIRER).unwrap_or(0),
            rrn: text(question, De::RRN, Rrn::parse),
        },
        terminal: text(question, De::TERMINAL, TerminalId::parse),
    })
}

fn amount(question: &Message<'_>) -> Option<MinorUnits> {
    question.number(De::AMOUNT).and_then(MinorUnits::new)
}

/// What an element holds; the empty text where it is missing or no such thing.
fn text<T: Default, E>(question: &Message<'_>, element: De, parse: impl FnOnce(&str) -> Result<T, E>) -> T {
    question.text(element).and_then(|text| parse(text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
