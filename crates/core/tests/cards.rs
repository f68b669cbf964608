//! The check site's cards: which message an ETSN pays for, what a wrong one counts, and when a card is locked. The MACs
//! themselves are other tests' matter: here a message comes with what was found of them.
#![allow(clippy::unwrap_used)]

mod support;

use mayfly_card::{Expiry, MerchantId, MonthIndex};
use mayfly_core::scheme::dynamic::{DynamicTerms, MISSES_KEPT_MS, Proof};
use mayfly_core::{
    AccountId, Answer, CardRef, Command, EtsnOpened, Event, MessageAnswer, MessageKind, NumberRef, Operation,
    Reason, Refusal, Request, ResponseCode, Scheme, Terms, TimeMs,
};
use mayfly_dynamic::{AppVersion, Etsn, Mode, Months, ReferenceData, RequestRefusal, Tsn};
use mayfly_keys::NumberIndex;
use proptest::prelude::*;
use support::{World, minor, terms, usd};

const CARD: u64 = 7;
const MINUTE_MS: TimeMs = 60_000;
const LIFETIME_MS: TimeMs = 15 * MINUTE_MS;

fn check_site(change: impl FnOnce(&mut DynamicTerms)) -> Terms {
    let mut dynamic = DynamicTerms::standard();
    change(&mut dynamic);
    let years_ms = 3660 * 24 * 3_600_000;
    Terms { scheme: Scheme::Dynamic(Box::new(dynamic)), lifetime_max_ms: years_ms, ..terms() }
}

struct Site {
    world: World,
    account: AccountId,
    card: CardRef,
    last: Etsn,
    tsn: u64,
}

impl Site {
    fn new() -> Self {
        Self::by(check_site(|_| ()))
    }

    fn by(terms: Terms) -> Self {
        let mut world = World::new(terms);
        let account = world.account(100_000);
        let mut order = World::order(account, CARD);
        order.lifetime_ms = Some(3 * 365 * 24 * 3_600_000);
        let id = world.issue(order);
        let card = CardRef { number: NumberRef { id, index: NumberIndex(CARD) }, account };
        Self { world, account, card, last: Etsn(0), tsn: 0 }
    }

    fn wanted(&mut self, mode: Mode) -> EtsnOpened {
        self.tsn = self.tsn.max(self.last.0) + 1;
        let date = MonthIndex::of_unix_ms(self.world.now).plus(1).unwrap();
        EtsnOpened {
            card: self.card,
            tsn: Tsn(self.tsn),
            etsn: Etsn(self.last.0.max(self.tsn) + 1),
            mode,
            version: AppVersion(1),
            reference: ReferenceData::new(date, Months::new(96).unwrap()).unwrap(),
            expires_ms: self.world.now + LIFETIME_MS,
            cap: None,
            merchant: None,
        }
    }

    fn ask(&mut self, wanted: EtsnOpened) -> Answer {
        let last = self.last;
        self.world.decide(&Command::OpenEtsn { open: Box::new(wanted), last })
    }

    fn open(&mut self, mode: Mode) -> Etsn {
        let wanted = self.wanted(mode);
        self.open_as(wanted)
    }

    fn open_as(&mut self, wanted: EtsnOpened) -> Etsn {
        assert_eq!(self.ask(wanted), Answer::Done);
        self.last = wanted.etsn;
        wanted.etsn
    }

    fn buy(&mut self, amount: u64, proof: Proof) -> MessageAnswer {
        let request = self.request(amount, proof);
        self.world.send(&request)
    }

    fn request(&mut self, amount: u64, proof: Proof) -> Request {
        Request { proof, ..self.world.request(CARD, amount) }
    }

    fn misses(&self) -> usize {
        self.world.state.cards.find(NumberIndex(CARD)).map_or(0, |card| card.misses(self.world.now))
    }

    fn is_locked(&self) -> bool {
        self.world.state.cards.find(NumberIndex(CARD)).is_some_and(|card| card.locked_ms.is_some())
    }
}

