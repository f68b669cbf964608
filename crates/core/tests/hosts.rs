//! Accounts whose money is with their issuer's host: its answer is the answer, and it is told whatever it has to know.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use mayfly_card::{ApprovalCode, MinorUnits};
use mayfly_core::{
    AccountId, Answer, Command, CreditLimit, Event, HostAdvice, HostAnswer, HostTerms, HostTrace, IssuerId,
    Kind, MessageAnswer, MessageKind, Operation, Processing, QuestionId, Reason, Refusal, Request,
    Resolution, ResponseCode, Terms, Told, Whom, Word,
};
use proptest::prelude::*;
use support::{World, minor, terms, usd};

const BANK: IssuerId = IssuerId(1);

fn said(code: &str) -> Word {
    let response = ResponseCode::from_code(code).unwrap();
    Word::Host(HostAnswer { response, approval: ApprovalCode::parse("A1B2C3").ok() })
}

struct Bank {
    world: World,
    account: AccountId,
    numbers: u64,
}

impl Bank {
    fn new() -> Self {
        Self::by(terms())
    }

    fn by(terms: Terms) -> Self {
        let mut world = World::new(terms);
        let open = Operation::OpenAccount { issuer: BANK, currency: usd(), limit: CreditLimit::IssuerHost };
        let Answer::Account(account) = world.operate(open) else { panic!("no account") };
        Self { world, account, numbers: 0 }
    }

    fn standing_in(amount: u64) -> Self {
        let mut bank = Self::new();
        let host = Some(HostTerms { wait_ms: 2000, stand_in_max: minor(amount) });
        assert_eq!(bank.world.operate(Operation::SetHost { issuer: BANK, host }), Answer::Done);
        bank
    }

    fn request(&mut self, amount: u64) -> Request {
        self.numbers += 1;
        let order = World::order(self.account, self.numbers);
        self.world.issue(order);
        self.world.request(self.numbers, amount)
    }

    fn ask(&mut self, request: &Request) -> QuestionId {
        match self.world.decide(&Command::Message(Box::new(request.clone()))) {
            Answer::Waits(question) => question,
            other => panic!("{other:?}"),
        }
    }

    fn say(&mut self, question: QuestionId, word: Word) -> MessageAnswer {
        match self.world.decide(&Command::Resolve(Resolution { question, issuer: BANK, word })) {
            Answer::Resolved { answer, .. } => answer,
            other => panic!("{other:?}"),
        }
    }

    fn buy(&mut self, amount: u64, word: Word) -> (Request, MessageAnswer) {
        let request = self.request(amount);
        let question = self.ask(&request);
        let answer = self.say(question, word);
        (request, answer)
    }

    fn advices(&self) -> Vec<HostAdvice> {
        let advised = self.world.log.iter().filter_map(|(_, event)| match event {
            Event::HostAdvised(advice) => Some((**advice).clone()),
            _ => None,
        });
        advised.collect()
    }

    fn told(&self) -> Vec<Told> {
        self.advices().iter().map(|advice| advice.told).collect()
    }
}

/// A26: exactly what the issuer host said is answered, with its approval code.
#[test]
fn the_hosts_answer_is_the_answer() {
    let mut bank = Bank::new();
    let (request, answer) = bank.buy(2498, said("00"));
    assert_eq!((answer.response, answer.reason), (ResponseCode::Approved, Reason::Approved));
    assert_eq!(answer.approval.unwrap().to_string(), "A1B2C3");
    assert_eq!(bank.world.money(bank.account), (-2498, 2498));
    assert_eq!(bank.world.send(&request).approval, answer.approval, "a repeat hears the same");
    for code in ["05", "51", "55", "1A", "N7"] {
        let (_, answer) = bank.buy(1, said(code));
        assert_eq!((answer.response.code(), answer.approval), (code, None));
        assert_eq!(answer.reason, Reason::IssuerDeclined);
    }
    assert_eq!(bank.world.money(bank.account), (-2498, 2498));
    assert_eq!(bank.told(), []);
}

