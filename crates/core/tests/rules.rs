//! The rules of the money path, one test for each.
#![allow(clippy::unwrap_used)]

mod support;

use mayfly_card::{Channel, Country, Expiry, Mcc, MerchantId, PosEntryMode};
use mayfly_core::{
    Answer, Command, Controls, CreditLimit, Cvc2Check, FailedControl, Hash64, MccSet, MerchantRule,
    MessageKind, Once, OnceKey, Operation, Outcome, Presented, Processing, Reason, Refusal, ResponseCode,
    Terms, Universal,
};
use mayfly_keys::NumberIndex;
use support::{NOON, World, minor, terms, usd};

const MINUTE: u64 = 60_000;

fn world() -> (World, mayfly_core::AccountId) {
    let mut world = World::new(terms());
    let account = world.account(10_000);
    (world, account)
}

#[test]
fn a9_a_number_works_once_and_an_unknown_one_never() {
    let (mut world, account) = world();
    world.issue(World::order(account, 77));
    let first = world.request(77, 2498);
    assert_eq!(world.send(&first).response, ResponseCode::Approved);
    let second = world.request(77, 2498);
    assert_eq!(world.send(&second).reason, Reason::NumberUsed);
    let unknown = world.request(78, 2498);
    assert_eq!(world.send(&unknown).reason, Reason::UnknownNumber);
    assert_eq!(world.money(account), (7502, 2498));
}

#[test]
fn every_failed_proof_looks_alike_and_three_block_the_number() {
    let (mut world, account) = world();
    world.issue(World::order(account, 1));
    let mut wrong_date = world.request(1, 100);
    wrong_date.expiry = Some(Expiry::parse_mmyy("1129").unwrap());
    let mut no_date = world.request(1, 100);
    no_date.expiry = None;
    let mut wrong_code = world.request(1, 100);
    wrong_code.cvc2 = Cvc2Check::Wrong;
    for (request, reason) in
        [(wrong_date, Reason::DateWrong), (no_date, Reason::DateMissing), (wrong_code, Reason::Cvc2Wrong)]
    {
        let answer = world.send(&request);
        assert_eq!((answer.response, answer.reason), (ResponseCode::Declined, reason));
    }
    let right = world.request(1, 100);
    assert_eq!(world.send(&right).reason, Reason::NumberBlocked);
}

#[test]
fn a_date_in_the_past_is_54_whatever_the_number() {
    let (mut world, _) = world();
    let mut request = world.request(999, 100);
    request.expiry = Some(Expiry::parse_mmyy("0526").unwrap());
    assert_eq!(world.send(&request).response, ResponseCode::Expired);
}

#[test]
fn numbers_that_are_none_and_prefixes_that_are_nobodys_are_14() {
    let (mut world, _) = world();
    let mut invalid = world.request(1, 100);
    invalid.number = Presented::Invalid;
    assert_eq!(world.send(&invalid).reason, Reason::NotANumber);
    let mut foreign = world.request(1, 100);
    if let Presented::Number { programme, .. } = &mut foreign.number {
        *programme = None;
    }
    let answer = world.send(&foreign);
    assert_eq!((answer.response, answer.reason), (ResponseCode::InvalidNumber, Reason::UnknownPrefix));
}

/// A50: the universal number alone is declined.
#[test]
fn a50_the_universal_number_alone_is_declined() {
    let universal =
        Universal { index: NumberIndex(4242), last_four: mayfly_card::LastFour::from_value(4242).unwrap() };
    let mut world = World::new(Terms { universal: Some(universal), ..terms() });
    let account = world.account(10_000);
    let request = world.request(4242, 100);
    assert_eq!(world.send(&request).reason, Reason::UniversalAlone);
    // And it is never issued.
    let order = Command::Issue(Box::new(World::order(account, 4242)));
    assert_eq!(world.decide(&order), Answer::Refused(Refusal::CandidatesTaken));
}