const MISSED: Proof = Proof::Missed(Mode::Expiry);

fn of(etsn: Etsn) -> Proof {
    Proof::Of(etsn, Mode::Expiry)
}

/// A31, A39: the second of three pays, and the others stay open.
#[test]
fn one_of_several_open_etsns_pays_and_the_others_stay() {
    let mut site = Site::new();
    let etsns = [site.open(Mode::Expiry), site.open(Mode::Expiry), site.open(Mode::Expiry)];
    assert!(etsns.is_sorted() && etsns[0] < etsns[1]);
    assert_eq!(site.buy(2498, of(etsns[1])).reason, Reason::Approved);
    assert_eq!(site.world.money(site.account), (100_000 - 2498, 2498));
    assert_eq!(site.buy(2498, of(etsns[1])).reason, Reason::EtsnUsed);
    for etsn in [etsns[2], etsns[0]] {
        assert_eq!(site.buy(1, of(etsn)).reason, Reason::Approved);
    }
    // The number stays: another ETSN, another purchase.
    let next = site.open(Mode::Expiry);
    assert!(next > etsns[2]);
    assert_eq!(site.buy(1, of(next)).reason, Reason::Approved);
}

/// A41: under the same identity the first answer is repeated, under another it is no proof any more.
#[test]
fn a_repeat_is_answered_alike_and_a_replay_declined() {
    let mut site = Site::new();
    let etsn = site.open(Mode::Expiry);
    let request = site.request(2498, of(etsn));
    let first = site.world.send(&request);
    let again = site.world.send(&Request { proof: MISSED, repeat: true, ..request.clone() });
    assert_eq!(
        (again.repeat, again.approval, again.response),
        (true, first.approval, ResponseCode::Approved)
    );
    let replay = site.buy(2498, MISSED);
    assert_eq!((replay.response, replay.reason), (ResponseCode::Declined, Reason::NoEtsnOpen));
    assert_eq!(site.world.money(site.account), (100_000 - 2498, 2498));
}

/// A40: misses count only while an ETSN is open, the third locks, open ETSNs are void with that, and the cardholder
/// unlocks.
#[test]
fn three_misses_lock_the_card_and_its_cardholder_unlocks_it() {
    let mut site = Site::new();
    for _ in 0..5 {
        assert_eq!(site.buy(1, MISSED).reason, Reason::NoEtsnOpen);
    }
    assert_eq!(site.misses(), 0, "whoever merely knows the number locks nothing");
    let etsn = site.open(Mode::Expiry);
    assert_eq!(site.buy(1, MISSED).reason, Reason::MacWrong);
    // A hit does not reset them.
    assert_eq!(site.buy(1, of(etsn)).reason, Reason::Approved);
    let etsn = site.open(Mode::Expiry);
    assert_eq!(site.buy(1, MISSED).reason, Reason::MacWrong);
    assert!(!site.is_locked());
    assert_eq!(site.buy(1, MISSED).reason, Reason::MacWrong);
    assert!(site.is_locked());
    let locked = site.buy(1, of(etsn));
    assert_eq!((locked.response, locked.reason), (ResponseCode::Declined, Reason::CardLocked));
    let wanted = site.wanted(Mode::Expiry);
    assert_eq!(site.ask(wanted), Answer::Refused(Refusal::CardLocked(site.card.number.id)));
    let unlock = Operation::UnlockCard { card: site.card };
    assert_eq!(site.world.operate(unlock), Answer::Done);
    assert_eq!(site.buy(1, of(etsn)).reason, Reason::EtsnUsed, "it is void for good");
    let etsn = site.open(Mode::Expiry);
    assert_eq!(site.buy(1, of(etsn)).reason, Reason::Approved);
}

