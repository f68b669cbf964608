//! Purchases about which the issuer is asked before funds are touched.
#![allow(clippy::unwrap_used)]

mod support;

use mayfly_core::state::PENDING_MAX;
use mayfly_core::{
    AccountId, Answer, Command, DecisionHook, Event, FailedControl, Hash64, IssuerId, MessageAnswer,
    MessageKind, NumberRef, Operation, QuestionId, Reason, Refusal, Request, Resolution, ResponseCode, Terms,
    WhenLate, Word,
};
use mayfly_keys::NumberIndex;
use proptest::prelude::*;
use support::{World, terms};

const BANK: IssuerId = IssuerId(1);

fn asking(when_late: WhenLate) -> (World, AccountId) {
    asking_with(terms(), when_late)
}

fn asking_with(terms: Terms, when_late: WhenLate) -> (World, AccountId) {
    let mut world = World::new(terms);
    let account = world.account(10_000);
    let hook = Some(DecisionHook { wait_ms: 2000, when_late });
    assert_eq!(world.operate(Operation::SetHook { issuer: BANK, hook }), Answer::Done);
    (world, account)
}

/// Sends a message about which somebody is asked.
fn ask(world: &mut World, request: &Request) -> QuestionId {
    match world.decide(&Command::Message(Box::new(request.clone()))) {
        Answer::Waits(question) => question,
        other => panic!("{other:?}"),
    }
}

fn say(world: &mut World, question: QuestionId, word: Word) -> MessageAnswer {
    match resolve(world, question, word) {
        Answer::Resolved { question: resolved, answer } => {
            assert_eq!(resolved, question);
            answer
        }
        other => panic!("{other:?}"),
    }
}

fn resolve(world: &mut World, question: QuestionId, word: Word) -> Answer {
    world.decide(&Command::Resolve(Resolution { question, issuer: BANK, word }))
}

#[test]
fn a_yes_is_what_would_have_been_answered_at_once() {
    let (mut world, account) = asking(WhenLate::Decline);
    world.issue(World::order(account, 1));
    let request = world.request(1, 2498);
    let question = ask(&mut world, &request);
    // Nothing is touched before the word is there.
    assert_eq!(world.money(account), (10_000, 0));
    let answer = say(&mut world, question, Word::Approve);
    assert_eq!(
        (answer.response, answer.reason, answer.repeat),
        (ResponseCode::Approved, Reason::Approved, false)
    );
    assert_eq!(world.money(account), (7502, 2498));
    assert!(world.state.pending.is_empty());
    // A repeat is answered the same, and nobody is asked again.
    let repeat = world.send(&request);
    assert_eq!((repeat.approval, repeat.repeat), (answer.approval, true));
    assert_eq!(world.money(account), (7502, 2498));
}

#[test]
fn what_is_declined_anyway_is_not_asked() {
    let (mut world, account) = asking(WhenLate::Approve);
    world.issue(World::order(account, 1));
    let too_much = world.request(1, 10_001);
    assert_eq!(world.send(&too_much).reason, Reason::FundsMissing);
    let unknown = world.request(2, 1);
    assert_eq!(world.send(&unknown).reason, Reason::UnknownNumber);
    // A check touches no funds.
    let check = world.request(1, 0);
    assert_eq!(world.send(&check).reason, Reason::Approved);
    assert!(world.state.pending.is_empty());
}

#[test]
fn a_number_that_waits_is_nobody_elses() {
    let (mut world, account) = asking(WhenLate::Decline);
    world.issue(World::order(account, 1));
    let (first, second) = (world.request(1, 100), world.request(1, 100));
    let question = ask(&mut world, &first);
    assert_eq!(world.send(&second).reason, Reason::NumberUsed);
    assert_eq!(say(&mut world, question, Word::Approve).reason, Reason::Approved);
    let third = world.request(1, 100);
    assert_eq!(world.send(&third).reason, Reason::NumberUsed);

    // Of one with two uses, two may wait.
    world.issue(mayfly_core::IssueNumber { uses: 2, ..World::order(account, 2) });
    let [first, second, third] = [(); 3].map(|()| world.request(2, 100));
    let (one, two) = (ask(&mut world, &first), ask(&mut world, &second));
    assert_eq!(world.send(&third).reason, Reason::NumberUsed);
    assert_eq!(say(&mut world, two, Word::Approve).reason, Reason::Approved);
    assert_eq!(say(&mut world, one, Word::Approve).reason, Reason::Approved);
    assert_eq!(world.money(account), (9700, 300));
}

