//! The transactions of the last days, for repeats and for what comes after an authorisation.

use std::collections::VecDeque;

use mayfly_card::{ApprovalCode, Currency, MerchantId, MinorUnits, Stan};

use super::sharded::ShardedMap;
use crate::{
    AccountId, Hash64, HostTrace, Kind, MessageAnswer, MessageKind, NumberRef, Previous, ProgrammeId, Reason,
    ResponseCode, TimeMs, TotalsChange, Transacted, TransactionId, serial,
};

/// How many transactions may stand under one reference. Whoever sends more is answered 65, so that nobody can
/// make others wait by lengthening a list.
pub const PER_REFERENCE_MAX: usize = 64;

/// What is kept of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its id.
    pub id: TransactionId,
    /// When it was decided.
    pub at_ms: TimeMs,
    /// When it, or what belongs to it, last changed.
    pub touched_ms: TimeMs,
    /// What kind it was.
    pub kind: Kind,
    /// Which message brought it.
    pub message: MessageKind,
    /// What was answered.
    pub response: ResponseCode,
    /// Exactly why.
    pub reason: Reason,
    /// The approval code, where one was given.
    pub approval: Option<ApprovalCode>,
    /// Its reference.
    pub reference: Hash64,
    /// Its identity.
    pub identity: Hash64,
    /// Its content.
    pub content: Hash64,
    /// The number.
    pub number: Option<NumberRef>,
    /// By whose terms.
    pub programme: Option<ProgrammeId>,
    /// The account.
    pub account: Option<AccountId>,
    /// The purchase that it belongs to.
    pub target: Option<TransactionId>,
    /// DE 11.
    pub stan: Stan,
    /// DE 7, `MMDDhhmmss` as a number; 0 where there was none.
    pub transmitted: u32,
    /// DE 42.
    pub merchant: MerchantId,
    /// DE 4.
    pub amount: MinorUnits,
    /// DE 49.
    pub currency: Currency,
    /// How much it may come to, if it is a purchase.
    pub ceiling: MinorUnits,
    /// How much of this message was reversed, in minor units.
    pub reversed: i64,
    /// What stands of it now, if it is a purchase.
    pub totals: Totals,
    /// Whether a reversal has given its use back.
    pub use_returned: bool,
    /// The one before it under the same reference.
    pub previous_by_reference: Option<TransactionId>,
    /// The one before it with the same number.
    pub previous_by_number: Option<TransactionId>,
}

/// What stands of a purchase, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Totals {
    /// Authorised, with what was added and without what was reversed.
    pub authorised: i64,
    /// Still held.
    pub held: i64,
    /// Captured, without what was reversed.
    pub captured: i64,
    /// Given back after capture.
    pub refunded: i64,
}

impl Totals {
    pub(super) fn add(&mut self, change: &TotalsChange) {
        self.authorised += change.authorised;
        self.held += change.held;
        self.captured += change.captured;
        self.refunded += change.refunded;
    }
}

impl Transaction {
    /// As it was recorded.
    pub fn recorded(event: &Transacted, at_ms: TimeMs) -> Self {
        let mut totals = Totals::default();
        if event.target.is_none() {
            totals.add(&event.effect.totals);
        }
        Self {
            id: event.id,
            at_ms,
            touched_ms: at_ms,
            kind: event.kind,
            message: event.message,
            response: event.response,
            reason: event.reason,
            approval: event.approval,
            reference: event.reference,
            identity: event.identity,
            content: event.content,
            number: event.number,
            programme: event.programme,
            account: event.account,
            target: event.target,
            stan: event.facts.stan,
            transmitted: event.facts.transmitted,
            merchant: event.facts.merchant,
            amount: event.amount,
            currency: event.currency,
            ceiling: event.ceiling,
            reversed: 0,
            totals,
            use_returned: false,
            previous_by_reference: None,
            previous_by_number: match event.previous {
                Previous::Transaction(previous) => Some(previous),
                // Nobody asks for what was made with a number that is not active.
                Previous::Nothing | Previous::Retired => None,
            },
        }
    }

