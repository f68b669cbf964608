//! The check site's cards: enrolled and with open purchases, as wallets leave them, and then presented by their dates.

use std::sync::Arc;
use std::time::Instant;

use mayfly_card::{Currency, Expiry, Layout, MonthIndex, Pan, Prefix};
use mayfly_core::scheme::dynamic::{DynamicTerms, MARGIN_MS};
use mayfly_core::{
    AccountId, Answer, Candidate, CardRef, Command, Controls, CreditLimit, EtsnOpened, IssueNumber, IssuerId,
    NumberRef, Operation, PartitionId, Presented, ProgrammeId, Request, Scheme, Terms,
};
use mayfly_dynamic::{
    AppVersion, CardMacs, CardNumber, CardStanding, ControlDigit, Conversion, Etsn, Mode, OPEN_MAX, OpenEtsn,
    PseudoExpiry, PseudoPan, ReferenceData, ReferencePolicy, SpecialBin, Tsn, VerificationRequest, issue,
};
use mayfly_engine::cards::Shown;
use mayfly_engine::{Catalogue, Clock, Handle, SystemClock};
use mayfly_keys::KeyVersion;

use crate::credentials::{Credential, LoadError, name, operate, run_all};
use crate::drive::Requests;

/// The BIN of the cards' pseudo numbers, and that of their own.
const SPECIAL: &str = "541999";
const OWN: &str = "400000";
/// How many cards share an account.
const PER_ACCOUNT: usize = 10;
const VERSION: AppVersion = AppVersion(1);
const DAY_MS: u64 = 24 * 3_600_000;

/// Cards, and the dates of their open purchases.
pub(crate) struct Deck {
    catalogue: Arc<Catalogue>,
    /// Whose cards they are.
    pub(crate) issuer: IssuerId,
    programme: ProgrammeId,
    /// The date on the cards themselves.
    pub(crate) expiry: Expiry,
    cards: Vec<Card>,
    /// A date of a card: each is good once.
    dates: Vec<(u32, Expiry)>,
    next: usize,
}

struct Card {
    digits: u64,
    card: CardRef,
    own: Pan,
}

fn broken(what: impl std::fmt::Display) -> LoadError {
    LoadError(what.to_string())
}

/// The terms of the benchmark's programme: as many open purchases as there can be, good for a day.
fn terms() -> Result<Terms, LoadError> {
    let dynamic = DynamicTerms {
        open_max: OPEN_MAX as u8,
        cap_required: false,
        lifetime_ms: DAY_MS,
        ..DynamicTerms::standard()
    };
    let prefix = Prefix::parse(SPECIAL).map_err(broken)?;
    Ok(Terms {
        scheme: Scheme::Dynamic(Box::new(dynamic)),
        lifetime_max_ms: 3660 * DAY_MS,
        active_max: 100_000_000,
        ..Terms::standard(prefix, Layout::DEFAULT)
    })
}

impl Deck {
    /// Enrols `count` cards. The first has one open purchase, the second two, and so on up to `open_max`, and then again.
    pub(crate) fn load(
        handle: &Handle,
        catalogue: &Arc<Catalogue>,
        count: usize,
        open_max: usize,
        limit: CreditLimit,
        mut say: impl FnMut(&str),
    ) -> Result<Self, LoadError> {
        let terms = terms()?;
        let bin = terms.special_bin().ok_or_else(|| broken("no special BIN"))?;
        catalogue.prepare(&terms.prefix).map_err(broken)?;
        let Answer::Issuer(issuer) = operate(handle, Operation::OpenIssuer { name: name("Cards")? })? else {
            return Err(broken("no issuer"));
        };
        let open = Operation::OpenProgramme { issuer, name: name("Cards")?, terms: terms.clone() };
        let Answer::Programme(programme) = operate(handle, open)? else { return Err(broken("no programme")) };
        let currency = Currency::parse_alphabetic("USD").ok_or_else(|| broken("no such currency"))?;
        let mut accounts: Vec<AccountId> = Vec::new();
        let open = || Command::Operate(Box::new(Operation::OpenAccount { issuer, currency, limit }));
        let commands = std::iter::repeat_with(open).take(count.div_ceil(PER_ACCOUNT));
        run_all(handle, commands, |_, answer| match answer {
            Answer::Account(account) => {
                accounts.push(account);
                Ok(())
            }
            other => Err(broken(format!("{other:?}"))),
        })?;
        say(&format!("enrolling {count} cards"));
        let expiry =
            MonthIndex::of_unix_ms(SystemClock.now_ms()).plus(30).ok_or_else(|| broken("no date"))?;
        let mut deck = Self {
            catalogue: catalogue.clone(),
            issuer,
            programme,
            expiry: Expiry::from(expiry),
            cards: Vec::new(),
            dates: Vec::new(),
            next: 0,
        };
        deck.enrol(handle, &accounts, (count, expiry), &bin)?;
        say(&format!("opening purchases of {count} cards"));
        deck.open(handle, &bin, &terms, open_max)?;
        Ok(deck)
    }

