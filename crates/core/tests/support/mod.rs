//! A small world to decide in: one issuer, one programme, accounts, and messages with sensible content.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use mayfly_card::{
    AcquirerId, Country, Currency, Expiry, LastFour, Layout, Mcc, MerchantId, MinorUnits, MonthIndex,
    PosEntryMode, Prefix, Rrn, Stan, TerminalId,
};
use mayfly_core::scheme::dynamic::Proof;
use mayfly_core::{
    AccountId, Answer, Candidate, Command, Controls, CreditLimit, Cvc2Check, Event, Facts, Hash64,
    IssueNumber, MessageAnswer, MessageKind, Name, NumberId, Operation, Original, Presented, Processing,
    ProgrammeId, QuestionId, Request, Resolution, State, Terms, TimeMs, Word, decide,
};
use mayfly_keys::NumberIndex;

pub const USD: u16 = 840;
/// 2026-06-15T12:00:00Z.
pub const NOON: TimeMs = 1_781_524_800_000;
pub const EXPIRY: &str = "1229";

pub struct World {
    pub state: State,
    pub now: TimeMs,
    pub log: Vec<(TimeMs, Event)>,
    stan: u32,
}

pub fn usd() -> Currency {
    Currency::from_number(USD).unwrap()
}

pub fn minor(amount: u64) -> MinorUnits {
    MinorUnits::new(amount).unwrap()
}

pub fn terms() -> Terms {
    Terms::standard(Prefix::parse("456940").unwrap(), Layout::DEFAULT)
}

impl World {
    pub fn new(terms: Terms) -> Self {
        let state = State::new(mayfly_core::PartitionId(0));
        let mut world = Self { state, now: NOON, log: Vec::new(), stan: 0 };
        let issuer = match world.operate(Operation::OpenIssuer { name: Name::parse("Bank").unwrap() }) {
            Answer::Issuer(issuer) => issuer,
            other => panic!("{other:?}"),
        };
        let name = Name::parse("One-time").unwrap();
        world.operate(Operation::OpenProgramme { issuer, name, terms });
        world
    }

    pub fn account(&mut self, balance: i64) -> AccountId {
        let open = Operation::OpenAccount {
            issuer: mayfly_core::IssuerId(1),
            currency: usd(),
            limit: CreditLimit::Prepaid,
        };
        let Answer::Account(account) = self.operate(open) else { panic!("no account") };
        if balance > 0 {
            assert_eq!(self.operate(Operation::Fund { account, minor: balance }), Answer::Done);
        }
        account
    }

    pub fn operate(&mut self, operation: Operation) -> Answer {
        self.decide(&Command::Operate(Box::new(operation)))
    }

    /// Decides and applies; checks what must hold after every step.
    pub fn decide(&mut self, command: &Command) -> Answer {
        let mut events = Vec::new();
        let answer = decide(&self.state, command, self.now, &mut events);
        for event in events {
            self.state.apply(&event, self.now);
            self.log.push((self.now, event));
        }
        assert_eq!(self.state.trial_balance().sum(), 0, "money was made");
        answer
    }

    pub fn order(account: AccountId, index: u64) -> IssueNumber {
        IssueNumber {
            account,
            programme: ProgrammeId(1),
            uses: 1,
            lifetime_ms: None,
            controls: Controls::default(),
            expiry: Expiry::parse_mmyy(EXPIRY).unwrap().month_near(MonthIndex::of_unix_ms(NOON)),
            candidates: vec![Candidate {
                index: NumberIndex(index),
                last_four: LastFour::from_value((index % 10_000) as u16).unwrap(),
            }],
        }
    }

    pub fn issue(&mut self, order: IssueNumber) -> NumberId {
        match self.decide(&Command::Issue(Box::new(order))) {
            Answer::Issued { number, .. } => number,
            other => panic!("{other:?}"),
        }
    }