    /// The answer that was given, for a repeat.
    pub fn repeated(&self) -> MessageAnswer {
        MessageAnswer {
            response: self.response,
            approval: self.approval,
            reason: self.reason,
            transaction: Some(self.id),
            repeat: true,
            good_until_ms: None,
        }
    }

    /// By what a message that was made of it is known to an issuer host.
    pub fn host_trace(&self) -> HostTrace {
        let Self { reference, identity, transmitted, .. } = *self;
        let message = match self.kind {
            // Whatever told us of it, a host is told of it by this.
            Kind::Completion | Kind::ForcePost | Kind::Refund => MessageKind::FinancialAdvice,
            _ => self.message,
        };
        let trace = HostTrace { message, reference, identity, transmitted };
        if self.reason == Reason::StoodIn { trace.stood_in() } else { trace }
    }

    /// Whether it was accepted without anybody knowing whose it is.
    pub fn is_suspended(&self) -> bool {
        self.reason == Reason::Suspense
    }

    /// Whether it is a purchase that was approved, by us or by somebody who told us.
    pub fn is_purchase(&self) -> bool {
        matches!(self.kind, Kind::Purchase | Kind::Advice | Kind::ForcePost)
            && self.response == ResponseCode::Approved
            && self.account.is_some()
    }
}

/// How many transactions are allocated, and forgotten, at a time.
const CHUNK: usize = 4096;

/// The transactions in memory: the latest ones in order, and older ones that were looked up again.
#[derive(Clone, Debug, Default)]
pub struct Transactions {
    /// Chunks of consecutive ids; the first begins with `first`.
    chunks: VecDeque<Vec<Transaction>>,
    first: u64,
    next: u64,
    /// Older ones: brought back from the views, or not idle long enough when their chunk was forgotten.
    revived: ShardedMap<Box<Transaction>>,
    /// The order in which those are looked at, to be forgotten.
    turn: VecDeque<TransactionId>,
    /// The latest transaction of each reference.
    by_reference: ShardedMap<TransactionId>,
}

impl Transactions {
    /// With the ids that are still to come.
    pub fn starting_at(next: TransactionId) -> Self {
        Self { first: next.0, next: next.0, ..Self::default() }
    }

    /// Whether none are in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many are in memory.
    pub fn len(&self) -> usize {
        (self.next - self.first) as usize + self.revived.len()
    }

    /// The next id.
    pub fn next_id(&self) -> TransactionId {
        TransactionId(self.next)
    }

    /// Whether some have been forgotten, so that a look into the views may find more.
    pub fn has_forgotten(&self) -> bool {
        serial(self.first) > 1
    }

    /// When the oldest of those in order was decided.
    pub fn oldest_ms(&self) -> Option<TimeMs> {
        self.chunks.front().and_then(|chunk| chunk.first()).map(|transaction| transaction.at_ms)
    }

    /// By id.
    pub fn find(&self, id: TransactionId) -> Option<&Transaction> {
        match id.0.checked_sub(self.first) {
            Some(at) => self.chunks.get(at as usize / CHUNK)?.get(at as usize % CHUNK),
            None => self.revived.find(spread(id)).map(|transaction| &**transaction),
        }
    }

    /// The latest one under a reference.
    pub(super) fn latest_under(&self, reference: Hash64) -> Option<TransactionId> {
        self.by_reference.find(reference.0).copied()
    }

    /// Those under a reference, the latest first.
    pub fn under(&self, reference: Hash64) -> impl Iterator<Item = &Transaction> {
        let mut next = self.latest_under(reference);
        std::iter::from_fn(move || {
            let transaction = self.find(next?)?;
            next = transaction.previous_by_reference;
            Some(transaction)
        })
    }

