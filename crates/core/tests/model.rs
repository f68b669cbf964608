//! Random sequences of commands against a model that is as simple as it can be: lists that are searched from
//! end to end, and sums that are taken anew each time.
#![allow(clippy::unwrap_used)]

mod support;

use mayfly_card::{Channel, MerchantId};
use mayfly_core::{
    AccountId, Answer, Command, Cvc2Check, Event, IssueNumber, MessageKind, Operation, Processing, Request,
    ResponseCode, State,
};
use proptest::prelude::*;
use support::{World, minor, terms};

/// What may be done; small ranges, so that things meet.
#[derive(Clone, Debug)]
enum Step {
    Issue { account: usize, uses: u32 },
    Purchase { number: usize, amount: u64, merchant: usize, financial: bool, wrong_code: bool },
    Repeat { nth: usize },
    Reverse { nth: usize, stays: Option<u64> },
    Complete { nth: usize, amount: u64 },
    Increment { nth: usize, amount: u64 },
    Refund { nth: usize, amount: u64 },
    Fund { account: usize, amount: i64 },
    Wait { minutes: u64 },
    Block { account: usize, blocked: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0usize..3, 1u32..4).prop_map(|(account, uses)| Step::Issue { account, uses }),
        6 => (0usize..8, 0u64..4000, 0usize..2, any::<bool>(), prop::bool::weighted(0.15)).prop_map(
            |(number, amount, merchant, financial, wrong_code)| Step::Purchase {
                number, amount, merchant, financial, wrong_code
            }
        ),
        1 => (0usize..20).prop_map(|nth| Step::Repeat { nth }),
        3 => (0usize..20, prop::option::weighted(0.4, 0u64..3000)).prop_map(|(nth, stays)| Step::Reverse { nth, stays }),
        3 => (0usize..20, 0u64..4000).prop_map(|(nth, amount)| Step::Complete { nth, amount }),
        1 => (0usize..20, 0u64..2000).prop_map(|(nth, amount)| Step::Increment { nth, amount }),
        2 => (0usize..20, 1u64..3000).prop_map(|(nth, amount)| Step::Refund { nth, amount }),
        1 => (0usize..3, -2000i64..5000).prop_map(|(account, amount)| Step::Fund { account, amount }),
        1 => (0u64..9).prop_map(|minutes| Step::Wait { minutes }),
        1 => (0usize..3, any::<bool>()).prop_map(|(account, blocked)| Step::Block { account, blocked }),
    ]
}

/// A number in the model.
#[derive(Clone, Debug)]
struct Plain {
    account: usize,
    uses: u32,
    tries: u32,
    misses: u32,
    checks: u32,
    expires: u64,
    revived: bool,
}

/// A purchase that was approved, in the model.
#[derive(Clone, Debug)]
struct Bought {
    request: Request,
    number: usize,
    at: u64,
    authorised: u64,
    held: u64,
    captured: u64,
    refunded: u64,
    reversed: u64,
}

#[derive(Default)]
struct Model {
    numbers: Vec<Plain>,
    bought: Vec<Bought>,
    funded: [i64; 3],
    blocked: [bool; 3],
}

impl Model {
    fn money(&self, account: usize) -> (i64, i64) {
        let mine = || self.bought.iter().filter(|bought| self.numbers[bought.number].account == account);
        let held: u64 = mine().map(|bought| bought.held).sum();
        let paid: i64 = mine().map(|bought| bought.captured as i64 - bought.refunded as i64).sum();
        (self.funded[account] - paid - held as i64, held as i64)
    }

    fn purchase(&mut self, request: &Request, number: Option<usize>, now: u64) -> ResponseCode {
        let Some(number) = number else { return ResponseCode::Declined };
        let account = self.numbers[number].account;
        let available = self.money(account).0;
        let blocked = self.blocked[account];
        let plain = &mut self.numbers[number];
        if plain.uses == 0 || plain.tries == 0 || plain.misses == 0 || now >= plain.expires {
            return ResponseCode::Declined;
        }
        if request.cvc2 == Cvc2Check::Wrong {
            plain.misses -= 1;
            return ResponseCode::Declined;
        }
        let amount = request.amount.value();
        if amount == 0 {
            if blocked {
                return ResponseCode::NotAllowed;
            }
            if plain.checks == 0 {
                return ResponseCode::TooMany;
            }
            plain.checks -= 1;
            return ResponseCode::Approved;
        }
        if blocked {
            plain.tries -= 1;
            return ResponseCode::NotAllowed;
        }
        if (amount as i64) > available {
            plain.tries -= 1;
            return ResponseCode::Funds;
        }
        plain.uses -= 1;
        let financial = request.message == MessageKind::Financial;
        self.bought.push(Bought {
            request: request.clone(),
            number,
            at: now,
            authorised: amount,
            held: if financial { 0 } else { amount },
            captured: if financial { amount } else { 0 },
            refunded: 0,
            reversed: 0,
        });
        ResponseCode::Approved
    }