    /// An authorisation request for a number, with a reference of its own.
    pub fn request(&mut self, index: u64, amount: u64) -> Request {
        self.stan += 1;
        let stan = Stan::from_value(self.stan).unwrap();
        let reference = Hash64(0xabcd_0000_0000 + u64::from(self.stan) * 0x1_0001_0001);
        Request {
            message: MessageKind::Authorisation,
            processing: Processing::Purchase,
            reference,
            identity: Hash64(u64::from(self.stan)),
            content: Hash64(amount ^ index),
            original: None,
            number: Presented::Number {
                index: NumberIndex(index),
                programme: Some(ProgrammeId(1)),
                last_four: LastFour::from_value(1).unwrap(),
            },
            expiry: Some(Expiry::parse_mmyy(EXPIRY).unwrap()),
            cvc2: Cvc2Check::Absent,
            proof: Proof::NoKey,
            amount: minor(amount),
            replacement: None,
            currency: usd(),
            declined_elsewhere: false,
            repeat: false,
            facts: Facts {
                acquirer: AcquirerId::parse("123456").unwrap(),
                stan,
                rrn: Rrn::parse(&format!("{:012}", self.stan)).unwrap(),
                terminal: TerminalId::parse("T1").unwrap(),
                merchant: MerchantId::parse("M-001").unwrap(),
                mcc: Mcc::parse("5411").ok(),
                country: Country::parse("840").ok(),
                entry_mode: PosEntryMode::parse("812").unwrap(),
                ..Facts::default()
            },
            paged: None,
            partition: mayfly_core::PartitionId::FIRST,
        }
    }

    /// A message about an earlier one: same reference, a STAN of its own.
    pub fn about(&mut self, earlier: &Request, message: MessageKind, amount: u64) -> Request {
        let Presented::Number { index, .. } = earlier.number else { panic!("no number") };
        let mut request = self.request(index.0, amount);
        request.message = message;
        request.reference = earlier.reference;
        request.facts.rrn = earlier.facts.rrn;
        request.facts.merchant = earlier.facts.merchant;
        request
    }

    pub fn increment(&mut self, earlier: &Request, amount: u64) -> Request {
        let mut request = self.about(earlier, MessageKind::Authorisation, amount);
        request.original = Some(Original { message: None, reference: earlier.reference });
        request
    }

    pub fn reversal(&mut self, earlier: &Request) -> Request {
        let mut request = self.about(earlier, MessageKind::Reversal, earlier.amount.value());
        request.original = Some(Original {
            message: Some((earlier.message, earlier.facts.stan)),
            reference: earlier.reference,
        });
        request
    }

    pub fn send(&mut self, request: &Request) -> MessageAnswer {
        let mut request = request.clone();
        loop {
            match self.decide(&Command::Message(Box::new(request.clone()))) {
                Answer::Message(answer) => return answer,
                Answer::Waits(question) => return self.say_yes(question),
                // Nothing is ever forgotten here: what memory has is all there is.
                Answer::Page(mayfly_core::PageRequest::Purchases { .. }) => {
                    let all = self.state.transactions.iter();
                    let mine = |t: &&mayfly_core::state::Transaction| {
                        t.is_purchase()
                            && t.merchant == request.facts.merchant
                            && self.was_made_with(t.id, &request)
                    };
                    request.paged = Some(all.filter(mine).map(|t| t.id).collect());
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The issuer is asked, and says yes at once.
    fn say_yes(&mut self, question: QuestionId) -> MessageAnswer {
        let issuer = mayfly_core::IssuerId(1);
        match self.decide(&Command::Resolve(Resolution { question, issuer, word: Word::Approve })) {
            Answer::Resolved { answer, .. } => answer,
            other => panic!("{other:?}"),
        }
    }

    fn was_made_with(&self, id: mayfly_core::TransactionId, request: &Request) -> bool {
        let Presented::Number { index, .. } = request.number else { return false };
        self.log.iter().any(|(_, event)| match event {
            Event::Transacted(event) => event.id == id && event.number.is_some_and(|n| n.index == index),
            _ => false,
        })
    }

    pub fn later(&mut self, ms: TimeMs) {
        self.now += ms;
    }

    /// The balance and what is held of it, in minor units.
    pub fn money(&self, account: AccountId) -> (i64, i64) {
        let account = self.state.account(account).unwrap();
        (account.balance, account.held)
    }
}