/// A40: misses are forgotten after a day.
#[test]
fn misses_decay() {
    let mut site = Site::new();
    for _ in 0..2 {
        site.open(Mode::Expiry);
        site.buy(1, MISSED);
        site.world.later(LIFETIME_MS);
    }
    assert_eq!(site.misses(), 2);
    site.world.later(MISSES_KEPT_MS - 2 * LIFETIME_MS);
    assert_eq!(site.misses(), 1);
    let etsn = site.open(Mode::Expiry);
    site.buy(1, MISSED);
    assert!(!site.is_locked());
    assert_eq!(site.buy(1, of(etsn)).reason, Reason::Approved);
}

/// A22, A46: a mode's MAC proves nothing in the other.
#[test]
fn an_etsn_is_good_in_its_own_mode() {
    let mut site = Site::new();
    let (date, field) = (site.open(Mode::Expiry), site.open(Mode::Field));
    assert_eq!(site.buy(1, Proof::Of(date, Mode::Field)).reason, Reason::EtsnUsed);
    assert_eq!(site.buy(1, Proof::Of(field, Mode::Expiry)).reason, Reason::EtsnUsed);
    assert_eq!(site.buy(1, Proof::Of(field, Mode::Field)).reason, Reason::Approved);
    assert_eq!(site.buy(1, of(date)).reason, Reason::Approved);
}

/// A48: a wrong MAC field is a failed proof, and counts.
#[test]
fn a_wrong_mac_field_is_declined_and_counts() {
    let mut site = Site::new();
    site.open(Mode::Field);
    let answer = site.buy(1, Proof::Missed(Mode::Field));
    assert_eq!((answer.response, answer.reason), (ResponseCode::Declined, Reason::FieldWrong));
    assert_eq!(site.misses(), 1);
}

#[test]
fn a_purchase_is_bound_to_what_the_wallet_said() {
    let mut site = Site::new();
    let merchant = MerchantId::parse("M-001").unwrap();
    let bound = |site: &mut Site, cap: u64, merchant| {
        let wanted = site.wanted(Mode::Expiry);
        site.open_as(EtsnOpened { cap: Some((minor(cap), usd())), merchant: Some(merchant), ..wanted })
    };
    let etsn = bound(&mut site, 2500, merchant);
    assert_eq!(site.buy(2501, of(etsn)).reason, Reason::OverCap);
    assert_eq!((site.misses(), site.buy(2500, of(etsn)).reason), (1, Reason::Approved));
    let etsn = bound(&mut site, 2500, MerchantId::parse("OTHER").unwrap());
    let elsewhere = site.buy(1, of(etsn));
    assert_eq!((elsewhere.response, elsewhere.reason), (ResponseCode::Declined, Reason::MerchantWrong));
    assert_eq!(site.misses(), 2);
}

#[test]
fn a_merchant_with_a_mac_field_can_not_leave_it_out() {
    let merchant = MerchantId::parse("M-001").unwrap();
    let mut site = Site::by(check_site(|terms| terms.field_merchants = vec![merchant]));
    let etsn = site.open(Mode::Expiry);
    assert_eq!(site.buy(1, of(etsn)).reason, Reason::FieldExpected);
}

#[test]
fn what_is_over_is_over_and_makes_room() {
    let mut site = Site::new();
    let etsns: Vec<Etsn> = (0..3).map(|_| site.open(Mode::Expiry)).collect();
    let wanted = site.wanted(Mode::Expiry);
    assert_eq!(site.ask(wanted), Answer::Refused(Refusal::OpenPurchases { max: 3 }));
    site.world.later(LIFETIME_MS);
    assert_eq!(site.buy(1, of(etsns[0])).reason, Reason::EtsnExpired);
    assert_eq!(site.misses(), 0);
    assert_eq!(site.buy(1, MISSED).reason, Reason::NoEtsnOpen);
    let etsn = site.open(Mode::Expiry);
    assert_eq!(site.buy(1, of(etsn)).reason, Reason::Approved);
    assert_eq!(site.world.state.cards.find(NumberIndex(CARD)).unwrap().open.len(), 0);
}

