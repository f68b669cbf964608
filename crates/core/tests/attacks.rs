//! What somebody who means ill might try, one test for each way.
#![allow(clippy::unwrap_used)]

mod support;

use mayfly_card::{Channel, MerchantId};
use mayfly_core::{
    Answer, Controls, FailedControl, IssueNumber, MessageKind, Operation, Presented, Processing, Reason,
    Request, ResponseCode, Terms,
};
use mayfly_keys::NumberIndex;
use support::{World, minor, terms};

const MINUTE: u64 = 60_000;

fn world(balance: i64) -> (World, mayfly_core::AccountId) {
    let mut world = World::new(terms());
    let account = world.account(balance);
    (world, account)
}

fn with_index(mut request: Request, index: u64) -> Request {
    if let Presented::Number { index: presented, .. } = &mut request.number {
        *presented = NumberIndex(index);
    }
    request
}

#[test]
fn an_increment_keeps_the_limits_of_a_used_up_number() {
    let (mut world, account) = world(1_000_000);
    let controls =
        Controls { amount_max: Some(minor(5000)), total_max: Some(minor(5000)), ..Controls::default() };
    world.issue(IssueNumber { controls, ..World::order(account, 1) });
    let purchase = world.request(1, 4000);
    assert_eq!(world.send(&purchase).reason, Reason::Approved);
    let more = world.increment(&purchase, 1001);
    assert_eq!(world.send(&more).reason, Reason::OverAmount);
    let fair = world.increment(&purchase, 1000);
    assert_eq!(world.send(&fair).reason, Reason::Approved);
    let channel = Channel::CardNotPresent;
    world.operate(Operation::BlockChannel { account, channel, blocked: true });
    let blocked = world.increment(&purchase, 1);
    assert_eq!(world.send(&blocked).reason, Reason::ChannelBlocked);
}

#[test]
fn two_purchases_under_one_reference_are_told_apart_by_their_numbers() {
    let (mut world, first) = world(10_000);
    let second = world.account(10_000);
    world.issue(World::order(first, 1));
    world.issue(World::order(second, 2));
    let one = world.request(1, 5000);
    world.send(&one);
    let mut other = world.about(&one, MessageKind::Authorisation, 5000);
    other = with_index(other, 2);
    assert_eq!(world.send(&other).reason, Reason::Approved);
    let completion = world.about(&one, MessageKind::FinancialAdvice, 5000);
    assert_eq!(world.send(&completion).reason, Reason::Approved);
    assert_eq!((world.money(first), world.money(second)), ((5000, 0), (5000, 5000)));
    let mut refund = world.about(&one, MessageKind::Financial, 5000);
    refund.processing = Processing::Refund;
    assert_eq!(world.send(&refund).reason, Reason::Approved);
    assert_eq!((world.money(first), world.money(second)), ((10_000, 0), (5000, 5000)));
    // A number that belongs to neither finds neither.
    let stranger = with_index(world.about(&one, MessageKind::Reversal, 5000), 3);
    assert_eq!(world.send(&stranger).reason, Reason::OriginalNotYours);
}

#[test]
fn what_was_declined_elsewhere_moves_no_money() {
    let (mut world, account) = world(10_000);
    world.issue(World::order(account, 1));
    for processing in [Processing::Purchase, Processing::Refund] {
        let mut told = world.request(1, 700);
        told.message = MessageKind::FinancialAdvice;
        told.processing = processing;
        told.declined_elsewhere = true;
        assert_eq!(world.send(&told).reason, Reason::ToldDeclined);
    }
    assert_eq!(world.money(account), (10_000, 0));
    let purchase = world.request(1, 700);
    assert_eq!(world.send(&purchase).reason, Reason::Approved);
}

#[test]
fn a_completion_is_reversed_once_however_often_it_is_asked() {
    let (mut world, account) = world(10_000);
    world.issue(World::order(account, 1));
    let purchase = world.request(1, 5000);
    world.send(&purchase);
    let one = world.about(&purchase, MessageKind::FinancialAdvice, 2000);
    world.send(&one);
    let two = world.about(&purchase, MessageKind::FinancialAdvice, 2000);
    world.send(&two);
    assert_eq!(world.money(account), (5000, 1000));
    let reversal = world.reversal(&one);
    assert_eq!(world.send(&reversal).reason, Reason::Approved);
    assert_eq!(world.money(account), (7000, 1000));
    let again = world.reversal(&one);
    assert_eq!(world.send(&again).reason, Reason::NothingLeft);
    let mut advice = world.reversal(&one);
    advice.message = MessageKind::ReversalAdvice;
    let answer = world.send(&advice);
    assert_eq!((answer.response, answer.reason), (ResponseCode::Approved, Reason::NothingStood));
    assert_eq!(world.money(account), (7000, 1000));
}