    fn reverse(&mut self, nth: usize, stays: u64, now: u64) -> ResponseCode {
        let bought = &mut self.bought[nth];
        let amount = bought.request.amount.value();
        if stays > amount {
            return ResponseCode::InvalidAmount;
        }
        let wanted = (amount - stays).saturating_sub(bought.reversed);
        let financial = bought.request.message == MessageKind::Financial;
        let standing = if financial { bought.captured - bought.refunded } else { bought.held };
        let back = wanted.min(standing);
        if back == 0 {
            return ResponseCode::InvalidTransaction;
        }
        if financial {
            bought.captured -= back;
        } else {
            bought.held -= back;
        }
        bought.authorised -= back;
        bought.reversed += back;
        let nothing = bought.held == 0 && bought.captured == 0;
        let small = amount <= 100 && stays == 0 && nothing && now < bought.at + 600_000;
        let plain = &mut self.numbers[bought.number];
        if small && !plain.revived && plain.tries > 0 && plain.misses > 0 {
            plain.revived = true;
            plain.uses += 1;
        }
        ResponseCode::Approved
    }
}

const MERCHANTS: [&str; 2] = ["M-001", "M-002"];

struct Run {
    world: World,
    accounts: Vec<AccountId>,
    model: Model,
    sent: Vec<(Request, ResponseCode)>,
}

impl Run {
    fn new() -> Self {
        let mut world = World::new(terms());
        let accounts = (0..3).map(|_| world.account(5000)).collect();
        Self { world, accounts, model: Model { funded: [5000; 3], ..Model::default() }, sent: Vec::new() }
    }

    /// Sends a message and holds its answer against the model's.
    fn check(&mut self, request: Request, expected: ResponseCode, what: &Step) {
        let answer = self.world.send(&request);
        assert_eq!(answer.response, expected, "{what:?}: {:?}", answer.reason);
        self.sent.push((request, answer.response));
    }