/// A28, A32: what was chosen for a card as it no longer is has to be chosen again; ETSNs and TSNs only grow.
#[test]
fn etsns_and_tsns_only_grow() {
    let mut site = Site::new();
    let first = site.wanted(Mode::Expiry);
    site.open_as(first);
    for stale in [first, EtsnOpened { etsn: Etsn(first.etsn.0 + 1), ..first }] {
        assert_eq!(site.ask(stale), Answer::Refused(Refusal::CardChanged));
    }
    let next = site.wanted(Mode::Expiry);
    let last = Etsn(0);
    let raced = site.world.decide(&Command::OpenEtsn { open: Box::new(next), last });
    assert_eq!(raced, Answer::Refused(Refusal::CardChanged));
    // An answer that got lost: the wallet asks with its own TSN and one.
    let again = EtsnOpened { tsn: Tsn(first.tsn.0 + 1), etsn: Etsn(first.etsn.0 + 1), ..next };
    site.open_as(again);
}

#[test]
fn a_wrong_request_is_counted_and_opens_nothing() {
    let mut site = Site::new();
    let refuse = Command::RefuseRequest { card: site.card, why: RequestRefusal::Mac };
    assert_eq!(site.world.decide(&refuse), Answer::Done);
    let last = site.world.log.last().unwrap().1.clone();
    assert_eq!(last, Event::RequestRefused { card: site.card, why: RequestRefusal::Mac });
    assert!(site.world.state.cards.is_empty());
}

#[test]
fn an_etsn_is_used_up_whatever_comes_of_it() {
    let mut site = Site::new();
    let etsn = site.open(Mode::Expiry);
    let answer = site.buy(100_001, of(etsn));
    assert_eq!((answer.response, answer.reason), (ResponseCode::Funds, Reason::FundsMissing));
    assert_eq!(site.buy(1, of(etsn)).reason, Reason::EtsnUsed);
}

#[test]
fn a_zero_amount_check_does_not_use_it_up_and_there_are_three() {
    let mut site = Site::new();
    let etsn = site.open(Mode::Expiry);
    for _ in 0..3 {
        assert_eq!(site.buy(0, of(etsn)).reason, Reason::Approved);
    }
    assert_eq!(site.buy(0, of(etsn)).reason, Reason::TooManyChecks);
    assert_eq!(site.buy(1, of(etsn)).reason, Reason::Approved);
    let next = site.open(Mode::Expiry);
    assert_eq!(site.buy(0, of(next)).reason, Reason::Approved, "each has its own");
}

#[test]
fn a_reversal_gives_funds_back_and_never_the_etsn() {
    let mut site = Site::new();
    let etsn = site.open(Mode::Expiry);
    let request = site.request(100, of(etsn));
    site.world.send(&request);
    let reversal = site.world.reversal(&request);
    assert_eq!(site.world.send(&reversal).reason, Reason::Approved);
    assert_eq!(site.world.money(site.account), (100_000, 0));
    assert_eq!(site.buy(100, of(etsn)).reason, Reason::EtsnUsed);
}

/// What comes after a purchase needs no proof of its own.
#[test]
fn completions_and_refunds_go_by_the_purchase() {
    let mut site = Site::new();
    let etsn = site.open(Mode::Expiry);
    let request = site.request(2498, of(etsn));
    site.world.send(&request);
    let completion = site.world.about(&request, MessageKind::FinancialAdvice, 2498);
    assert_eq!(site.world.send(&completion).reason, Reason::Approved);
    let refund = Request {
        message: MessageKind::Financial,
        processing: mayfly_core::Processing::Refund,
        ..site.world.about(&request, MessageKind::Financial, 498)
    };
    assert_eq!(site.world.send(&refund).reason, Reason::Approved);
    assert_eq!(site.world.money(site.account), (100_000 - 2000, 0));
}