    fn enrol(
        &mut self,
        handle: &Handle,
        accounts: &[AccountId],
        (count, expiry): (usize, MonthIndex),
        bin: &SpecialBin,
    ) -> Result<(), LoadError> {
        let own_prefix = Prefix::parse(OWN).map_err(broken)?;
        let mut ids = Vec::with_capacity(count);
        for at in 0..count {
            // An odd factor visits each body once; none looks like its neighbour.
            let body = (at as u64).wrapping_mul(61_803_399) % u64::from(PseudoPan::BODIES);
            let number = PseudoPan::new(bin.bin, ControlDigit::OfPanAndNumber, body as u32);
            let own = Layout::DEFAULT.number(&own_prefix, at as u64).map_err(broken)?;
            let digits = number.pan().as_str().parse().map_err(broken)?;
            let index = self.catalogue.index(number.pan());
            let conversion = Conversion {
                number: CardNumber::Pseudo(number),
                pan: own.clone(),
                expiry,
                version: KeyVersion::FIRST,
                secret: None,
            };
            self.catalogue.cards().ok_or_else(|| broken("no keys of cards"))?.add(index, conversion);
            let account = accounts[at / PER_ACCOUNT];
            // Known when its number is issued.
            let number = NumberRef { id: mayfly_core::NumberId(0), index };
            self.cards.push(Card { digits, card: CardRef { number, account }, own });
        }
        let lifetime_ms = Some(900 * DAY_MS);
        let orders = self.cards.iter().map(|card| {
            let last_four = card.own.last_four();
            Command::Issue(Box::new(IssueNumber {
                account: card.card.account,
                programme: self.programme,
                uses: 1,
                lifetime_ms,
                controls: Controls::default(),
                expiry,
                candidates: vec![Candidate { index: card.card.number.index, last_four }],
            }))
        });
        run_all(handle, orders, |key, answer| match answer {
            Answer::Issued { number, .. } => {
                ids.push((key, number));
                Ok(())
            }
            other => Err(broken(format!("{other:?}"))),
        })?;
        for (key, id) in ids {
            self.cards[key as usize].card.number.id = id;
        }
        Ok(())
    }

    /// As wallets do: each request is made, verified, and its ETSN chosen, with the card's key.
    fn open(
        &mut self,
        handle: &Handle,
        bin: &SpecialBin,
        terms: &Terms,
        open_max: usize,
    ) -> Result<(), LoadError> {
        let dynamic = terms.scheme.dynamic().ok_or_else(|| broken("no check site"))?;
        let now_ms = SystemClock.now_ms();
        let policy = ReferencePolicy {
            months: dynamic.months,
            margin_ms: MARGIN_MS,
            furthest_months: dynamic.furthest_months,
        };
        let reference = ReferenceData::choose(now_ms, DAY_MS, &policy).map_err(broken)?;
        let book = self.catalogue.cards().ok_or_else(|| broken("no keys of cards"))?;
        let mut dates = Vec::new();
        let all = self.cards.iter().enumerate().flat_map(|(at, card)| {
            let count = 1 + at % open_max;
            let mut made = Vec::with_capacity(count);
            if let Some(macs) = book.macs(bin, card.card.number.index) {
                let (mut last, mut taken): (Etsn, Vec<PseudoExpiry>) = (Etsn(0), Vec::new());
                for _ in 0..count {
                    let Some((open, date)) = one(&macs, card.card, last, &taken, reference, now_ms, dynamic)
                    else {
                        break;
                    };
                    dates.push((at as u32, date.expose()));
                    taken.push(date);
                    made.push(Command::OpenEtsn { open: Box::new(open), last });
                    last = open.etsn;
                }
            }
            made
        });
        run_all(handle, all, |_, answer| match answer {
            Answer::Done => Ok(()),
            other => Err(broken(format!("{other:?}"))),
        })?;
        self.dates = shuffled(dates);
        Ok(())
    }