#[test]
fn a_repeat_joins_and_another_content_does_not() {
    let (mut world, account) = asking(WhenLate::Decline);
    world.issue(World::order(account, 1));
    let request = world.request(1, 100);
    let question = ask(&mut world, &request);
    assert_eq!(ask(&mut world, &request), question);
    let other = Request { content: Hash64(99), ..request.clone() };
    assert_eq!(world.send(&other).reason, Reason::OtherContent);
    assert_eq!(world.state.pending.len(), 1);
}

#[test]
fn a_no_is_a_failed_control() {
    let (mut world, account) = asking(WhenLate::Decline);
    world.issue(World::order(account, 1));
    for _ in 0..3 {
        let request = world.request(1, 100);
        let question = ask(&mut world, &request);
        let answer = say(&mut world, question, Word::Decline);
        assert_eq!((answer.response, answer.reason), (ResponseCode::Declined, Reason::HookDeclined));
    }
    let fourth = world.request(1, 100);
    assert_eq!(world.send(&fourth).reason, Reason::NumberBlocked);
    assert_eq!(world.money(account), (10_000, 0));

    let terms = Terms { failed_control: FailedControl::UseUp, ..terms() };
    let (mut world, account) = asking_with(terms, WhenLate::Decline);
    world.issue(World::order(account, 1));
    let (request, again) = (world.request(1, 100), world.request(1, 100));
    let question = ask(&mut world, &request);
    say(&mut world, question, Word::Decline);
    assert_eq!(world.send(&again).reason, Reason::NumberUsed);
}

#[test]
fn no_word_in_time_is_what_the_issuer_wants_it_to_be() {
    for (when_late, reason, response, left) in [
        (WhenLate::Decline, Reason::HookLate, ResponseCode::IssuerUnavailable, 10_000),
        (WhenLate::Approve, Reason::StoodIn, ResponseCode::Approved, 9_900),
    ] {
        let (mut world, account) = asking(when_late);
        world.issue(World::order(account, 1));
        let request = world.request(1, 100);
        let question = ask(&mut world, &request);
        world.later(1999);
        assert_eq!(world.state.pending.overdue(world.now).count(), 0);
        world.later(1);
        assert_eq!(world.state.pending.overdue(world.now).count(), 1);
        let answer = say(&mut world, question, Word::Late);
        assert_eq!((answer.response, answer.reason), (response, reason));
        assert_eq!(world.money(account).0, left);
        // The word that comes now changes nothing, and is written down.
        assert_eq!(resolve(&mut world, question, Word::Approve), Answer::Done);
        assert!(
            matches!(world.log.last(), Some((_, Event::AnsweredLate(late))) if late.word == Word::Approve)
        );
        assert_eq!(world.money(account).0, left);
    }
}

#[test]
fn what_was_not_finished_is_declined_and_leaves_the_number_as_it_was() {
    let (mut world, account) = asking(WhenLate::Approve);
    world.issue(World::order(account, 1));
    let request = world.request(1, 100);
    let question = ask(&mut world, &request);
    let answer = say(&mut world, question, Word::Unfinished);
    assert_eq!((answer.response, answer.reason), (ResponseCode::Malfunction, Reason::Unfinished));
    for _ in 0..4 {
        let again = world.request(1, 100);
        let question = ask(&mut world, &again);
        say(&mut world, question, Word::Unfinished);
    }
    let again = world.request(1, 100);
    let question = ask(&mut world, &again);
    assert_eq!(say(&mut world, question, Word::Approve).reason, Reason::Approved);
}