#[test]
fn its_questions_say_whom_they_are_for() {
    let mut bank = Bank::new();
    let request = bank.request(100);
    let question = bank.ask(&request);
    let asked = bank.world.state.pending.get(question).unwrap();
    assert_eq!((asked.whom, asked.kind), (Whom::Host, Kind::Purchase));
    let trace = asked.trace();
    assert_eq!((trace.message, trace.rrn().as_str().len()), (MessageKind::Authorisation, 12));
    assert!(trace.stan().value() > 0);
}

/// What nobody knows the end of is reversed, however it came about; what never left is not.
#[test]
fn a_second_request_that_may_stand_and_must_not_is_reversed() {
    for (word, response, reason, reversed) in [
        (Word::Late, ResponseCode::IssuerUnavailable, Reason::IssuerSilent, true),
        (Word::NotAsked, ResponseCode::IssuerUnavailable, Reason::IssuerAway, false),
        (Word::Unfinished, ResponseCode::Malfunction, Reason::Unfinished, true),
    ] {
        let mut bank = Bank::new();
        let (request, answer) = bank.buy(2498, word);
        assert_eq!((answer.response, answer.reason), (response, reason));
        let first = HostTrace::of(&request);
        let expected = if reversed { vec![Some(first)] } else { vec![] };
        assert_eq!(bank.advices().iter().map(|advice| advice.about).collect::<Vec<_>>(), expected);
        for advice in bank.advices() {
            assert_eq!((advice.told, advice.amount, advice.stays), (Told::Reversal, minor(2498), None));
            assert_eq!(advice.trace.rrn(), first.rrn());
            assert_ne!(advice.trace.stan(), first.stan());
        }
        assert_eq!(bank.world.money(bank.account), (0, 0));
    }
}

/// The host said yes, but the number was cancelled meanwhile: it must not stand there either.
#[test]
fn a_yes_that_comes_to_nothing_is_reversed() {
    let mut bank = Bank::new();
    let request = bank.request(100);
    let question = bank.ask(&request);
    let number = bank.world.state.pending.get(question).unwrap().number.unwrap();
    let cancel = Operation::CancelNumber { number: number.id, index: number.index };
    assert_eq!(bank.world.operate(cancel), Answer::Done);
    let answer = bank.say(question, said("00"));
    assert_eq!((answer.response, answer.reason), (ResponseCode::Declined, Reason::NumberCancelled));
    assert_eq!(bank.told(), [Told::Reversal]);
}

#[test]
fn we_stand_in_up_to_an_amount() {
    let mut bank = Bank::standing_in(1000);
    let (request, answer) = bank.buy(1000, Word::NotAsked);
    assert_eq!((answer.response, answer.reason), (ResponseCode::Approved, Reason::StoodIn));
    assert_eq!(bank.told(), [Told::StandIn]);
    assert_eq!(bank.advices()[0].trace.message, MessageKind::AuthorisationAdvice);
    // What may have arrived is taken back first.
    let (_, answer) = bank.buy(999, Word::Late);
    assert_eq!(answer.reason, Reason::StoodIn);
    assert_eq!(bank.told()[1..], [Told::Reversal, Told::StandIn]);
    let (_, answer) = bank.buy(1001, Word::Late);
    assert_eq!(answer.reason, Reason::IssuerSilent);
    assert_eq!(bank.world.money(bank.account), (-1999, 1999));
    // Its reversal is about what the host was told, not about what it was never asked.
    let reversal = bank.world.reversal(&request);
    assert_eq!(bank.world.send(&reversal).reason, Reason::Approved);
    let last = bank.advices().pop().unwrap();
    assert_eq!(last.about.unwrap().message, MessageKind::AuthorisationAdvice);
}

/// Many times a little would be much.
#[test]
fn nobody_stands_in_for_more_of_a_purchase() {
    let mut bank = Bank::standing_in(1000);
    let (request, _) = bank.buy(1000, Word::NotAsked);
    let more = bank.world.increment(&request, 10);
    let question = bank.ask(&more);
    assert_eq!(bank.say(question, Word::NotAsked).reason, Reason::IssuerAway);
}