    fn pick(&self, nth: usize) -> Option<usize> {
        (!self.model.bought.is_empty()).then(|| nth % self.model.bought.len())
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Issue { account, uses } => {
                let index = self.model.numbers.len() as u64 + 1000;
                self.world.issue(IssueNumber { uses, ..World::order(self.accounts[account], index) });
                let expires = self.world.now + 15 * 60_000;
                self.model.numbers.push(Plain {
                    account,
                    uses,
                    tries: 3,
                    misses: 3,
                    checks: 3,
                    expires,
                    revived: false,
                });
            }
            Step::Purchase { number, amount, merchant, financial, wrong_code } => {
                let mut request = self.world.request(number as u64 + 1000, amount);
                request.facts.merchant = MerchantId::parse(MERCHANTS[merchant]).unwrap();
                request.message = if financial { MessageKind::Financial } else { MessageKind::Authorisation };
                request.cvc2 = if wrong_code { Cvc2Check::Wrong } else { Cvc2Check::Right };
                let known = (number < self.model.numbers.len()).then_some(number);
                let expected = self.model.purchase(&request, known, self.world.now);
                self.check(request, expected, step);
            }
            Step::Repeat { nth } => {
                if !self.sent.is_empty() {
                    let (request, response) = self.sent[nth % self.sent.len()].clone();
                    let events = self.world.log.len();
                    let answer = self.world.send(&request);
                    assert_eq!((answer.response, answer.repeat), (response, true));
                    assert_eq!(self.world.log.len(), events, "a repeat changed something");
                }
            }
            Step::Reverse { nth, stays } => {
                if let Some(nth) = self.pick(nth) {
                    let mut request = self.world.reversal(&self.model.bought[nth].request.clone());
                    request.replacement = stays.map(minor);
                    let expected = self.model.reverse(nth, stays.unwrap_or(0), self.world.now);
                    self.check(request, expected, step);
                }
            }
            Step::Complete { nth, amount } => self.complete(nth, amount, step),
            Step::Increment { nth, amount } => self.increment(nth, amount, step),
            Step::Refund { nth, amount } => self.refund(nth, amount, step),
            Step::Fund { account, amount } => {
                let expected = amount >= 0 || self.model.money(account).0 + amount >= 0;
                let answer =
                    self.world.operate(Operation::Fund { account: self.accounts[account], minor: amount });
                assert_eq!(answer == Answer::Done, expected, "{step:?}");
                self.model.funded[account] += if expected { amount } else { 0 };
            }
            Step::Wait { minutes } => {
                self.world.later(minutes * 60_000);
                while self.world.decide(&Command::Sweep { limit: 3 }) != Answer::Swept(0) {
                    let now = self.world.now;
                    self.world.state.swept(now, 3);
                }
                let now = self.world.now;
                self.world.state.swept(now, 3);
            }
            Step::Block { account, blocked } => {
                let channel = Channel::CardNotPresent;
                let block = Operation::BlockChannel { account: self.accounts[account], channel, blocked };
                assert_eq!(self.world.operate(block), Answer::Done);
                self.model.blocked[account] = blocked;
            }
        }
    }

    fn complete(&mut self, nth: usize, amount: u64, step: &Step) {
        let Some(nth) = self.pick(nth) else { return };
        let original = self.model.bought[nth].request.clone();
        let request = self.world.about(&original, MessageKind::FinancialAdvice, amount);
        let bought = &mut self.model.bought[nth];
        let expected = if amount == 0 {
            ResponseCode::InvalidAmount
        } else if bought.captured >= bought.authorised {
            ResponseCode::InvalidTransaction
        } else if amount > bought.authorised - bought.captured {
            ResponseCode::InvalidAmount
        } else {
            bought.captured += amount;
            bought.held -= amount.min(bought.held);
            ResponseCode::Approved
        };
        self.check(request, expected, step);
    }

    fn increment(&mut self, nth: usize, amount: u64, step: &Step) {
        let Some(nth) = self.pick(nth) else { return };
        let original = self.model.bought[nth].request.clone();
        let request = self.world.increment(&original, amount);
        let number = &self.model.numbers[self.model.bought[nth].number];
        let switched_off = number.uses > 0 && (number.tries == 0 || number.misses == 0);
        let account = number.account;
        let (available, blocked) = (self.model.money(account).0, self.model.blocked[account]);
        let bought = &mut self.model.bought[nth];
        let expected = if bought.held == 0 {
            ResponseCode::InvalidTransaction
        } else if amount == 0 {
            ResponseCode::InvalidAmount
        } else if blocked {
            ResponseCode::NotAllowed
        } else if switched_off {
            ResponseCode::Declined
        } else if amount as i64 > available {
            ResponseCode::Funds
        } else {
            bought.authorised += amount;
            bought.held += amount;
            ResponseCode::Approved
        };
        self.check(request, expected, step);
    }

    fn refund(&mut self, nth: usize, amount: u64, step: &Step) {
        let Some(nth) = self.pick(nth) else { return };
        let original = self.model.bought[nth].request.clone();
        let mut request = self.world.about(&original, MessageKind::Financial, amount);
        request.processing = Processing::Refund;
        let bought = &mut self.model.bought[nth];
        let expected = if bought.captured == 0 {
            ResponseCode::InvalidTransaction
        } else if bought.captured - bought.refunded < amount {
            ResponseCode::InvalidAmount
        } else {
            bought.refunded += amount;
            ResponseCode::Approved
        };
        self.check(request, expected, step);
    }

    /// What must hold after every step.
    fn invariants(&self) {
        for (at, account) in self.accounts.iter().enumerate() {
            assert_eq!(self.world.money(*account), self.model.money(at));
        }
    }
}

/// Everything that can be asked of two states is the same.
fn assert_same(one: &State, other: &State) {
    assert_eq!(one.accounts, other.accounts);
    assert_eq!(one.issuer_books, other.issuer_books);
    assert!(one.transactions.iter().eq(other.transactions.iter()));
    let sorted = |state: &State| {
        let mut numbers: Vec<_> = state.numbers.iter().cloned().collect();
        numbers.sort_by_key(|number| number.id);
        numbers
    };
    assert_eq!(sorted(one), sorted(other));
    assert_eq!(one.quarantine.len(), other.quarantine.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Random commands: every answer is the model's, money is where the model has it, and a replay of the events,
    /// written and read again, gives the same state.
    #[test]
    fn random_commands_answer_as_the_model_does(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
            run.invariants();
        }
        let mut replayed = State::new(mayfly_core::PartitionId(0));
        for (at_ms, event) in &run.world.log {
            let mut payload = Vec::new();
            event.write(&mut payload);
            Event::read_all(mayfly_core::EVENTS_VERSION, &payload, |read| {
                assert_eq!(&read, event);
                replayed.apply(&read, *at_ms);
            }).unwrap();
        }
        assert_same(&run.world.state, &replayed);
    }
}