/// A53: at the end of its lifetime a number is declined, one millisecond before it is not.
#[test]
fn a53_a_number_is_good_until_just_before_its_lifetime_is_over() {
    let (mut world, account) = world();
    world.issue(World::order(account, 1));
    world.issue(World::order(account, 2));
    world.now = NOON + 15 * MINUTE - 1;
    let in_time = world.request(1, 100);
    assert_eq!(world.send(&in_time).reason, Reason::Approved);
    world.later(1);
    let late = world.request(2, 100);
    assert_eq!(world.send(&late).reason, Reason::NumberExpired);
    world.later(MINUTE);
    assert_eq!(world.decide(&Command::Sweep { limit: 100 }), Answer::Swept(1));
    let later = world.request(2, 100);
    assert_eq!(world.send(&later).reason, Reason::NumberExpired);
}

/// A16: limits in value, merchant, currency, category, country and channel.
#[test]
fn a16_outside_each_limit_it_is_declined_inside_approved() {
    let controls = Controls {
        amount_max: Some(minor(5000)),
        currency: Some(usd()),
        merchant: MerchantRule::Fixed(MerchantId::parse("M-001").unwrap()),
        channel: Some(Channel::CardNotPresent),
        lists: Some(Box::new((
            MccSet { allowed: vec![Mcc::parse("5411").unwrap()], refused: vec![] },
            vec![Country::parse("840").unwrap()],
        ))),
        ..Controls::default()
    };
    type Change = fn(&mut mayfly_core::Request);
    let outside: [(Change, Reason); 6] = [
        (|r| r.amount = minor(5001), Reason::OverAmount),
        (|r| r.facts.merchant = MerchantId::parse("M-002").unwrap(), Reason::MerchantWrong),
        (|r| r.currency = mayfly_card::Currency::from_number(978).unwrap(), Reason::CurrencyWrong),
        (|r| r.facts.mcc = Mcc::parse("7995").ok(), Reason::MccNotAllowed),
        (|r| r.facts.country = Country::parse("276").ok(), Reason::CountryNotAllowed),
        (|r| r.facts.entry_mode = PosEntryMode::parse("051").unwrap(), Reason::ChannelNotAllowed),
    ];
    for (index, (change, reason)) in outside.into_iter().enumerate() {
        let (mut world, account) = world();
        let index = index as u64 + 10;
        world.issue(mayfly_core::IssueNumber { controls: controls.clone(), ..World::order(account, index) });
        let mut request = world.request(index, 5000);
        change(&mut request);
        assert_eq!(world.send(&request).reason, reason);
        let inside = world.request(index, 5000);
        assert_eq!(world.send(&inside).reason, Reason::Approved);
    }
}

#[test]
fn a_total_binds_all_uses_together() {
    let (mut world, account) = world();
    let controls = Controls { total_max: Some(minor(5000)), ..Controls::default() };
    world.issue(mayfly_core::IssueNumber { uses: 3, controls, ..World::order(account, 1) });
    let first = world.request(1, 3000);
    assert_eq!(world.send(&first).reason, Reason::Approved);
    let second = world.request(1, 2001);
    assert_eq!(world.send(&second).reason, Reason::OverTotal);
    let third = world.request(1, 2000);
    assert_eq!(world.send(&third).reason, Reason::Approved);
}

#[test]
fn the_first_merchant_keeps_the_number() {
    let (mut world, account) = world();
    let controls = Controls { merchant: MerchantRule::FirstUse, ..Controls::default() };
    world.issue(mayfly_core::IssueNumber { uses: 3, controls, ..World::order(account, 1) });
    let first = world.request(1, 100);
    assert_eq!(world.send(&first).reason, Reason::Approved);
    let mut other = world.request(1, 100);
    other.facts.merchant = MerchantId::parse("M-002").unwrap();
    assert_eq!(world.send(&other).reason, Reason::MerchantWrong);
    let again = world.request(1, 100);
    assert_eq!(world.send(&again).reason, Reason::Approved);
}