#[test]
fn what_comes_after_a_purchase_is_told() {
    let mut bank = Bank::new();
    let (request, _) = bank.buy(5000, said("00"));
    let mut partial = bank.world.reversal(&request);
    partial.replacement = Some(minor(3000));
    assert_eq!(bank.world.send(&partial).reason, Reason::Approved);
    let completion = bank.world.about(&request, MessageKind::FinancialAdvice, 2500);
    assert_eq!(bank.world.send(&completion).reason, Reason::Approved);
    let refund = Request { processing: Processing::Refund, ..completion.clone() };
    let refund = Request { message: MessageKind::Financial, amount: minor(700), ..refund };
    let fresh = bank.world.about(&request, MessageKind::Financial, 700);
    let refund = Request { identity: fresh.identity, facts: fresh.facts, ..refund };
    assert_eq!(bank.world.send(&refund).reason, Reason::Approved);
    bank.world.later(8 * 24 * 3_600_000);
    let purchase = bank.world.state.transactions.under(request.reference).last().unwrap().id;
    assert_eq!(bank.world.operate(Operation::ReleaseHold { transaction: purchase }), Answer::Done);
    let told: Vec<_> = bank.advices().iter().map(|advice| (advice.told, advice.stays)).collect();
    let expected = [
        (Told::Reversal, Some(minor(3000))),
        (Told::Charge, None),
        (Told::Refund, None),
        (Told::Reversal, Some(minor(2500))),
    ];
    assert_eq!(told, expected);
    let first = HostTrace::of(&request);
    assert!(bank.advices().iter().all(|advice| advice.about == Some(first)));
    assert!(bank.advices().iter().all(|advice| advice.trace.rrn() == first.rrn()));
}

/// Where only one charge comes, the host gives the rest of its hold back with it.
#[test]
fn the_rest_of_a_hold_is_given_back_with_the_only_charge() {
    let mut bank = Bank::by(Terms { single_completion: true, ..terms() });
    let (request, _) = bank.buy(5000, said("00"));
    let completion = bank.world.about(&request, MessageKind::FinancialAdvice, 2000);
    assert_eq!(bank.world.send(&completion).reason, Reason::Approved);
    let told: Vec<_> =
        bank.advices().iter().map(|advice| (advice.told, advice.amount, advice.stays)).collect();
    let expected = [(Told::Charge, minor(2000), None), (Told::Reversal, minor(5000), Some(minor(2000)))];
    assert_eq!(told, expected);
    assert_ne!(bank.advices()[0].trace.stan(), bank.advices()[1].trace.stan());
    assert_eq!(bank.world.money(bank.account), (-2000, 0));
}

#[test]
fn each_part_of_a_purchase_that_is_taken_back_is_told() {
    let mut bank = Bank::new();
    let (request, answer) = bank.buy(5000, said("00"));
    let more = bank.world.increment(&request, 1000);
    // The limits of the number leave it room.
    let question = bank.ask(&more);
    assert_eq!(bank.say(question, said("00")).reason, Reason::Approved);
    let take_back = Operation::TakeBack { transaction: answer.transaction.unwrap() };
    assert_eq!(bank.world.operate(take_back), Answer::Done);
    let told: Vec<_> = bank.advices().iter().map(|advice| (advice.about.unwrap(), advice.amount)).collect();
    assert_eq!(told, [(HostTrace::of(&more), minor(1000)), (HostTrace::of(&request), minor(5000))]);
    let traces: Vec<_> = bank.advices().iter().map(|advice| advice.trace.stan()).collect();
    assert_ne!(traces[0], traces[1]);
    assert_eq!(bank.world.money(bank.account), (0, 0));
}