/// An advice of somebody who stood in for us uses its ETSN; one without proof goes to suspense.
#[test]
fn advices_use_their_etsn() {
    let mut site = Site::new();
    let etsn = site.open(Mode::Expiry);
    let told = Request { message: MessageKind::AuthorisationAdvice, ..site.request(500, of(etsn)) };
    assert_eq!(site.world.send(&told).reason, Reason::Approved);
    assert_eq!(site.buy(1, of(etsn)).reason, Reason::EtsnUsed);
    let unproved = Request { message: MessageKind::AuthorisationAdvice, ..site.request(500, MISSED) };
    assert_eq!(site.world.send(&unproved).reason, Reason::Suspense);
}

/// A40: whoever guesses by advices is counted like everybody else, and an ETSN that was found is used up, whatever became of
/// the money.
#[test]
fn guesses_in_advices_count() {
    for message in [MessageKind::AuthorisationAdvice, MessageKind::FinancialAdvice] {
        let mut site = Site::new();
        site.open(Mode::Expiry);
        for _ in 0..3 {
            assert!(!site.is_locked());
            let guess = Request { message, ..site.request(500, MISSED) };
            assert_eq!(site.world.send(&guess).reason, Reason::Suspense);
        }
        assert!(site.is_locked());
        let mut site = Site::new();
        let etsn = site.open(Mode::Expiry);
        let euro = mayfly_card::Currency::from_number(978).unwrap();
        let foreign = Request { message, currency: euro, ..site.request(500, of(etsn)) };
        assert_eq!(site.world.send(&foreign).reason, Reason::Suspense);
        assert_eq!(site.buy(1, of(etsn)).reason, Reason::EtsnUsed);
    }
}

/// What the wallet said a purchase may come to, it may come to, however many messages it is made of.
#[test]
fn no_increment_and_no_completion_goes_beyond_what_the_wallet_said() {
    let mut site = Site::by(Terms { tolerance_bp: 10_000, ..check_site(|_| ()) });
    let wanted = site.wanted(Mode::Expiry);
    let etsn = site.open_as(EtsnOpened { cap: Some((minor(1000), usd())), ..wanted });
    let request = site.request(900, of(etsn));
    assert_eq!(site.world.send(&request).reason, Reason::Approved);
    let more = site.world.increment(&request, 101);
    assert_eq!(site.world.send(&more).reason, Reason::OverAmount);
    let more = site.world.increment(&request, 100);
    assert_eq!(site.world.send(&more).reason, Reason::Approved);
    let beyond = site.world.about(&request, MessageKind::FinancialAdvice, 1001);
    assert_eq!(site.world.send(&beyond).reason, Reason::MoreThanLeft);
    let all = site.world.about(&request, MessageKind::FinancialAdvice, 1000);
    assert_eq!(site.world.send(&all).reason, Reason::Approved);
}

#[test]
fn a_card_that_is_closed_has_nothing_open() {
    let mut site = Site::new();
    let etsn = site.open(Mode::Expiry);
    let NumberRef { id, index } = site.card.number;
    assert_eq!(site.world.operate(Operation::CancelNumber { number: id, index }), Answer::Done);
    assert_eq!(site.buy(1, of(etsn)).reason, Reason::NumberCancelled);
    assert!(site.world.state.cards.is_empty());
    let wanted = site.wanted(Mode::Expiry);
    assert_eq!(site.ask(wanted), Answer::Refused(Refusal::NoCard(id)));
}

#[test]
fn a_number_without_keys_is_declined() {
    let mut site = Site::new();
    site.open(Mode::Expiry);
    let answer = site.buy(1, Proof::NoKey);
    assert_eq!((answer.response, answer.reason), (ResponseCode::Declined, Reason::NoCardKey));
    assert_eq!(site.misses(), 0);
}

#[test]
fn a_date_in_the_past_is_no_guess() {
    let mut site = Site::new();
    site.open(Mode::Expiry);
    let past = Expiry::parse_mmyy("0126").unwrap();
    let request = Request { expiry: Some(past), ..site.request(1, MISSED) };
    assert_eq!(site.world.send(&request).response, ResponseCode::Expired);
    assert_eq!(site.misses(), 0);
}