/// A20: over the limit leaves two more tries, or none where the programme says so.
#[test]
fn a20_a_failed_control_leaves_two_more_tries_or_none() {
    let (mut world, account) = world();
    world.issue(World::order(account, 1));
    for _ in 0..3 {
        let too_much = world.request(1, 10_001);
        assert_eq!(world.send(&too_much).reason, Reason::FundsMissing);
    }
    let fair = world.request(1, 100);
    assert_eq!(world.send(&fair).reason, Reason::NumberBlocked);

    let mut strict = World::new(Terms { failed_control: FailedControl::UseUp, ..terms() });
    let account = strict.account(10_000);
    strict.issue(World::order(account, 1));
    let too_much = strict.request(1, 10_001);
    assert_eq!(strict.send(&too_much).response, ResponseCode::Funds);
    let fair = strict.request(1, 100);
    assert_eq!(strict.send(&fair).reason, Reason::NumberUsed);
}

#[test]
fn a_blocked_channel_is_57_and_opens_again() {
    let (mut world, account) = world();
    let channel = Channel::CardNotPresent;
    world.issue(World::order(account, 1));
    world.operate(Operation::BlockChannel { account, channel, blocked: true });
    let request = world.request(1, 100);
    assert_eq!(world.send(&request).response, ResponseCode::NotAllowed);
    world.operate(Operation::BlockChannel { account, channel, blocked: false });
    let request = world.request(1, 100);
    assert_eq!(world.send(&request).reason, Reason::Approved);
}

#[test]
fn checks_never_consume_and_are_three_at_most() {
    let (mut world, account) = world();
    world.issue(World::order(account, 1));
    for _ in 0..3 {
        let check = world.request(1, 0);
        let answer = world.send(&check);
        assert_eq!((answer.reason, answer.approval), (Reason::Approved, None));
    }
    let fourth = world.request(1, 0);
    assert_eq!(world.send(&fourth).response, ResponseCode::TooMany);
    let purchase = world.request(1, 100);
    assert_eq!(world.send(&purchase).reason, Reason::Approved);
}

#[test]
fn a_repeat_gets_the_same_answer_and_changes_nothing() {
    let (mut world, account) = world();
    world.issue(World::order(account, 1));
    let request = world.request(1, 100);
    let first = world.send(&request);
    let events = world.log.len();
    let repeat = world.send(&request);
    assert_eq!(
        (repeat.response, repeat.approval, repeat.transaction),
        (first.response, first.approval, first.transaction)
    );
    assert!(repeat.repeat);
    let mut other = request.clone();
    other.content = mayfly_core::Hash64(5);
    assert_eq!(world.send(&other).response, ResponseCode::Duplicate);
    assert_eq!(world.log.len(), events);
}

#[test]
fn reversals_give_funds_back_and_not_the_use() {
    let (mut world, account) = world();
    world.issue(World::order(account, 1));
    let request = world.request(1, 5000);
    world.send(&request);
    let mut partial = world.reversal(&request);
    partial.replacement = Some(minor(3000));
    assert_eq!(world.send(&partial).reason, Reason::Approved);
    assert_eq!(world.money(account), (7000, 3000));
    let full = world.reversal(&request);
    assert_eq!(world.send(&full).reason, Reason::Approved);
    assert_eq!(world.money(account), (10_000, 0));
    let more = world.reversal(&request);
    assert_eq!(world.send(&more).reason, Reason::NothingLeft);
    let again = world.request(1, 5000);
    assert_eq!(world.send(&again).reason, Reason::NumberUsed);
}

#[test]
fn a_small_purchase_that_is_reversed_soon_gives_its_use_back_once() {
    let (mut world, account) = world();
    world.issue(World::order(account, 1));
    let small = world.request(1, 100);
    world.send(&small);
    world.later(9 * MINUTE);
    let reversal = world.reversal(&small);
    assert_eq!(world.send(&reversal).reason, Reason::Approved);
    let again = world.request(1, 100);
    assert_eq!(world.send(&again).reason, Reason::Approved);
    // The second one comes too late.
    world.later(10 * MINUTE);
    let late = world.reversal(&again);
    assert_eq!(world.send(&late).reason, Reason::Approved);
    let third = world.request(1, 100);
    assert_eq!(world.send(&third).response, ResponseCode::Declined);
    assert_eq!(world.money(account), (10_000, 0));
}

