//! The attacks: what is guessed in which order, and what chance that has.

use base64ct::{Base64, Encoding};
use mayfly_card::{Expiry, MonthIndex};
use mayfly_core::Reason;
use mayfly_core::scheme::dynamic::DynamicTerms;
use mayfly_dynamic::{
    Etsn, FieldMac, MacField, Mode as EtsnMode, ReferenceData, Tsn, VerificationRequest, odds,
};

use mayfly_keys::Random;

use super::site::{Deal, Presents, Site, Victim};
use super::{ForgeError, Line, Plan};

/// Where the MAC travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// In the expiration date.
    Expiry,
    /// In the MAC field.
    Field,
    /// In the wallet's own request for an ETSN.
    Request,
}

impl Mode {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Expiry => "expiry",
            Self::Field => "field",
            Self::Request => "request",
        }
    }
}

/// How it is attacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attack {
    /// One date at random.
    Random,
    /// Dates at random until the card is locked, and beyond.
    RandomToTheLock,
    /// One date after the other from the first that there can be, until the card is locked, and beyond.
    Sequential,
    /// As sequential, but those first that the card has not had in its last purchases.
    Informed,
    /// An open purchase that is bound to a merchant and an amount, guessed at another merchant.
    OtherMerchant,
    /// A genuine MAC that was used already.
    Replay,
    /// A genuine MAC of another purchase: another amount, currency or merchant.
    OtherPurchase,
    /// The first 12 bits of the MAC only, to see that each is as likely as the other.
    TwelveBits,
}

impl Attack {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::RandomToTheLock => "random, to the lock",
            Self::Sequential => "sequential",
            Self::Informed => "informed",
            Self::OtherMerchant => "bound, elsewhere",
            Self::Replay => "replay",
            Self::OtherPurchase => "other purchase",
            Self::TwelveBits => "first 12 bits",
        }
    }
}

/// An attack on many fresh cards.
pub(super) struct Assault {
    mode: Mode,
    attack: Attack,
    terms: DynamicTerms,
    open: u8,
}

/// How many guesses are made after those that lock a card: none of them may hit.
const BEYOND: u8 = 3;
/// Where the MAC begins in the field's bytes: control, merchant, origin and TSN stand before it.
const MAC_AT: usize = 15;
/// How many purchases an informed guesser has seen.
const SEEN: usize = 12;

/// All that are planned.
pub(super) fn all(plan: &Plan) -> Vec<Assault> {
    let mut all = Vec::new();
    let by_date = [Attack::Random, Attack::RandomToTheLock, Attack::Sequential, Attack::Informed];
    for months in &plan.months {
        for open in &plan.open {
            let furthest_months = plan.terms.furthest_months.max(u16::from(months.count()) + 2);
            let open_max = plan.terms.open_max.max(*open);
            let terms = DynamicTerms { months: *months, furthest_months, open_max, ..plan.terms.clone() };
            let assault = |attack| Assault { mode: Mode::Expiry, attack, terms: terms.clone(), open: *open };
            all.extend(by_date.map(assault));
        }
    }
    let assault = |mode, attack| Assault { mode, attack, terms: plan.terms.clone(), open: 1 };
    all.extend([Attack::OtherMerchant, Attack::Replay].map(|attack| assault(Mode::Expiry, attack)));
    let by_field =
        [Attack::Random, Attack::Sequential, Attack::Replay, Attack::OtherPurchase, Attack::TwelveBits];
    all.extend(by_field.map(|attack| assault(Mode::Field, attack)));
    all.extend([Attack::Random, Attack::Replay].map(|attack| assault(Mode::Request, attack)));
    all
}

impl Assault {
    pub(super) fn carry_out(&self, cards: u64, seed: u64) -> Result<Line, ForgeError> {
        let mut site = Site::new(self.terms.clone(), seed)?;
        let mut fell = 0;
        for _ in 0..cards {
            fell += u64::from(self.on_a_fresh_card(&mut site)?);
        }
        let Self { mode, attack, ref terms, open } = *self;
        let (months, guesses, chance) = (terms.months, self.guesses(), self.chance());
        Ok(Line { mode, attack, months, open, guesses, cards, fell, chance })
    }

    /// How many guesses count at a card.
    fn guesses(&self) -> u8 {
        match (self.mode, self.attack) {
            (Mode::Expiry, Attack::RandomToTheLock | Attack::Sequential | Attack::Informed)
            | (Mode::Field, Attack::Sequential)
            | (_, Attack::OtherMerchant) => self.terms.misses_max,
            _ => 1,
        }
    }