#[test]
fn partial_reversals_say_what_stays_not_what_goes() {
    let (mut world, account) = world(10_000);
    world.issue(World::order(account, 1));
    let mut purchase = world.request(1, 5000);
    purchase.message = MessageKind::Financial;
    world.send(&purchase);
    for stays in [4000, 3000] {
        let mut partial = world.reversal(&purchase);
        partial.replacement = Some(minor(stays));
        assert_eq!(world.send(&partial).reason, Reason::Approved);
    }
    assert_eq!(world.money(account), (7000, 0));
}

#[test]
fn an_advice_of_what_we_approved_changes_nothing() {
    let (mut world, account) = world(10_000);
    world.issue(IssueNumber { uses: 3, ..World::order(account, 1) });
    let purchase = world.request(1, 700);
    world.send(&purchase);
    let advice = world.about(&purchase, MessageKind::AuthorisationAdvice, 700);
    assert_eq!(world.send(&advice).reason, Reason::ToldBefore);
    assert_eq!(world.money(account), (9300, 700));
}

#[test]
fn advices_that_were_reversed_before_they_came_hold_nothing() {
    for message in [MessageKind::AuthorisationAdvice, MessageKind::FinancialAdvice] {
        let (mut world, account) = world(10_000);
        world.issue(World::order(account, 1));
        let mut told = world.request(1, 700);
        told.message = message;
        let reversal = world.reversal(&told);
        assert_eq!(world.send(&reversal).reason, Reason::ReversalFirst);
        assert_eq!(world.send(&told).reason, Reason::ReversedBefore);
        assert_eq!(world.money(account), (10_000, 0));
    }
}

#[test]
fn a_use_comes_back_once_in_a_number_s_life() {
    let (mut world, account) = world(10_000);
    world.issue(World::order(account, 1));
    for reason in [Reason::Approved, Reason::Approved, Reason::NumberUsed] {
        let small = world.request(1, 100);
        assert_eq!(world.send(&small).reason, reason);
        let reversal = world.reversal(&small);
        world.send(&reversal);
    }
    assert_eq!(world.money(account), (10_000, 0));
}

#[test]
fn neither_use_up_nor_cancel_is_undone_by_a_reversal() {
    let mut world = World::new(Terms { failed_control: FailedControl::UseUp, ..terms() });
    let account = world.account(10_000);
    world.issue(IssueNumber { uses: 2, ..World::order(account, 1) });
    let small = world.request(1, 100);
    world.send(&small);
    let too_much = world.request(1, 20_000);
    assert_eq!(world.send(&too_much).reason, Reason::FundsMissing);
    let reversal = world.reversal(&small);
    world.send(&reversal);
    let large = world.request(1, 5000);
    assert_eq!(world.send(&large).response, ResponseCode::Declined);

    let number = world.issue(World::order(account, 2));
    let small = world.request(2, 100);
    world.send(&small);
    let cancel = Operation::CancelNumber { number, index: NumberIndex(2) };
    assert_eq!(world.operate(cancel), Answer::Done);
    let reversal = world.reversal(&small);
    world.send(&reversal);
    let large = world.request(2, 5000);
    assert_eq!(world.send(&large).reason, Reason::NumberCancelled);
    assert_eq!(world.money(account), (10_000, 0));
}

#[test]
fn a_charge_that_proves_nothing_goes_to_suspense_and_counts() {
    let (mut world, account) = world(10_000);
    world.issue(World::order(account, 1));
    for _ in 0..3 {
        let mut charge = world.request(1, 900_000);
        charge.message = MessageKind::FinancialAdvice;
        charge.expiry = None;
        assert_eq!(world.send(&charge).reason, Reason::Suspense);
    }
    assert_eq!(world.money(account), (10_000, 0));
    assert_eq!(world.state.trial_balance().suspense, -2_700_000);
    let purchase = world.request(1, 100);
    assert_eq!(world.send(&purchase).reason, Reason::NumberBlocked);
}

