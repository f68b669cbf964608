//! What issuer hosts have to be told, and in which order it leaves. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mayfly_core::{Hash64, HostAdvice, TimeMs};

/// Something that a host has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedAdvice {
    /// What.
    pub advice: HostAdvice,
    /// When it came to be owed.
    pub at_ms: TimeMs,
}

impl OwedAdvice {
    /// What it belongs to: its own purchase, and that of the message that it is about.
    fn purchases(&self) -> impl Iterator<Item = Hash64> {
        let own = self.advice.trace.reference;
        let about = self.advice.about.map(|about| about.reference).filter(|about| *about != own);
        std::iter::once(own).chain(about)
    }
}

/// What is not settled, by its place in the journal.
///
/// What belongs to one purchase leaves in the order of the journal, each when the one before it is settled: a charge does not
/// overtake what we approved in the host's place, nor a reversal the charge that it takes back. Different purchases don't wait
/// for each other, so one that a host never takes holds up nothing but itself. What may leave gets a ticket; tickets
/// ascend.
#[derive(Debug)]
pub struct Owed<P> {
    known: BTreeMap<P, Entry>,
    by_purchase: HashMap<Hash64, BTreeSet<P>>,
    tickets: BTreeMap<u64, P>,
    last_ticket: u64,
}

#[derive(Debug)]
struct Entry {
    owed: OwedAdvice,
    ticket: Option<u64>,
}

impl<P> Default for Owed<P> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), by_purchase: HashMap::new(), tickets: BTreeMap::new(), last_ticket: 0 }
    }
}

impl<P: Copy + Ord> Owed<P> {
    /// How many are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The last place that is known.
    pub fn last(&self) -> Option<P> {
        self.known.last_key_value().map(|(place, _)| *place)
    }

    /// When the oldest came to be owed.
    pub fn oldest_ms(&self) -> Option<TimeMs> {
        self.known.first_key_value().map(|(_, entry)| entry.owed.at_ms)
    }

    /// Something more is owed. Its place is behind all that are known.
    pub fn add(&mut self, place: P, owed: OwedAdvice) {
        for purchase in owed.purchases() {
            self.by_purchase.entry(purchase).or_default().insert(place);
        }
        self.known.insert(place, Entry { owed, ticket: None });
        self.give_ticket(place);
    }

    /// It is owed no more: what waited for it may leave.
    pub fn settled(&mut self, place: P) {
        let Some(Entry { owed, ticket }) = self.known.remove(&place) else { return };
        if let Some(ticket) = ticket {
            self.tickets.remove(&ticket);
        }
        for purchase in owed.purchases() {
            let Some(places) = self.by_purchase.get_mut(&purchase) else { continue };
            places.remove(&place);
            match places.first().copied() {
                Some(next) => self.give_ticket(next),
                None => drop(self.by_purchase.remove(&purchase)),
            }
        }
    }

    /// Those that may leave, behind `after`, so many at most.
    pub fn tickets(&self, after: Option<u64>, count_max: usize) -> Vec<u64> {
        let from = after.map_or(0, |after| after + 1);
        self.tickets.range(from..).map(|(ticket, _)| *ticket).take(count_max).collect()
    }

    /// What a ticket is for.
    pub fn of(&self, ticket: u64) -> Option<(P, &OwedAdvice)> {
        let place = self.tickets.get(&ticket)?;
        self.known.get(place).map(|entry| (*place, &entry.owed))
    }

    /// If nothing of its purchases stands before it, and it has none yet.
    fn give_ticket(&mut self, place: P) {
        let by_purchase = &self.by_purchase;
        let is_first = |purchase| by_purchase.get(&purchase).and_then(BTreeSet::first) == Some(&place);
        let Some(entry) = self.known.get_mut(&place) else { return };
        if entry.ticket.is_none() && entry.owed.purchases().all(is_first) {
            self.last_ticket += 1;
            entry.ticket = Some(self.last_ticket);
            self.tickets.insert(self.last_ticket, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use mayfly_core::{AccountId, HostTrace, IssuerId, MessageKind, NumberId, NumberRef, Told};
    use mayfly_keys::NumberIndex;

    use super::*;

    fn owed(own: u64, about: Option<u64>) -> OwedAdvice {
        let trace = |reference| HostTrace {
            message: MessageKind::FinancialAdvice,
            reference: Hash64(reference),
            identity: Hash64(1),
            transmitted: 0,
        };
        let advice = HostAdvice {
            told: Told::Charge,
            trace: trace(own),
            about: about.map(trace),
            issuer: IssuerId(1),
            account: AccountId(1),
            number: NumberRef { id: NumberId(1), index: NumberIndex(1) },
            amount: mayfly_card::MinorUnits::ZERO,
            stays: None,
            currency: mayfly_card::Currency::parse_alphabetic("USD").unwrap(),
            approval: None,
            facts: mayfly_core::Facts::default(),
        };
        OwedAdvice { advice, at_ms: 0 }
    }

    fn places(of: &Owed<u64>, after: Option<u64>) -> Vec<u64> {
        of.tickets(after, 100).into_iter().map(|ticket| of.of(ticket).unwrap().0).collect()
    }

    #[test]
    fn one_purchase_in_order_and_others_do_not_wait() {
        let mut table = Owed::default();
        for (place, own, about) in [(1, 7, None), (2, 8, None), (3, 7, None), (4, 9, Some(7)), (5, 9, None)] {
            table.add(place, owed(own, about));
        }
        assert_eq!(places(&table, None), [1, 2]);
        let last = table.tickets(None, 100).last().copied();
        table.settled(1);
        assert_eq!(places(&table, last), [3], "the next of its purchase");
        table.settled(3);
        // The fifth is about the same as the fourth, which is about the first's.
        assert_eq!(places(&table, last), [4]);
        table.settled(4);
        assert_eq!((places(&table, None), table.len(), table.last()), (vec![2, 5], 2, Some(5)));
        assert_eq!(table.tickets(None, 1).len(), 1);
        table.settled(2);
        table.settled(5);
        assert!(table.is_empty() && table.by_purchase.is_empty() && table.tickets.is_empty());
    }
}