    /// The chance that a card falls.
    fn chance(&self) -> f64 {
        let (months, guesses) = (self.terms.months, self.guesses());
        match (self.mode, self.attack) {
            (Mode::Expiry, Attack::Random) => odds::expiry_forgery(months, self.open, 1),
            (Mode::Expiry, Attack::RandomToTheLock) => {
                let one = odds::expiry_forgery(months, self.open, 1);
                1.0 - (1.0 - one).powi(i32::from(guesses))
            }
            (Mode::Expiry, Attack::Sequential | Attack::Informed) => {
                odds::expiry_forgery(months, self.open, guesses)
            }
            (Mode::Expiry, _) => 0.0,
            (Mode::Field, Attack::TwelveBits) => (-12f64).exp2(),
            (Mode::Field, Attack::Replay) => 0.0,
            (Mode::Field, _) => odds::field_forgery() * f64::from(guesses),
            (Mode::Request, Attack::Random) => (-128f64).exp2(),
            (Mode::Request, _) => 0.0,
        }
    }

    fn on_a_fresh_card(&self, site: &mut Site) -> Result<bool, ForgeError> {
        let mut victim = site.fresh()?;
        match self.mode {
            Mode::Expiry => self.by_date(site, &mut victim),
            Mode::Field => self.by_field(site, &mut victim),
            Mode::Request => self.by_request(site, &mut victim),
        }
    }

    fn by_date(&self, site: &mut Site, victim: &mut Victim) -> Result<bool, ForgeError> {
        let mut seen = Vec::new();
        if self.attack == Attack::Informed {
            for _ in 0..SEEN {
                let etsn = site.open(victim, EtsnMode::Expiry, false)?;
                let date = site.date_of(victim, etsn).ok_or(ForgeError::Site("a date"))?;
                site.present(victim, Deal::MEANT, Presents::Date(date))?;
                seen.push(date);
            }
        }
        let bound = self.attack == Attack::OtherMerchant;
        let mut last = None;
        for _ in 0..self.open {
            last = Some(site.open(victim, EtsnMode::Expiry, bound)?);
        }
        if self.attack == Attack::Replay {
            return self.replayed_date(site, victim, last);
        }
        let deal = if bound { Deal { merchant: "M-666", ..Deal::MEANT } } else { Deal::MEANT };
        let tries = match self.attack {
            Attack::Random => 1,
            _ => self.terms.misses_max + BEYOND,
        };
        // Without an open ETSN nothing says when the window begins; the attacker takes one that there could be.
        let window = victim.reference.map_or_else(|| self.window(), Ok)?;
        let mut fell = false;
        for guess in 0..tries {
            let month = match self.attack {
                Attack::Random | Attack::RandomToTheLock => {
                    nth(&window, site.chance().below(window.months().count().into()) as u16)
                }
                Attack::Informed => informed(&window, &seen, guess),
                _ => nth(&window, guess.into()),
            };
            let date = Expiry::from(month.ok_or(ForgeError::Site("a month"))?);
            fell |= approved(site.present(victim, deal, Presents::Date(date))?);
        }
        let (may_lock, must_lock) = (self.open > 0, self.open > 0 && !fell && tries >= self.terms.misses_max);
        if site.is_locked(victim) && !may_lock {
            return Err(ForgeError::Site("a card that nobody may lock"));
        }
        if must_lock && !site.is_locked(victim) {
            return Err(ForgeError::Site("a lock"));
        }
        Ok(fell)
    }

    /// Dates of which the first could be asked for now.
    fn window(&self) -> Result<ReferenceData, ForgeError> {
        let first = MonthIndex::new(2026, 7).ok_or(ForgeError::Site("a month"))?;
        ReferenceData::new(first, self.terms.months).map_err(|_| ForgeError::Site("a window"))
    }

    fn replayed_date(
        &self,
        site: &mut Site,
        victim: &Victim,
        etsn: Option<Etsn>,
    ) -> Result<bool, ForgeError> {
        let date = etsn.and_then(|etsn| site.date_of(victim, etsn)).ok_or(ForgeError::Site("a date"))?;
        if !approved(site.present(victim, Deal::MEANT, Presents::Date(date))?) {
            return Err(ForgeError::Site("a purchase"));
        }
        Ok(approved(site.present(victim, Deal::MEANT, Presents::Date(date))?))
    }