#[test]
fn a_reversal_that_comes_first_wins() {
    let (mut world, account) = world();
    world.issue(World::order(account, 1));
    let request = world.request(1, 5000);
    let reversal = world.reversal(&request);
    let answer = world.send(&reversal);
    assert_eq!((answer.response, answer.reason), (ResponseCode::Approved, Reason::ReversalFirst));
    assert_eq!(world.send(&request).reason, Reason::ReversedBefore);
    assert_eq!(world.money(account), (10_000, 0));
}

#[test]
fn completions_come_to_what_was_authorised_and_not_more() {
    let (mut world, account) = world();
    world.issue(World::order(account, 1));
    let request = world.request(1, 5000);
    world.send(&request);
    for (amount, reason) in [
        (2000, Reason::Approved),
        (3001, Reason::MoreThanLeft),
        (3000, Reason::Approved),
        (1, Reason::NothingLeft),
    ] {
        let completion = world.about(&request, MessageKind::FinancialAdvice, amount);
        assert_eq!(world.send(&completion).reason, reason, "amount {amount}");
    }
    assert_eq!(world.money(account), (5000, 0));
}

#[test]
fn the_programme_sets_tolerance_and_whether_one_completion_is_all() {
    let mut world = World::new(Terms { tolerance_bp: 1000, single_completion: true, ..terms() });
    let account = world.account(10_000);
    world.issue(World::order(account, 1));
    world.issue(World::order(account, 2));
    let (tip, part) = (world.request(1, 1000), world.request(2, 1000));
    world.send(&tip);
    world.send(&part);
    let with_tip = world.about(&tip, MessageKind::FinancialAdvice, 1100);
    assert_eq!(world.send(&with_tip).reason, Reason::Approved);
    let half = world.about(&part, MessageKind::FinancialAdvice, 400);
    assert_eq!(world.send(&half).reason, Reason::Approved);
    assert_eq!(world.money(account), (10_000 - 1100 - 400, 0));
}

#[test]
fn increments_add_up_and_keep_the_limits() {
    let (mut world, account) = world();
    let controls = Controls { amount_max: Some(minor(6000)), ..Controls::default() };
    world.issue(mayfly_core::IssueNumber { uses: 2, controls, ..World::order(account, 1) });
    let request = world.request(1, 4000);
    world.send(&request);
    let more = world.increment(&request, 2000);
    assert_eq!(world.send(&more).reason, Reason::Approved);
    let too_much = world.increment(&request, 1);
    assert_eq!(world.send(&too_much).reason, Reason::OverAmount);
    assert_eq!(world.money(account), (4000, 6000));
    let completion = world.about(&request, MessageKind::FinancialAdvice, 6000);
    assert_eq!(world.send(&completion).reason, Reason::Approved);
    // Another merchant can't add to it.
    let mut other = world.increment(&request, 100);
    other.facts.merchant = MerchantId::parse("M-002").unwrap();
    assert_eq!(world.send(&other).reason, Reason::OriginalNotYours);
}

#[test]
fn a_financial_request_is_captured_at_once_and_its_reversal_gives_it_back() {
    let (mut world, account) = world();
    world.issue(World::order(account, 1));
    let mut request = world.request(1, 2500);
    request.message = MessageKind::Financial;
    assert_eq!(world.send(&request).reason, Reason::Approved);
    assert_eq!(world.money(account), (7500, 0));
    let reversal = world.reversal(&request);
    assert_eq!(world.send(&reversal).reason, Reason::Approved);
    assert_eq!(world.money(account), (10_000, 0));
}

#[test]
fn refunds_go_to_the_purchase_and_never_beyond_what_was_captured() {
    let (mut world, account) = world();
    world.issue(World::order(account, 1));
    let mut request = world.request(1, 2500);
    request.message = MessageKind::Financial;
    world.send(&request);
    // By reference.
    let mut refund = world.about(&request, MessageKind::Financial, 1000);
    refund.processing = Processing::Refund;
    assert_eq!(world.send(&refund).reason, Reason::Approved);
    // By number and merchant: the number is long used up.
    let mut second = world.request(1, 1500);
    second.message = MessageKind::Financial;
    second.processing = Processing::Refund;
    assert_eq!(world.send(&second).reason, Reason::Approved);
    assert_eq!(world.money(account), (10_000, 0));
    let mut third = world.request(1, 1);
    third.message = MessageKind::Financial;
    third.processing = Processing::Refund;
    assert_eq!(world.send(&third).reason, Reason::MoreThanCaptured);
    // As an advice it has happened: suspense has it.
    third.message = MessageKind::FinancialAdvice;
    third.identity = mayfly_core::Hash64(12_345);
    assert_eq!(world.send(&third).reason, Reason::Suspense);
    assert_eq!(world.state.trial_balance().suspense, 1);
}