#[test]
fn what_is_in_suspense_is_charged_there_and_taken_back_there() {
    let (mut world, _) = world(10_000);
    let mut advice = world.request(999, 700);
    advice.message = MessageKind::AuthorisationAdvice;
    assert_eq!(world.send(&advice).reason, Reason::Suspense);
    let charge = world.about(&advice, MessageKind::FinancialAdvice, 700);
    assert_eq!(world.send(&charge).reason, Reason::Suspense);
    assert_eq!(world.state.trial_balance().suspense, -700);
    let reversal = world.reversal(&charge);
    assert_eq!(world.send(&reversal).reason, Reason::Approved);
    assert_eq!(world.state.trial_balance().suspense, 0);
    let again = world.reversal(&charge);
    assert_ne!(world.send(&again).reason, Reason::Approved);
}

#[test]
fn a_reversal_that_names_another_stan_still_finds_its_purchase() {
    let (mut world, account) = world(10_000);
    world.issue(World::order(account, 1));
    let purchase = world.request(1, 5000);
    world.send(&purchase);
    let mut reversal = world.reversal(&purchase);
    reversal.original.as_mut().unwrap().message =
        Some((MessageKind::Financial, mayfly_card::Stan::default()));
    assert_eq!(world.send(&reversal).reason, Reason::Approved);
    assert_eq!(world.money(account), (10_000, 0));
    // Of what was declined nothing is left to take back: the reversal has what it wants.
    let declined = world.request(1, 100);
    assert_eq!(world.send(&declined).reason, Reason::NumberUsed);
    let of_declined = world.reversal(&declined);
    assert_eq!(world.send(&of_declined).reason, Reason::NothingStood);
}

#[test]
fn what_was_approved_too_late_is_taken_back_whole() {
    let (mut world, account) = world(10_000);
    world.issue(World::order(account, 1));
    let purchase = world.request(1, 5000);
    let answer = world.send(&purchase);
    // Only an approval that is given now says until when it may be passed on.
    assert!(answer.good_until_ms.is_some());
    assert_eq!(world.send(&purchase).good_until_ms, None);
    let transaction = answer.transaction.unwrap();
    assert_eq!(world.operate(Operation::TakeBack { transaction }), Answer::Done);
    assert_eq!(world.money(account), (10_000, 0));
    assert!(matches!(world.operate(Operation::TakeBack { transaction }), Answer::Refused(_)));
    // Whoever asks again is told what he was told: nothing was approved.
    assert_eq!(world.send(&purchase).reason, Reason::TakenBack);
    let again = world.request(1, 5000);
    assert_eq!(world.send(&again).reason, Reason::NumberUsed);
}

#[test]
fn no_book_can_be_filled_until_it_overflows() {
    let (mut world, account) = world(0);
    world.operate(Operation::SetLimit {
        account,
        limit: mayfly_core::CreditLimit::Credit(mayfly_card::MinorUnits::MAX),
    });
    world.issue(IssueNumber { uses: 1000, ..World::order(account, 1) });
    let mut last = Reason::Approved;
    for _ in 0..1001 {
        let mut charge = world.request(1, 999_999_999_999);
        charge.message = MessageKind::FinancialAdvice;
        last = world.send(&charge).reason;
        world.later(1);
        if last != Reason::Approved {
            break;
        }
    }
    assert!(matches!(last, Reason::BooksFull | Reason::Suspense), "{last:?}");
}

#[test]
fn a_first_merchant_has_a_name() {
    let (mut world, account) = world(10_000);
    let controls = Controls { merchant: mayfly_core::MerchantRule::FirstUse, ..Controls::default() };
    world.issue(IssueNumber { uses: 2, controls, ..World::order(account, 1) });
    let mut nameless = world.request(1, 100);
    nameless.facts.merchant = MerchantId::default();
    assert_eq!(world.send(&nameless).reason, Reason::MerchantWrong);
}

#[test]
fn the_sweep_looks_at_every_entry_once() {
    let (mut world, account) = world(0);
    for index in 0..100 {
        world.issue(World::order(account, index));
    }
    world.later(20 * MINUTE);
    let mut swept = 0;
    loop {
        let looked_at = world.state.numbers.due_count(world.now, 7);
        if looked_at == 0 {
            break;
        }
        let Answer::Swept(count) = world.decide(&mayfly_core::Command::Sweep { limit: looked_at }) else {
            panic!()
        };
        let now = world.now;
        world.state.swept(now, looked_at);
        swept += count;
    }
    assert_eq!((swept, world.state.numbers.len()), (100, 0));
    assert_eq!(world.state.account(account).unwrap().active_numbers, 0);
}