    /// How many purchases are open.
    pub(crate) fn left(&self) -> usize {
        self.dates.len() - self.next
    }

    /// The next purchase, its proof found as a connection does; none when all are used.
    pub(crate) fn request(&mut self, requests: &mut Requests) -> Option<Box<Request>> {
        let (at, date) = *self.dates.get(self.next)?;
        self.next += 1;
        let card = &self.cards[at as usize];
        let presented = self.presented(card)?;
        let proof = self.catalogue.proof(&presented, &Shown { expiry: Some(date), field: None });
        let credential = self.credential(card, date);
        let mut request = requests.next(&credential);
        request.proof = proof;
        Some(request)
    }

    fn presented(&self, card: &Card) -> Option<Presented> {
        let last_four = card.own.last_four();
        Some(Presented::Number { index: card.card.number.index, programme: Some(self.programme), last_four })
    }

    fn credential(&self, card: &Card, expiry: Expiry) -> Credential {
        Credential {
            digits: card.digits,
            index: card.card.number.index,
            partition: PartitionId::FIRST,
            programme: Some(self.programme),
            expiry,
        }
    }

    /// The purchases that are left, as somebody presents them over a network.
    pub(crate) fn credentials(&mut self) -> Vec<Credential> {
        let left = &self.dates[self.next..];
        let made = left.iter().map(|(at, date)| self.credential(&self.cards[*at as usize], *date)).collect();
        self.next = self.dates.len();
        made
    }

    /// The cards' own numbers, for the host of their issuer.
    pub(crate) fn own(&self) -> impl Iterator<Item = &Pan> {
        self.cards.iter().map(|card| &card.own)
    }

    /// How long it takes to find the ETSN of a message, in microseconds: for cards with so many open ones each, the time of
    /// one look at a card that nobody has looked at lately.
    pub(crate) fn proof_us(&self, open_max: usize) -> Vec<f64> {
        (1..=open_max)
            .map(|open| {
                let with: Vec<&Card> = self.cards.iter().skip(open - 1).step_by(open_max).collect();
                let date = Expiry::from(MonthIndex::new(2031, 5).unwrap_or_else(|| unreachable!("a month")));
                let step = with.len() / 3 + 1;
                let begun = Instant::now();
                let looks = with.len().min(200_000);
                for at in 0..looks {
                    let card = with[at * step % with.len()];
                    if let Some(presented) = self.presented(card) {
                        let shown = Shown { expiry: Some(date), field: None };
                        std::hint::black_box(self.catalogue.proof(&presented, &shown));
                    }
                }
                begun.elapsed().as_secs_f64() * 1e6 / looks.max(1) as f64
            })
            .collect()
    }
}

/// One more open purchase of a card.
fn one(
    macs: &CardMacs,
    card: CardRef,
    last: Etsn,
    taken: &[PseudoExpiry],
    reference: ReferenceData,
    now_ms: u64,
    dynamic: &DynamicTerms,
) -> Option<(EtsnOpened, PseudoExpiry)> {
    let expiry = Expiry::from(MonthIndex::of_unix_ms(now_ms));
    let tsn = Tsn(last.0 + 1);
    let known = CardStanding { expiry, last_tsn: Tsn(last.0), versions: dynamic.versions };
    let asked = VerificationRequest::new(macs, expiry, VERSION, tsn).verify(macs, &known).ok()?;
    let dates = macs.expiry_macs();
    let issued =
        issue(last, &asked, taken, |etsn| dates.expiry(&OpenEtsn { etsn, version: VERSION, reference }));
    let etsn = issued.ok()?.etsn;
    let date = dates.expiry(&OpenEtsn { etsn, version: VERSION, reference });
    let opened = EtsnOpened {
        card,
        tsn,
        etsn,
        mode: Mode::Expiry,
        version: VERSION,
        reference,
        expires_ms: now_ms + DAY_MS,
        cap: None,
        merchant: None,
    };
    Some((opened, date))
}

/// In an order that looks random, so that a card's purchases don't come one after the other.
fn shuffled<T: Copy>(all: Vec<T>) -> Vec<T> {
    let count = all.len();
    let step = crate::tcp::step(count);
    (0..count).map(|at| all[at * step % count]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_are_within_their_bounds() {
        assert_eq!(terms().unwrap().check(), Ok(()));
    }

    #[test]
    fn each_date_is_presented_once() {
        let mut all = shuffled((0..1000).collect());
        assert!(!all.is_sorted());
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
    }
}