/// A yes is to what was asked, and everything else counts as it is by then.
#[test]
fn what_happens_meanwhile_counts() {
    let (mut world, account) = asking(WhenLate::Approve);
    for index in 1..=5 {
        world.issue(World::order(account, index));
    }
    let [reversed, cancelled, poor, expired, switched_off] = [1, 2, 3, 4, 5].map(|index| {
        let request = world.request(index, 6000);
        let question = ask(&mut world, &request);
        (request, question)
    });
    let reversal = world.reversal(&reversed.0);
    assert_eq!(world.send(&reversal).reason, Reason::ReversalFirst);
    assert_eq!(say(&mut world, reversed.1, Word::Approve).reason, Reason::ReversedBefore);

    let number = world.state.numbers.find(NumberIndex(2)).unwrap().reference();
    let NumberRef { id: number, index } = number;
    world.operate(Operation::CancelNumber { number, index });
    assert_eq!(say(&mut world, cancelled.1, Word::Approve).reason, Reason::NumberCancelled);

    world.operate(Operation::Fund { account, minor: -5000 });
    assert_eq!(say(&mut world, poor.1, Word::Approve).reason, Reason::FundsMissing);

    let channel = switched_off.0.facts.entry_mode.channel();
    world.operate(Operation::BlockChannel { account, channel, blocked: true });
    assert_eq!(say(&mut world, switched_off.1, Word::Late).reason, Reason::ChannelBlocked);

    // A53: at the number's end nothing passes any more, even if it came in time.
    let end = world.state.numbers.find(NumberIndex(4)).unwrap().expires_ms;
    world.now = end;
    assert_eq!(say(&mut world, expired.1, Word::Approve).reason, Reason::NumberExpired);
    assert_eq!(world.money(account), (5000, 0));
}

#[test]
fn more_for_a_purchase_is_asked_for_too() {
    let (mut world, account) = asking(WhenLate::Decline);
    world.issue(World::order(account, 1));
    let request = world.request(1, 1000);
    let question = ask(&mut world, &request);
    say(&mut world, question, Word::Approve);
    let (yes, no) = (world.increment(&request, 500), world.increment(&request, 500));
    let (first, second) = (ask(&mut world, &yes), ask(&mut world, &no));
    assert_eq!(say(&mut world, first, Word::Approve).reason, Reason::Approved);
    assert_eq!(say(&mut world, second, Word::Decline).reason, Reason::HookDeclined);
    assert_eq!(world.money(account), (8500, 1500));
}

#[test]
fn an_issuer_can_stop_asking() {
    let (mut world, account) = asking(WhenLate::Decline);
    world.issue(World::order(account, 1));
    assert_eq!(world.operate(Operation::SetHook { issuer: BANK, hook: None }), Answer::Done);
    let request = world.request(1, 100);
    assert_eq!(world.send(&request).reason, Reason::Approved);
    for wait_ms in [99, 20_001] {
        let hook = Some(DecisionHook { wait_ms, when_late: WhenLate::Decline });
        let refused = world.operate(Operation::SetHook { issuer: BANK, hook });
        assert!(matches!(refused, Answer::Refused(Refusal::Limit(_))), "{refused:?}");
    }
    let nobody = Operation::SetHook { issuer: IssuerId(9), hook: None };
    assert_eq!(world.operate(nobody), Answer::Refused(Refusal::NoIssuer(IssuerId(9))));
}

#[test]
fn nobody_answers_what_was_never_asked() {
    let (mut world, account) = asking(WhenLate::Decline);
    world.issue(World::order(account, 1));
    let request = world.request(1, 100);
    let question = ask(&mut world, &request);
    let events = world.log.len();
    let other = Resolution { question, issuer: IssuerId(9), word: Word::Approve };
    assert_eq!(world.decide(&Command::Resolve(other)), Answer::Refused(Refusal::NoQuestion(question)));
    let never = QuestionId(question.0 + 1);
    assert_eq!(resolve(&mut world, never, Word::Approve), Answer::Refused(Refusal::NoQuestion(never)));
    assert_eq!(world.log.len(), events);
    assert_eq!(say(&mut world, question, Word::Approve).reason, Reason::Approved);
}

#[test]
fn only_so_many_wait() {
    let (mut world, account) = asking(WhenLate::Decline);
    world.issue(mayfly_core::IssueNumber { uses: 1000, ..World::order(account, 1) });
    let mut request = world.request(1, 1);
    for at in 0..PENDING_MAX {
        // Each number has so many uses; the bound is on all that wait.
        if at % 1000 == 0 {
            let index = 10 + at as u64;
            world.operate(Operation::Fund { account, minor: 1 });
            world.issue(mayfly_core::IssueNumber { uses: 1000, ..World::order(account, index) });
            request = world.request(index, 1);
        }
        request.identity = Hash64(1_000_000 + at as u64);
        request.reference = Hash64(2_000_000 + at as u64);
        ask(&mut world, &request);
    }
    request = world.request(1, 1);
    assert_eq!(world.send(&request).reason, Reason::Overloaded);
}