#[test]
fn terms_are_held_to_their_bounds() {
    let refused = |change: fn(&mut DynamicTerms)| check_site(change).check().unwrap_err().term;
    assert_eq!(check_site(|_| ()).check(), Ok(()));
    assert_eq!(refused(|terms| terms.months = Months::new(11).unwrap()), "months");
    assert_eq!(refused(|terms| terms.furthest_months = 96), "furthest months");
    assert_eq!(refused(|terms| terms.open_max = 9), "open ETSNs");
    assert_eq!(refused(|terms| terms.open_max = 0), "open ETSNs");
    assert_eq!(refused(|terms| terms.misses_max = 0), "failed proofs");
    assert_eq!(refused(|terms| terms.lifetime_ms = 999), "ETSN lifetime");
    assert_eq!(refused(|terms| terms.versions.oldest = AppVersion(2)), "versions");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Open(Mode),
    Buy { which: usize, amount: u64, mode: Mode },
    Miss,
    Unlock,
    Later(TimeMs),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mode = || prop_oneof![Just(Mode::Expiry), Just(Mode::Field)];
    let step = prop_oneof![
        4 => mode().prop_map(Step::Open),
        6 => (0..12usize, 0..60_000u64, mode())
            .prop_map(|(which, amount, mode)| Step::Buy { which, amount, mode }),
        2 => Just(Step::Miss),
        1 => Just(Step::Unlock),
        2 => (0..LIFETIME_MS).prop_map(Step::Later),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    /// A28, A40, A41: whatever happens in whatever order, an ETSN pays once at the most, ETSNs grow, a card has as many open as
    /// it may, a locked one pays nothing, and the journal alone gives the same cards back.
    #[test]
    fn an_etsn_pays_once(steps in steps()) {
        let mut site = Site::new();
        let (mut opened, mut paid): (Vec<(Etsn, Mode)>, Vec<Etsn>) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Open(mode) => {
                    let wanted = site.wanted(mode);
                    let is_full = site.world.state.cards.find(NumberIndex(CARD))
                        .is_some_and(|card| card.open_at(site.world.now).count() >= 3);
                    let was_locked = site.is_locked();
                    if site.ask(wanted) == Answer::Done {
                        prop_assert!(!is_full && !was_locked);
                        prop_assert!(opened.iter().all(|(earlier, _)| *earlier < wanted.etsn));
                        site.last = wanted.etsn;
                        opened.push((wanted.etsn, mode));
                    } else {
                        prop_assert!(is_full || was_locked);
                    }
                }
                Step::Buy { which, amount, mode } => {
                    let Some((etsn, of)) = opened.get(which).copied() else { continue };
                    let was_locked = site.is_locked();
                    let answer = site.buy(amount, Proof::Of(etsn, mode));
                    if answer.response == ResponseCode::Approved && amount > 0 {
                        prop_assert!(!was_locked && mode == of && !paid.contains(&etsn));
                        paid.push(etsn);
                    }
                }
                Step::Miss => {
                    let before = site.misses();
                    let had_open = site.world.state.cards.find(NumberIndex(CARD))
                        .is_some_and(|card| card.has_open(site.world.now));
                    site.buy(1, MISSED);
                    prop_assert_eq!(site.misses(), before + usize::from(had_open));
                    prop_assert!(!had_open || site.is_locked() == (before + 1 >= 3));
                }
                Step::Unlock => {
                    site.world.operate(Operation::UnlockCard { card: site.card });
                    prop_assert!(!site.is_locked());
                }
                Step::Later(ms) => site.world.later(ms),
            }
        }
        let mut again = mayfly_core::State::new(mayfly_core::PartitionId(0));
        for (at_ms, event) in &site.world.log {
            let mut written = Vec::new();
            event.write(&mut written);
            Event::read_all(mayfly_core::EVENTS_VERSION, &written, |read| again.apply(&read, *at_ms)).unwrap();
        }
        prop_assert_eq!(
            again.cards.find(NumberIndex(CARD)),
            site.world.state.cards.find(NumberIndex(CARD))
        );
    }
}
