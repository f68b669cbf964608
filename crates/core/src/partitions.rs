//! All partitions that one gateway decides about.

use std::num::NonZeroU16;

use crate::state::{Account, Register, State, Transaction};
use crate::{
    AccountId, Answer, Command, Event, Hash64, OnceKey, Operation, PartitionId, Presented, Refusal, Request,
    TimeMs, decide, serial,
};

/// The partitions of an installation, each with its state. Every decision is made in one of them, and changes that one.
#[derive(Clone, Debug)]
pub struct Partitions {
    first: State,
    others: Vec<State>,
}

impl Partitions {
    /// So many, in which nothing has happened yet.
    pub fn new(count: NonZeroU16) -> Self {
        let mut all = PartitionId::all(count).map(|partition| State::sharing(partition, count));
        let first = all.next().unwrap_or_default();
        Self { first, others: all.collect() }
    }

    /// The only one.
    pub fn of_one(state: State) -> Self {
        Self { first: state, others: Vec::new() }
    }

    /// How many there are.
    pub fn count(&self) -> NonZeroU16 {
        // The bound on the count of partitions is far below.
        NonZeroU16::MIN.saturating_add(self.others.len() as u16)
    }

    /// One of them.
    pub fn get(&self, partition: PartitionId) -> Option<&State> {
        match usize::from(partition.0).checked_sub(1) {
            None => Some(&self.first),
            Some(at) => self.others.get(at),
        }
    }

    /// One of them, to look up what changes no decision, or to forget it.
    pub fn get_mut(&mut self, partition: PartitionId) -> Option<&mut State> {
        match usize::from(partition.0).checked_sub(1) {
            None => Some(&mut self.first),
            Some(at) => self.others.get_mut(at),
        }
    }

    /// The first, which every installation has.
    pub fn first(&self) -> &State {
        &self.first
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &State> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// All of them, in their order, to forget what changes no decision.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut State> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }

    /// Issuers and programmes.
    pub fn register(&self) -> &Register {
        &self.first.register
    }

    /// An account.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.get(id.partition())?.account(id)
    }

    /// The accounts by id, from `from` on.
    pub fn accounts_from(&self, from: AccountId) -> impl Iterator<Item = (AccountId, &Account)> {
        self.iter().skip(from.partition().0.into()).flat_map(move |state| {
            let first = if state.partition == from.partition() { serial(from.0).max(1) } else { 1 };
            let skip = usize::try_from(first - 1).unwrap_or(usize::MAX);
            let ids = (first..).map(|serial| AccountId(state.partition.id(serial)));
            ids.zip(state.accounts.get(skip..).unwrap_or_default())
        })
    }

    /// The transactions under a reference, the latest of each partition first.
    pub fn under(&self, reference: Hash64) -> impl Iterator<Item = &Transaction> {
        self.iter().flat_map(move |state| state.transactions.under(reference))
    }

    /// The time of the last record of any.
    pub fn now_ms(&self) -> TimeMs {
        self.iter().map(|state| state.now_ms).max().unwrap_or_default()
    }

    /// Where a command is decided. It is the same for the same command with the same key, however often it comes.
    pub fn route(&self, command: &Command, now: TimeMs) -> PartitionId {
        let partition = match command {
            Command::Message(request) => self.route_message(request, now),
            Command::Claim(claim) => claim.home,
            Command::Issue(order) => order.account.partition(),
            Command::Operate(operation) => self.route_operation(operation, None),
            Command::Once(once) => match &once.command {
                Command::Operate(operation) => self.route_operation(operation, Some(once.once)),
                command => self.route(command, now),
            },
            Command::Resolve(resolution) => resolution.question.partition(),
            Command::OpenEtsn { open, .. } => open.card.account.partition(),
            Command::RefuseRequest { card, .. } => card.account.partition(),
            Command::Advise(advice) => advice.account.partition(),
            Command::Sweep { .. } => PartitionId::FIRST,
        };
        // What no partition has is not found in any.
        if partition.0 < self.count().get() { partition } else { PartitionId::FIRST }
    }