    /// Those made with one number, the latest first, from `last` on.
    pub fn of_number(&self, last: Option<TransactionId>) -> impl Iterator<Item = &Transaction> {
        let mut next = last;
        std::iter::from_fn(move || {
            let transaction = self.find(next?)?;
            next = transaction.previous_by_number;
            Some(transaction)
        })
    }

    /// Each of them, the oldest first; those brought back come first, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Transaction> {
        self.revived.values().map(|transaction| &**transaction).chain(self.chunks.iter().flatten())
    }

    pub(super) fn find_mut(&mut self, id: TransactionId) -> Option<&mut Transaction> {
        match id.0.checked_sub(self.first) {
            Some(at) => self.chunks.get_mut(at as usize / CHUNK)?.get_mut(at as usize % CHUNK),
            None => self.revived.find_mut(spread(id)).map(|transaction| &mut **transaction),
        }
    }

    /// Appends the next one. Its id must be [`Transactions::next_id`].
    pub(super) fn push(&mut self, mut transaction: Transaction) {
        debug_assert_eq!(transaction.id.0, self.next);
        transaction.previous_by_reference = self.by_reference.insert(transaction.reference.0, transaction.id);
        match self.chunks.back_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push(transaction),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(transaction);
                self.chunks.push_back(chunk);
            }
        }
        self.next += 1;
    }

    /// Brings an older one back from the views, unless it is in memory already.
    pub(super) fn admit(&mut self, mut transaction: Transaction) {
        if transaction.id.0 >= self.first || self.revived.find(spread(transaction.id)).is_some() {
            return;
        }
        let latest = self.by_reference.find(transaction.reference.0).copied();
        match latest {
            // Keep the list in order of age: it goes where its age puts it.
            Some(latest) if latest > transaction.id => self.link_below(latest, &mut transaction),
            older => {
                transaction.previous_by_reference = older;
                self.by_reference.insert(transaction.reference.0, transaction.id);
            }
        }
        self.revive(transaction);
    }

    fn link_below(&mut self, latest: TransactionId, transaction: &mut Transaction) {
        let mut above = latest;
        while let Some(below) = self.find(above).and_then(|found| found.previous_by_reference) {
            if below <= transaction.id || self.find(below).is_none() {
                break;
            }
            above = below;
        }
        if let Some(found) = self.find_mut(above) {
            transaction.previous_by_reference =
                found.previous_by_reference.filter(|below| *below != transaction.id);
            found.previous_by_reference = Some(transaction.id);
        }
    }

    /// Forgets whole chunks, at most `chunks_max`, whose transactions are all older than `idle_since_ms` and than
    /// `folded`. One that was touched since is kept beside them, with everything that belongs to it: as long as a
    /// purchase is in memory, so is all that was done to it. Returns how many are gone.
    pub fn forget_oldest(
        &mut self,
        idle_since_ms: TimeMs,
        folded: TransactionId,
        chunks_max: usize,
    ) -> usize {
        let mut forgotten = 0;
        for _ in 0..chunks_max {
            let last_ms = self.chunks.front().and_then(|chunk| chunk.last()).map(|last| last.at_ms);
            let old = last_ms.is_some_and(|last_ms| last_ms < idle_since_ms);
            // The last chunk still grows.
            if self.chunks.len() < 2 || !old || self.first + CHUNK as u64 > folded.0 {
                break;
            }
            let keeps: Vec<bool> = self
                .chunks
                .front()
                .into_iter()
                .flatten()
                .map(|transaction| !self.is_idle(transaction, idle_since_ms))
                .collect();
            let chunk = self.chunks.pop_front().unwrap_or_default();
            self.first += CHUNK as u64;
            // The youngest first: those that are kept are then found when an older one leaves their list.
            for (transaction, keep) in chunk.into_iter().zip(keeps).rev() {
                if keep {
                    self.revive(transaction);
                } else {
                    self.unlink(&transaction);
                    forgotten += 1;
                }
            }
        }
        forgotten
    }

    /// Looks at some of those that were brought back, or kept, in turn, and forgets the idle ones. Returns how many.
    pub fn forget_revived(&mut self, idle_since_ms: TimeMs, folded: TransactionId) -> usize {
        let mut gone = Vec::new();
        for _ in 0..self.turn.len().min(CHUNK) {
            let Some(id) = self.turn.pop_front() else { break };
            let Some(transaction) = self.revived.find(spread(id)) else { continue };
            if id < folded && self.is_idle(transaction, idle_since_ms) {
                gone.push(id);
            } else {
                self.turn.push_back(id);
            }
        }
        for id in &gone {
            if let Some(transaction) = self.revived.remove(spread(*id)) {
                self.unlink(&transaction);
            }
        }
        gone.len()
    }

    /// Whether nothing has happened to it, nor to the purchase that it belongs to, since then.
    fn is_idle(&self, transaction: &Transaction, since_ms: TimeMs) -> bool {
        let purchase = transaction.target.and_then(|target| self.find(target));
        transaction.touched_ms < since_ms && purchase.is_none_or(|purchase| purchase.touched_ms < since_ms)
    }

    fn revive(&mut self, transaction: Transaction) {
        self.turn.push_back(transaction.id);
        self.revived.insert(spread(transaction.id), Box::new(transaction));
    }

    /// Takes one that is forgotten out of its list: what stands above it is linked to what stands below.
    fn unlink(&mut self, transaction: &Transaction) {
        let below = transaction.previous_by_reference.filter(|id| self.find(*id).is_some());
        let Some(latest) = self.by_reference.find(transaction.reference.0).copied() else { return };
        if latest == transaction.id {
            match below {
                Some(below) => drop(self.by_reference.insert(transaction.reference.0, below)),
                None => drop(self.by_reference.remove(transaction.reference.0)),
            }
            return;
        }
        let mut above = latest;
        while let Some(found) = self.find_mut(above) {
            match found.previous_by_reference {
                Some(next) if next == transaction.id => {
                    found.previous_by_reference = below;
                    return;
                }
                Some(next) => above = next,
                None => return,
            }
        }
    }
}