    fn by_field(&self, site: &mut Site, victim: &mut Victim) -> Result<bool, ForgeError> {
        let etsn = site.open(victim, EtsnMode::Field, false)?;
        let genuine = site.field_of(victim, etsn, Deal::MEANT)?;
        match self.attack {
            Attack::Replay => {
                if !approved(site.present(victim, Deal::MEANT, Presents::Field(&genuine))?) {
                    return Err(ForgeError::Site("a purchase"));
                }
                Ok(approved(site.present(victim, Deal::MEANT, Presents::Field(&genuine))?))
            }
            Attack::OtherPurchase => {
                let others = [
                    Deal { amount: Deal::MEANT.amount * 10, ..Deal::MEANT },
                    Deal { currency: "978", ..Deal::MEANT },
                    Deal { merchant: "M-666", ..Deal::MEANT },
                ];
                let which = site.chance().below(others.len() as u64) as usize;
                Ok(approved(site.present(victim, others[which], Presents::Field(&genuine))?))
            }
            Attack::TwelveBits => {
                let mut bytes = [0; MacField::BYTES];
                Base64::decode(genuine.text(), &mut bytes).map_err(|_| ForgeError::Site("a MAC field"))?;
                let mac = u16::from_be_bytes([bytes[MAC_AT], bytes[MAC_AT + 1]]);
                Ok(u64::from(mac >> 4) == site.chance().below(1 << 12))
            }
            _ => {
                let mut fell = false;
                let start = site.chance().draw();
                for guess in 0..u64::from(self.guesses()) {
                    let [_, _, _, bytes @ ..] = start.wrapping_add(guess).to_be_bytes();
                    let origin = genuine.origin();
                    let field = MacField::new("Shop", origin, etsn, &FieldMac::from_bytes(bytes))
                        .map_err(|_| ForgeError::Site("a MAC field"))?;
                    fell |= approved(site.present(victim, Deal::MEANT, Presents::Field(&field))?);
                }
                Ok(fell)
            }
        }
    }

    fn by_request(&self, site: &mut Site, victim: &mut Victim) -> Result<bool, ForgeError> {
        site.open(victim, EtsnMode::Expiry, false)?;
        // What the wallet itself has sent, or the like with another TSN and any MAC.
        let sent = victim.sent.ok_or(ForgeError::Site("a request"))?;
        let asked = match self.attack {
            Attack::Replay => sent,
            _ => {
                let mut mac = [0; 16];
                site.chance().fill(&mut mac)?;
                VerificationRequest { tsn: Tsn(sent.tsn.0 + 1), mac, ..sent }
            }
        };
        Ok(site.verify(victim, &asked).is_some())
    }
}

fn approved(reason: Reason) -> bool {
    reason == Reason::Approved
}

/// The month so many after the first of a window; the first again beyond its end.
fn nth(window: &ReferenceData, after: u16) -> Option<MonthIndex> {
    window.date().plus(after % u16::from(window.months().count()))
}

/// Those months first that the card has not had lately, then the others.
fn informed(window: &ReferenceData, seen: &[Expiry], guess: u8) -> Option<MonthIndex> {
    let all = || (0..u16::from(window.months().count())).filter_map(|after| nth(window, after));
    let was_seen = |month: &MonthIndex| seen.contains(&Expiry::from(*month));
    all().filter(|month| !was_seen(month)).chain(all().filter(was_seen)).nth(guess.into())
}

/// For tests of a few attacks.
#[cfg(test)]
pub(super) fn one(mode: Mode, attack: Attack, months: mayfly_dynamic::Months, open: u8) -> Assault {
    let terms = DynamicTerms { months, furthest_months: 122, open_max: 8, ..DynamicTerms::standard() };
    Assault { mode, attack, terms, open }
}

#[cfg(test)]
mod tests {
    use mayfly_dynamic::Months;

    use super::*;

    /// A49, on fewer cards than `mayfly lab forge` takes: every attack is as it was computed.
    #[test]
    fn what_is_measured_is_what_was_computed() {
        let plan = Plan {
            cards: 1_500,
            months: vec![Months::new(24).unwrap(), Months::new(96).unwrap()],
            open: vec![0, 1, 3],
            ..Plan::default()
        };
        let lines = super::super::run(&plan, |_| ()).unwrap();
        assert!(lines.len() > 25);
        for line in &lines {
            assert!(line.holds(), "{line:?} is {} deviations off", line.deviations());
        }
        assert!(lines.iter().any(|line| line.fell > 0));
        assert!(lines.iter().all(|line| line.open > 0 || line.fell == 0));
    }

    /// A49: the measurement can fail: a site that took whatever month was near would be found out.
    #[test]
    fn a_weak_site_is_found_out() {
        let months = Months::new(60).unwrap();
        let line = one(Mode::Expiry, Attack::Random, months, 3).carry_out(8_000, 7).unwrap();
        assert!(line.holds(), "{line:?}");
        let weak = Line { open: 1, chance: odds::expiry_forgery(months, 1, 1), ..line };
        assert!(!weak.holds(), "{weak:?}");
    }
}