    /// To the partition of its number's hash, or on to where the account is if others drew the number.
    fn route_message(&self, request: &Request, now: TimeMs) -> PartitionId {
        let Presented::Number { index, .. } = request.number else { return request.partition };
        let owner = self.get(request.partition).and_then(|home| home.owner(index, now));
        owner.map_or(request.partition, AccountId::partition)
    }

    fn route_operation(&self, operation: &Operation, once: Option<OnceKey>) -> PartitionId {
        match operation {
            Operation::OpenIssuer { .. }
            | Operation::OpenProgramme { .. }
            | Operation::SetHook { .. }
            | Operation::SetHost { .. }
            | Operation::CloseProgramme { .. } => PartitionId::FIRST,
            // By its key, so that its repeat comes to the same.
            Operation::OpenAccount { .. } => match once {
                Some(once) => PartitionId::of_hash(once.key.0, self.count()),
                None => self.emptiest(),
            },
            Operation::SetLimit { account, .. }
            | Operation::Fund { account, .. }
            | Operation::BlockChannel { account, .. }
            | Operation::CloseAccount { account, .. } => account.partition(),
            Operation::CancelNumber { number, .. } => number.partition(),
            Operation::UnlockCard { card } => card.account.partition(),
            Operation::TakeBack { transaction } | Operation::ReleaseHold { transaction } => {
                transaction.partition()
            }
        }
    }

    /// The first of those with the fewest accounts.
    fn emptiest(&self) -> PartitionId {
        let fewest = self.iter().min_by_key(|state| state.accounts.len());
        fewest.map_or(PartitionId::FIRST, |state| state.partition)
    }

    /// Decides a command in the partition to which it [is routed](Self::route). See [`decide()`].
    pub fn decide(
        &self,
        partition: PartitionId,
        command: &Command,
        now: TimeMs,
        events: &mut Vec<Event>,
    ) -> Answer {
        let state = self.get(partition).unwrap_or(&self.first);
        if let Command::Once(once) = command
            && self.iter().any(|other| {
                other.partition != state.partition && other.kept.find(once.once.key, now).is_some()
            })
        {
            // The same command would have come to the same partition.
            return Answer::Refused(Refusal::KeyReused);
        }
        decide(state, command, now, events)
    }

    /// Changes a partition by what has happened in it at `at_ms`. Issuers and programmes are known in all of them at once.
    pub fn apply(&mut self, partition: PartitionId, event: &Event, at_ms: TimeMs) {
        if let Some(state) = self.get_mut(partition) {
            state.apply(event, at_ms);
        }
        let in_register = matches!(
            event,
            Event::IssuerOpened(_)
                | Event::ProgrammeOpened(_)
                | Event::HookSet { .. }
                | Event::HostSet { .. }
                | Event::ProgrammeClosed { .. }
        );
        if in_register {
            self.show_register();
        }
    }

    /// Lets all partitions know the issuers and programmes of the first, after they were loaded.
    pub fn show_register(&mut self) {
        for other in &mut self.others {
            other.show_register(&self.first.register);
        }
    }
}

#[cfg(test)]
mod tests {
    use mayfly_card::Currency;

    use super::*;
    use crate::{ClaimNumber, CreditLimit, IssuerId, Name, Once};

    const NOW_MS: TimeMs = 1_790_000_000_000;

    fn three() -> Partitions {
        Partitions::new(NonZeroU16::new(3).unwrap())
    }

    fn carry_out(partitions: &mut Partitions, command: &Command) -> Answer {
        let (partition, mut events) = (partitions.route(command, NOW_MS), Vec::new());
        let answer = partitions.decide(partition, command, NOW_MS, &mut events);
        for event in &events {
            partitions.apply(partition, event, NOW_MS);
        }
        answer
    }

    fn open_account() -> Operation {
        let currency = Currency::from_number(840).unwrap();
        Operation::OpenAccount { issuer: IssuerId(1), currency, limit: CreditLimit::Prepaid }
    }