#[test]
fn advices_and_force_posts_are_taken_as_told() {
    let (mut world, account) = world();
    world.issue(World::order(account, 1));
    let mut advice = world.request(1, 20_000);
    advice.message = MessageKind::AuthorisationAdvice;
    // More than the account has: it was approved elsewhere.
    assert_eq!(world.send(&advice).reason, Reason::Approved);
    assert_eq!(world.money(account), (-10_000, 20_000));
    let again = world.request(1, 100);
    assert_eq!(world.send(&again).reason, Reason::NumberUsed);
    let mut told = world.request(1, 50);
    told.message = MessageKind::AuthorisationAdvice;
    told.declined_elsewhere = true;
    assert_eq!(world.send(&told).reason, Reason::ToldDeclined);
    // A charge for a number that nobody knows any more.
    let mut post = world.request(555, 700);
    post.message = MessageKind::FinancialAdvice;
    assert_eq!(world.send(&post).reason, Reason::Suspense);
    assert_eq!(world.state.trial_balance().suspense, -700);
}

#[test]
fn cancelled_numbers_and_other_currencies_are_refused() {
    let (mut world, account) = world();
    let number = world.issue(World::order(account, 1));
    let cancel = Operation::CancelNumber { number, index: NumberIndex(1) };
    assert_eq!(world.operate(cancel), Answer::Done);
    let request = world.request(1, 100);
    assert_eq!(world.send(&request).reason, Reason::NumberCancelled);
    world.issue(World::order(account, 2));
    let mut euro = world.request(2, 100);
    euro.currency = mayfly_card::Currency::from_number(978).unwrap();
    assert_eq!(world.send(&euro).reason, Reason::CurrencyNotAccounts);
}

#[test]
fn a_number_is_not_drawn_again_before_its_quarantine_is_over() {
    let (mut world, account) = world();
    world.issue(World::order(account, 1));
    let again = Command::Issue(Box::new(World::order(account, 1)));
    assert_eq!(world.decide(&again), Answer::Refused(Refusal::CandidatesTaken));
    let request = world.request(1, 5000);
    world.send(&request);
    assert_eq!(world.decide(&again), Answer::Refused(Refusal::CandidatesTaken));
    // Used on 15 June 2026: 13 whole months later it is July 2027's end.
    world.now = NOON + 411 * 24 * 60 * MINUTE;
    assert_eq!(world.decide(&again), Answer::Refused(Refusal::CandidatesTaken));
    world.now = NOON + 412 * 24 * 60 * MINUTE;
    assert!(matches!(world.decide(&again), Answer::Issued { .. }));
}

#[test]
fn credit_may_be_owed_up_to_its_limit() {
    let (mut world, _) = world();
    let account = world.account(0);
    world.operate(Operation::SetLimit { account, limit: CreditLimit::Credit(minor(500)) });
    world.issue(World::order(account, 1));
    let too_much = world.request(1, 501);
    assert_eq!(world.send(&too_much).reason, Reason::FundsMissing);
    let fair = world.request(1, 500);
    assert_eq!(world.send(&fair).reason, Reason::Approved);
    assert_eq!(world.money(account), (-500, 500));
}