#[derive(Clone, Debug)]
enum Step {
    Issue { uses: u32 },
    Buy { number: u64, amount: u64, financial: bool },
    Repeat { nth: usize },
    Reverse { nth: usize },
    Complete { nth: usize, amount: u64 },
    Increment { nth: usize, amount: u64 },
    Refund { nth: usize, amount: u64 },
    Wait { minutes: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1u32..3).prop_map(|uses| Step::Issue { uses }),
        6 => (1u64..6, 0u64..3000, any::<bool>())
            .prop_map(|(number, amount, financial)| Step::Buy { number, amount, financial }),
        1 => (0usize..20).prop_map(|nth| Step::Repeat { nth }),
        2 => (0usize..20).prop_map(|nth| Step::Reverse { nth }),
        2 => (0usize..20, 0u64..3000).prop_map(|(nth, amount)| Step::Complete { nth, amount }),
        2 => (0usize..20, 0u64..2000).prop_map(|(nth, amount)| Step::Increment { nth, amount }),
        1 => (0usize..20, 1u64..2000).prop_map(|(nth, amount)| Step::Refund { nth, amount }),
        1 => (0u64..9).prop_map(|minutes| Step::Wait { minutes }),
    ]
}

/// The answers to a sequence of messages; each question is answered with yes at once.
fn answers(world: &mut World, account: AccountId, steps: &[Step]) -> Vec<(ResponseCode, Reason, bool)> {
    let (mut sent, mut given, mut issued): (Vec<Request>, _, _) = (Vec::new(), Vec::new(), 0);
    for step in steps {
        let nth = |nth: usize| (!sent.is_empty()).then(|| sent[nth % sent.len()].clone());
        let request = match *step {
            Step::Issue { uses } => {
                issued += 1;
                world.issue(mayfly_core::IssueNumber { uses, ..World::order(account, issued) });
                None
            }
            Step::Buy { number, amount, financial } => {
                let mut request = world.request(number, amount);
                if financial {
                    request.message = MessageKind::Financial;
                }
                Some(request)
            }
            Step::Repeat { nth: at } => nth(at),
            Step::Reverse { nth: at } => nth(at).map(|earlier| world.reversal(&earlier)),
            Step::Complete { nth: at, amount } => {
                nth(at).map(|earlier| world.about(&earlier, MessageKind::FinancialAdvice, amount))
            }
            Step::Increment { nth: at, amount } => nth(at).map(|earlier| world.increment(&earlier, amount)),
            Step::Refund { nth: at, amount } => nth(at).map(|earlier| {
                let mut refund = world.about(&earlier, MessageKind::Financial, amount);
                refund.processing = mayfly_core::Processing::Refund;
                refund
            }),
            Step::Wait { minutes } => {
                world.later(minutes * 60_000);
                None
            }
        };
        let Some(request) = request else { continue };
        let answer = world.send(&request);
        given.push((answer.response, answer.reason, answer.repeat));
        sent.push(request);
    }
    given
}

proptest! {
    /// Asking somebody who always says yes changes nothing but that he was asked.
    #[test]
    fn always_yes_is_as_if_nobody_was_asked(steps in prop::collection::vec(step(), 1..60)) {
        let (mut asked, first) = asking(WhenLate::Decline);
        let mut unasked = World::new(terms());
        let second = unasked.account(10_000);
        prop_assert_eq!(answers(&mut asked, first, &steps), answers(&mut unasked, second, &steps));
        prop_assert!(asked.state.pending.is_empty());
        prop_assert_eq!(asked.money(first), unasked.money(second));
        prop_assert_eq!(asked.state.issuer_books, unasked.state.issuer_books);
        for number in unasked.state.numbers.iter() {
            prop_assert_eq!(asked.state.numbers.find(number.index), Some(number));
        }
        for transaction in unasked.state.transactions.iter() {
            prop_assert_eq!(asked.state.transactions.find(transaction.id), Some(transaction));
        }
    }
}