    fn with_key(key: u64, content: u64, operation: Operation) -> Command {
        let once = OnceKey { key: Hash64(key), content: Hash64(content) };
        let command = Command::Operate(Box::new(operation));
        Command::Once(Box::new(Once { once, note: Vec::new(), command, recalled: None }))
    }

    fn opened() -> Partitions {
        let mut partitions = three();
        let name = Name::parse("Bank").unwrap();
        let command = Command::Operate(Box::new(Operation::OpenIssuer { name }));
        assert_eq!(carry_out(&mut partitions, &command), Answer::Issuer(IssuerId(1)));
        partitions
    }

    #[test]
    fn what_is_opened_in_the_first_is_known_in_all_and_accounts_spread() {
        let mut partitions = opened();
        assert!(partitions.iter().all(|state| state.issuer(IssuerId(1)).is_some()));
        for _ in 0..6 {
            let command = Command::Operate(Box::new(open_account()));
            let Answer::Account(id) = carry_out(&mut partitions, &command) else { panic!("refused") };
            assert!(partitions.account(id).is_some());
        }
        assert!(partitions.iter().all(|state| state.accounts.len() == 2));
        assert!(partitions.account(AccountId(PartitionId(9).id(1))).is_none());
        let all: Vec<_> = partitions.accounts_from(AccountId(0)).map(|(id, _)| id).collect();
        assert_eq!(all.len(), 6);
        let rest: Vec<_> = partitions.accounts_from(all[3]).map(|(id, _)| id).collect();
        assert_eq!(rest, all[3..]);
    }

    #[test]
    fn a_number_that_somebody_else_drew_is_one_accounts_and_routed_to_it() {
        let mut partitions = opened();
        let open = Operation::OpenProgramme {
            issuer: IssuerId(1),
            name: Name::parse("Standard").unwrap(),
            terms: crate::Terms::standard(
                mayfly_card::Prefix::parse("456940").unwrap(),
                mayfly_card::Layout::DEFAULT,
            ),
        };
        carry_out(&mut partitions, &Command::Operate(Box::new(open)));
        let index = mayfly_keys::NumberIndex(77);
        let claim = |account| {
            let (home, programme) = (PartitionId(2), crate::ProgrammeId(1));
            Command::Claim(Box::new(ClaimNumber { index, home, account, programme }))
        };
        let (mine, theirs) = (AccountId(PartitionId(1).id(1)), AccountId(1));
        assert_eq!(carry_out(&mut partitions, &claim(mine)), Answer::Done);
        let mut events = Vec::new();
        let again = partitions.decide(PartitionId(2), &claim(mine), NOW_MS, &mut events);
        assert_eq!((again, events.len()), (Answer::Done, 0));
        assert_eq!(carry_out(&mut partitions, &claim(theirs)), Answer::Refused(Refusal::NumberTaken));
        let home = partitions.get(PartitionId(2)).unwrap();
        assert!(home.is_taken(index, NOW_MS), "it can't be drawn");
        assert_eq!(home.owner(index, NOW_MS), Some(mine));
        // When its longest life and its quarantine are over, it is anybody's.
        let years_ms = 4 * 366 * 86_400_000;
        assert_eq!(home.owner(index, NOW_MS + years_ms), None);
    }

    #[test]
    fn a_key_is_good_for_one_command_wherever_it_would_be_decided() {
        let mut partitions = opened();
        let Answer::Account(account) = carry_out(&mut partitions, &with_key(4, 1, open_account())) else {
            panic!("refused")
        };
        assert_eq!(account.partition(), PartitionId(1));
        let repeated = carry_out(&mut partitions, &with_key(4, 1, open_account()));
        assert!(matches!(repeated, Answer::Repeated { .. }), "{repeated:?}");
        let other = AccountId(PartitionId(2).id(1));
        let reused = with_key(4, 2, Operation::CloseAccount { account: other, closed: true });
        assert_eq!(carry_out(&mut partitions, &reused), Answer::Refused(Refusal::KeyReused));
    }
}