#[test]
fn what_is_sent_again_with_its_key_is_done_once_for_a_day() {
    let (mut world, account) = world();
    let with = |key, content, command| {
        let once = OnceKey { key: Hash64(key), content: Hash64(content) };
        Command::Once(Box::new(Once { once, note: vec![9], command, recalled: None }))
    };
    let fund = || Command::Operate(Box::new(Operation::Fund { account, minor: 100 }));
    assert_eq!(world.decide(&with(1, 5, fund())), Answer::Done);
    let again = world.decide(&with(1, 5, fund()));
    assert_eq!(again, Answer::Repeated { outcome: Outcome::Done, note: vec![9] });
    assert_eq!(world.decide(&with(1, 6, fund())), Answer::Refused(Refusal::KeyReused));
    assert_eq!(world.money(account), (10_100, 0));
    // A number: the same one, whatever was drawn meanwhile.
    let issue = |index| Command::Issue(Box::new(World::order(account, index)));
    let Answer::Issued { number, candidate, expires_ms } = world.decide(&with(2, 5, issue(77))) else {
        panic!("not issued")
    };
    let outcome = Outcome::Number { number, candidate: candidate as u8, expires_ms };
    assert_eq!(world.decide(&with(2, 5, issue(78))), Answer::Repeated { outcome, note: vec![9] });
    // What was refused is decided anew.
    let too_much = || Command::Operate(Box::new(Operation::Fund { account, minor: -20_000 }));
    assert_eq!(world.decide(&with(3, 5, too_much())), Answer::Refused(Refusal::Funds));
    world.decide(&Command::Operate(Box::new(Operation::Fund { account, minor: 20_000 })));
    assert_eq!(world.decide(&with(3, 5, too_much())), Answer::Done);
    // What memory had no room for is looked up first, and nothing is done before that.
    world.later(11 * MINUTE);
    let before = world.state.kept.find(Hash64(1), world.now).cloned();
    assert!(before.is_some());
    world.state.kept.forget_beyond(world.now, 0);
    assert_eq!(world.decide(&with(1, 5, fund())), Answer::Recall(Hash64(1)));
    let recalled = |recalled| match with(1, 5, fund()) {
        Command::Once(once) => Command::Once(Box::new(Once { recalled: Some(recalled), ..*once })),
        other => other,
    };
    let again = Answer::Repeated { outcome: Outcome::Done, note: vec![9] };
    assert_eq!(world.decide(&recalled(before.clone())), again);
    assert_eq!(world.money(account).0, 10_100);
    // A day later the key is free, whatever was found.
    world.later(24 * 60 * MINUTE);
    assert_eq!(world.decide(&recalled(before)), Answer::Done);
    assert_eq!(world.money(account), (10_200, 0));
    // A message has an identity of its own, and keys don't nest.
    let nested = with(8, 5, with(9, 5, fund()));
    assert_eq!(world.decide(&nested), Answer::Refused(Refusal::NoKeyHere));
}

#[test]
fn what_is_closed_gets_nothing_new_and_what_was_bought_goes_on() {
    let (mut world, account) = world();
    for index in 1..=3 {
        world.issue(World::order(account, index));
    }
    let bought = world.request(1, 1000);
    assert_eq!(world.send(&bought).reason, Reason::Approved);
    let close = |closed| Operation::CloseAccount { account, closed };
    assert_eq!(world.operate(close(true)), Answer::Done);
    for amount in [0, 100] {
        let request = world.request(2, amount);
        assert_eq!(world.send(&request).reason, Reason::AccountClosed);
    }
    let more = world.increment(&bought, 100);
    assert_eq!(world.send(&more).reason, Reason::AccountClosed);
    let issue = |index| Command::Issue(Box::new(World::order(account, index)));
    assert_eq!(world.decide(&issue(9)), Answer::Refused(Refusal::AccountClosed(account)));
    let complete = world.about(&bought, MessageKind::FinancialAdvice, 1000);
    assert_eq!(world.send(&complete).reason, Reason::Approved);
    assert_eq!(world.operate(close(false)), Answer::Done);
    let programme = mayfly_core::ProgrammeId(1);
    let close = |closed| Operation::CloseProgramme { programme, closed };
    assert_eq!(world.operate(close(true)), Answer::Done);
    assert_eq!(world.decide(&issue(9)), Answer::Refused(Refusal::ProgrammeClosed(programme)));
    let request = world.request(2, 100);
    assert_eq!(world.send(&request).reason, Reason::Approved);
    assert_eq!(world.operate(close(false)), Answer::Done);
    world.issue(World::order(account, 9));
}