#[test]
fn its_money_is_not_ours_to_move() {
    let mut bank = Bank::new();
    let account = bank.account;
    let refused = Answer::Refused(Refusal::FundedByHost(account));
    assert_eq!(bank.world.operate(Operation::Fund { account, minor: 5 }), refused);
    let limit = CreditLimit::Prepaid;
    assert_eq!(bank.world.operate(Operation::SetLimit { account, limit }), refused);
    let own = bank.world.account(100);
    let limit = CreditLimit::IssuerHost;
    let refused = Answer::Refused(Refusal::FundedByHost(own));
    assert_eq!(bank.world.operate(Operation::SetLimit { account: own, limit }), refused);
    // Whose own money is here asks nobody.
    bank.world.issue(World::order(own, 99));
    let request = bank.world.request(99, 100);
    assert_eq!(bank.world.send(&request).reason, Reason::Approved);
    assert_eq!(bank.told(), []);
}

/// The host, as far as it has heard: what stands of each purchase.
#[derive(Default)]
struct Host {
    messages: BTreeMap<(String, u32), i64>,
    charged: i64,
    refunded: i64,
}

impl Host {
    fn key(trace: &HostTrace) -> (String, u32) {
        (trace.rrn().as_str().to_owned(), trace.stan().value())
    }

    fn hear(&mut self, advice: &HostAdvice) {
        let minor = advice.amount.signed();
        match advice.told {
            Told::Reversal => {
                let about = Self::key(&advice.about.unwrap());
                let stays = advice.stays.map_or(0, MinorUnits::signed);
                if let Some(standing) = self.messages.get_mut(&about) {
                    *standing = (*standing).min(stays);
                }
            }
            Told::StandIn => drop(self.messages.insert(Self::key(&advice.trace), minor)),
            Told::Charge => self.charged += minor,
            Told::Refund => self.refunded += minor,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Buy { amount: u64, word: usize, approved: bool },
    Reverse { which: usize, stays: u64 },
    Release { which: usize },
    TakeBack { which: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..5000u64, 0..5usize, any::<bool>())
            .prop_map(|(amount, word, approved)| Step::Buy { amount, word, approved }),
        2 => (0..10usize, 0..5000u64).prop_map(|(which, stays)| Step::Reverse { which, stays }),
        1 => (0..10usize).prop_map(|which| Step::Release { which }),
        1 => (0..10usize).prop_map(|which| Step::TakeBack { which }),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    /// A host that hears what it is told has the same standing as our books, to the cent, whatever it answered and whether or
    /// not it was heard.
    #[test]
    fn the_host_and_our_books_agree(steps in steps()) {
        let mut bank = Bank::standing_in(1000);
        let (mut host, mut bought) = (Host::default(), Vec::new());
        for step in steps {
            let heard = bank.advices().len();
            match step {
                Step::Buy { amount, word, approved } => {
                    let words = [said("00"), said("51"), Word::Late, Word::NotAsked, Word::Unfinished];
                    let request = bank.request(amount);
                    let question = bank.ask(&request);
                    // It may have approved whatever it was asked, also if nobody heard of it.
                    if words[word] == said("00") || (approved && matches!(words[word], Word::Late | Word::Unfinished)) {
                        host.messages.insert(Host::key(&HostTrace::of(&request)), amount as i64);
                    }
                    let answer = bank.say(question, words[word]);
                    bought.push((request, answer.transaction.unwrap()));
                }
                Step::Reverse { which, stays } => {
                    let Some((request, _)) = bought.get(which).cloned() else { continue };
                    let mut reversal = bank.world.reversal(&request);
                    reversal.replacement = Some(minor(stays)).filter(|_| stays < request.amount.value());
                    bank.world.send(&reversal);
                }
                Step::Release { which } => {
                    let Some((_, transaction)) = bought.get(which).cloned() else { continue };
                    bank.world.operate(Operation::ReleaseHold { transaction });
                }
                Step::TakeBack { which } => {
                    let Some((_, transaction)) = bought.get(which).cloned() else { continue };
                    bank.world.operate(Operation::TakeBack { transaction });
                }
            }
            bank.advices()[heard..].iter().for_each(|advice| host.hear(advice));
        }
        let standing: i64 = host.messages.values().sum::<i64>();
        prop_assert_eq!(bank.world.money(bank.account), (-standing, standing));
    }
}