/// Ids are consecutive; a map wants keys that are spread over all bits.
fn spread(id: TransactionId) -> u64 {
    id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(id: u64, reference: u64, at_ms: TimeMs) -> Transaction {
        Transaction {
            id: TransactionId(id),
            at_ms,
            touched_ms: at_ms,
            kind: Kind::Purchase,
            message: MessageKind::Authorisation,
            response: ResponseCode::Approved,
            reason: Reason::Approved,
            approval: None,
            reference: Hash64(reference),
            identity: Hash64(id),
            content: Hash64(0),
            number: None,
            programme: None,
            account: Some(AccountId(1)),
            target: None,
            stan: Stan::default(),
            transmitted: 0,
            merchant: MerchantId::default(),
            amount: MinorUnits::ZERO,
            currency: Currency::from_number(840).unwrap(),
            ceiling: MinorUnits::ZERO,
            reversed: 0,
            totals: Totals::default(),
            use_returned: false,
            previous_by_reference: None,
            previous_by_number: None,
        }
    }

    fn spread(id: u64) -> u64 {
        super::spread(TransactionId(id))
    }

    fn under(transactions: &Transactions, reference: u64) -> Vec<u64> {
        transactions.under(Hash64(reference)).map(|found| found.id.0).collect()
    }

    /// Three chunks, every tenth transaction under reference 7, one a millisecond.
    fn filled() -> Transactions {
        let mut transactions = Transactions::starting_at(TransactionId(1));
        for id in 1..=3 * CHUNK as u64 {
            let reference = if id % (CHUNK as u64) == 10 { 7 } else { spread(id) };
            transactions.push(transaction(id, reference, id));
        }
        transactions
    }

    #[test]
    fn only_whole_idle_folded_chunks_are_forgotten() {
        let chunk = CHUNK as u64;
        let mut transactions = filled();
        assert_eq!(
            transactions.forget_oldest(chunk, TransactionId(u64::MAX), 9),
            0,
            "the last one is not idle"
        );
        assert_eq!(
            transactions.forget_oldest(u64::MAX, TransactionId(chunk), 9),
            0,
            "the last one is not folded"
        );
        assert_eq!(transactions.forget_oldest(chunk + 1, TransactionId(u64::MAX), 9), CHUNK);
        assert!(transactions.find(TransactionId(chunk)).is_none());
        assert!(transactions.find(TransactionId(chunk + 1)).is_some());
        assert!(transactions.has_forgotten());
        assert_eq!(
            transactions.forget_oldest(u64::MAX, TransactionId(u64::MAX), 9),
            CHUNK,
            "the last chunk grows"
        );
    }

    #[test]
    fn one_that_was_touched_stays_until_it_is_idle_itself() {
        let mut transactions = filled();
        transactions.find_mut(TransactionId(5)).unwrap().touched_ms = 1_000_000;
        let all = TransactionId(u64::MAX);
        assert_eq!(transactions.forget_oldest(500_000, all, 1), CHUNK - 1);
        assert_eq!(under(&transactions, spread(5)), [5]);
        assert_eq!(transactions.forget_revived(500_000, all), 0);
        assert_eq!(transactions.forget_revived(2_000_000, all), 1);
        assert_eq!(under(&transactions, spread(5)), []);
    }

    #[test]
    fn one_that_comes_back_takes_its_place_by_age() {
        let chunk = CHUNK as u64;
        let mut transactions = filled();
        assert_eq!(under(&transactions, 7), [2 * chunk + 10, chunk + 10, 10]);
        transactions.forget_oldest(chunk + 1, TransactionId(u64::MAX), 1);
        assert_eq!(under(&transactions, 7), [2 * chunk + 10, chunk + 10]);
        for _ in 0..2 {
            transactions.admit(transaction(10, 7, 10));
            assert_eq!(under(&transactions, 7), [2 * chunk + 10, chunk + 10, 10]);
        }
        transactions.admit(transaction(8, 7, 8));
        transactions.admit(transaction(9, 7, 9));
        assert_eq!(under(&transactions, 7), [2 * chunk + 10, chunk + 10, 10, 9, 8]);
        // What nothing else stands under comes back as the only one.
        transactions.admit(transaction(3, spread(3), 3));
        assert_eq!(under(&transactions, spread(3)), [3]);
        // What is in memory is newer than what was read.
        transactions.find_mut(TransactionId(3)).unwrap().totals.held = 5;
        transactions.admit(transaction(3, spread(3), 3));
        assert_eq!(transactions.find(TransactionId(3)).unwrap().totals.held, 5);
    }

    /// A list from which the middle goes keeps its end, and what belongs to a purchase stays with it.
    #[test]
    fn a_list_stays_whole_when_something_in_it_is_forgotten() {
        let chunk = CHUNK as u64;
        let mut transactions = filled();
        transactions.find_mut(TransactionId(10)).unwrap().touched_ms = 1_000_000;
        let all = TransactionId(u64::MAX);
        transactions.forget_oldest(500_000, all, 2);
        assert_eq!(under(&transactions, 7), [2 * chunk + 10, 10]);

        let mut transactions = filled();
        transactions.find_mut(TransactionId(10)).unwrap().touched_ms = 1_000_000;
        transactions.find_mut(TransactionId(chunk + 10)).unwrap().target = Some(TransactionId(10));
        transactions.forget_oldest(500_000, all, 2);
        assert_eq!(under(&transactions, 7), [2 * chunk + 10, chunk + 10, 10]);
        assert_eq!(transactions.forget_revived(2_000_000, all), 2);
        assert_eq!(under(&transactions, 7), [2 * chunk + 10]);
    }
}
