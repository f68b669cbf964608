//! A check site in memory: the decision core itself, with cards whose keys the attacker does not have.

use mayfly_card::{
    AcquirerId, Currency, Expiry, LastFour, Layout, MerchantId, MinorUnits, MonthIndex, PosEntryMode, Prefix,
    Stan,
};
use mayfly_core::scheme::dynamic::{DynamicTerms, MARGIN_MS, Proof};
use mayfly_core::{
    AccountId, Answer, Candidate, CardRef, Command, Controls, CreditLimit, Cvc2Check, EtsnOpened, Event,
    Facts, Hash64, IssueNumber, IssuerId, MessageKind, Name, NumberRef, Operation, PartitionId, Presented,
    Processing, ProgrammeId, Reason, Request, Scheme, State, Terms, TimeMs, decide,
};
use mayfly_dynamic::{
    AppVersion, Bin, CardKey, CardMacs, CardNumber, ControlDigit, Etsn, MacField, Mode, OpenEtsn, PseudoPan,
    Purchase, ReferenceData, ReferencePolicy, Tsn, VerificationRequest, VerifiedRequest, issue,
    issue_for_field,
};
use mayfly_keys::{NumberIndex, SecretKey};

use super::ForgeError;
use crate::seeded::Seeded;

/// 2026-06-15T12:00:00Z.
const NOON: TimeMs = 1_781_524_800_000;
const VERSION: AppVersion = AppVersion(1);
const BIN: &str = "456940";
/// How many cards a state has before it is begun anew, so that a run of any length has room.
const CARDS_MAX: u64 = 20_000;

/// The check site.
pub(super) struct Site {
    terms: DynamicTerms,
    state: State,
    account: AccountId,
    chance: Seeded,
    cards: u64,
    messages: u64,
    events: Vec<Event>,
}

/// A card, and what nobody but its wallet and the check site has of it.
pub(super) struct Victim {
    pub(super) card: CardRef,
    last_four: LastFour,
    macs: CardMacs,
    expiry: MonthIndex,
    tsn: Tsn,
    last: Etsn,
    /// The last request that its wallet has sent, for whoever listens.
    pub(super) sent: Option<VerificationRequest>,
    /// What a guesser may know: how dates are made.
    pub(super) reference: Option<ReferenceData>,
}

/// What a merchant presents.
#[derive(Clone, Copy)]
pub(super) enum Presents<'a> {
    Date(Expiry),
    Field(&'a MacField),
}

/// A purchase as it was meant, or as somebody makes of it.
#[derive(Clone, Copy)]
pub(super) struct Deal {
    pub(super) amount: u64,
    pub(super) currency: &'static str,
    pub(super) merchant: &'static str,
}

impl Deal {
    pub(super) const MEANT: Self = Self { amount: 2_498, currency: "840", merchant: "M-001" };

    pub(super) fn purchase(self) -> Result<Purchase, ForgeError> {
        Ok(Purchase {
            amount: MinorUnits::new(self.amount).ok_or(ForgeError::Site("an amount"))?,
            currency: Currency::parse_numeric(self.currency).map_err(|_| ForgeError::Site("a currency"))?,
            merchant: MerchantId::parse(self.merchant).map_err(|_| ForgeError::Site("a merchant"))?,
        })
    }
}

impl Site {
    pub(super) fn new(terms: DynamicTerms, seed: u64) -> Result<Self, ForgeError> {
        let (state, account) = begin(&terms)?;
        let (cards, messages) = (0, 0);
        Ok(Self { terms, state, account, chance: Seeded::new(seed), cards, messages, events: Vec::new() })
    }

    pub(super) fn chance(&mut self) -> &mut Seeded {
        &mut self.chance
    }

    /// A card that was just enrolled.
    pub(super) fn fresh(&mut self) -> Result<Victim, ForgeError> {
        if self.cards >= CARDS_MAX {
            (self.state, self.account) = begin(&self.terms)?;
            self.cards = 0;
        }
        self.cards += 1;
        let bin = Bin::parse(BIN).map_err(|_| ForgeError::Site("a BIN"))?;
        let number = PseudoPan::draw(bin, ControlDigit::OfPanAndNumber, &mut self.chance)?;
        let key = CardKey::from_secret(SecretKey::generate(&mut self.chance)?);
        let index = NumberIndex(self.chance.draw());
        let expiry = MonthIndex::of_unix_ms(NOON).plus(30).ok_or(ForgeError::Site("a date"))?;
        let order = IssueNumber {
            account: self.account,
            programme: ProgrammeId(1),
            uses: 1,
            lifetime_ms: Some(expiry.start_unix_ms() - NOON),
            controls: Controls::default(),
            expiry,
            candidates: vec![Candidate { index, last_four: number.pan().last_four() }],
        };
        let Answer::Issued { number: id, .. } = self.decide(&Command::Issue(Box::new(order))) else {
            return Err(ForgeError::Site("a card"));
        };
        let card = CardRef { number: NumberRef { id, index }, account: self.account };
        let last_four = number.pan().last_four();
        let macs = CardMacs::new(&key, CardNumber::Pseudo(number));
        let (tsn, last) = (Tsn(0), Etsn(0));
        Ok(Victim { card, last_four, macs, expiry, tsn, last, sent: None, reference: None })
    }

    /// The wallet asks for an ETSN, as wallets do.
    pub(super) fn open(&mut self, victim: &mut Victim, mode: Mode, bound: bool) -> Result<Etsn, ForgeError> {
        let tsn = Tsn(victim.tsn.0.max(victim.last.0) + 1);
        let sent = VerificationRequest::new(&victim.macs, Expiry::from(victim.expiry), VERSION, tsn);
        let asked = self.verify(victim, &sent).ok_or(ForgeError::Site("a request"))?;
        let policy = ReferencePolicy {
            months: self.terms.months,
            margin_ms: MARGIN_MS,
            furthest_months: self.terms.furthest_months,
        };
        let reference = ReferenceData::choose(NOON, self.terms.lifetime_ms, &policy)
            .map_err(|_| ForgeError::Site("reference data"))?;
        let standing = self.state.cards.find(victim.card.number.index);
        let open = || standing.into_iter().flat_map(|card| card.open.iter());
        let dates = victim.macs.expiry_macs();
        let etsn = match mode {
            Mode::Expiry => {
                let of_dates = open().filter(|open| open.mode == Mode::Expiry);
                let taken: Vec<_> = of_dates.map(|open| dates.expiry(&open.of_date())).collect();
                let date = |etsn| dates.expiry(&OpenEtsn { etsn, version: VERSION, reference });
                issue(victim.last, &asked, &taken, date).map(|issued| issued.etsn)
            }
            Mode::Field => issue_for_field(victim.last, &asked, open().count()),
        };
        let etsn = etsn.map_err(|_| ForgeError::Site("an ETSN"))?;
        let Purchase { amount, currency, merchant } = Deal::MEANT.purchase()?;
        let wanted = EtsnOpened {
            card: victim.card,
            tsn,
            etsn,
            mode,
            version: VERSION,
            reference,
            expires_ms: NOON + self.terms.lifetime_ms,
            cap: bound.then_some((amount, currency)),
            merchant: bound.then_some(merchant),
        };
        let last = victim.last;
        match self.decide(&Command::OpenEtsn { open: Box::new(wanted), last }) {
            Answer::Done => {
                (victim.tsn, victim.last) = (tsn, etsn);
                (victim.sent, victim.reference) = (Some(sent), Some(reference));
                Ok(etsn)
            }
            _ => Err(ForgeError::Site("an open ETSN")),
        }
    }

    /// What the check site makes of a wallet's request.
    pub(super) fn verify(&self, victim: &Victim, asked: &VerificationRequest) -> Option<VerifiedRequest> {
        let standing = self.state.cards.find(victim.card.number.index);
        let known = mayfly_dynamic::CardStanding {
            expiry: Expiry::from(victim.expiry),
            last_tsn: standing.map_or(Tsn(0), |card| card.last_tsn),
            versions: self.terms.versions,
        };
        asked.verify(&victim.macs, &known).ok()
    }

    /// Somebody presents the card's number: whether it was approved.
    pub(super) fn present(
        &mut self,
        victim: &Victim,
        deal: Deal,
        presents: Presents<'_>,
    ) -> Result<Reason, ForgeError> {
        let Purchase { amount, currency, merchant } = deal.purchase()?;
        let proof = self.proof(victim, deal, presents)?;
        self.messages += 1;
        let stan = Stan::from_value((self.messages % 1_000_000) as u32).unwrap_or_default();
        let request = Request {
            message: MessageKind::Authorisation,
            processing: Processing::Purchase,
            reference: Hash64(self.messages.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            identity: Hash64(self.messages),
            content: Hash64(0),
            original: None,
            number: Presented::Number {
                index: victim.card.number.index,
                programme: Some(ProgrammeId(1)),
                last_four: victim.last_four,
            },
            expiry: match presents {
                Presents::Date(date) => Some(date),
                Presents::Field(_) => None,
            },
            cvc2: Cvc2Check::Absent,
            proof,
            amount,
            replacement: None,
            currency,
            declined_elsewhere: false,
            repeat: false,
            facts: Facts {
                acquirer: AcquirerId::default(),
                stan,
                merchant,
                entry_mode: PosEntryMode::E_COMMERCE,
                ..Facts::default()
            },
            paged: None,
            partition: PartitionId::FIRST,
        };
        match self.decide(&Command::Message(Box::new(request))) {
            Answer::Message(answer) => Ok(answer.reason),
            _ => Err(ForgeError::Site("an answer")),
        }
    }

    /// As it is found before a message is queued.
    fn proof(&self, victim: &Victim, deal: Deal, presents: Presents<'_>) -> Result<Proof, ForgeError> {
        let standing = self.state.cards.find(victim.card.number.index);
        let open = |mode| {
            let open = standing.into_iter().flat_map(|card| card.open.iter());
            open.filter(move |open| open.mode == mode)
        };
        let (mode, hit) = match presents {
            Presents::Date(date) => {
                let dates = open(Mode::Expiry).map(|open| open.of_date());
                (Mode::Expiry, victim.macs.expiry_macs().find(dates, date))
            }
            Presents::Field(field) => {
                let open = open(Mode::Field).map(|open| (open.etsn, open.version));
                (Mode::Field, victim.macs.find_field(open, field, &deal.purchase()?))
            }
        };
        Ok(hit.map_or(Proof::Missed(mode), |etsn| Proof::Of(etsn, mode)))
    }

    /// The date that the wallet would fill in.
    pub(super) fn date_of(&self, victim: &Victim, etsn: Etsn) -> Option<Expiry> {
        let open = self.state.cards.find(victim.card.number.index)?.find(etsn)?;
        Some(victim.macs.expiry_macs().expiry(&open.of_date()).expose())
    }

    /// The MAC field that the wallet would fill in.
    pub(super) fn field_of(&self, victim: &Victim, etsn: Etsn, deal: Deal) -> Result<MacField, ForgeError> {
        let mac = victim.macs.field(VERSION, etsn, &deal.purchase()?);
        let origin = self.terms.field.ok_or(ForgeError::Site("a MAC field"))?;
        MacField::new("Shop", origin, etsn, &mac).map_err(|_| ForgeError::Site("a MAC field"))
    }

    /// Whether the card is locked.
    pub(super) fn is_locked(&self, victim: &Victim) -> bool {
        self.state.cards.find(victim.card.number.index).is_some_and(|card| card.locked_ms.is_some())
    }

    fn decide(&mut self, command: &Command) -> Answer {
        let answer = decide(&self.state, command, NOON, &mut self.events);
        for event in self.events.drain(..) {
            self.state.apply(&event, NOON);
        }
        answer
    }
}

/// One issuer, one programme of these terms, one account.
fn begin(dynamic: &DynamicTerms) -> Result<(State, AccountId), ForgeError> {
    let mut state = State::new(PartitionId::FIRST);
    let mut act = |operation| {
        let mut events = Vec::new();
        let answer = decide(&state, &Command::Operate(Box::new(operation)), NOON, &mut events);
        events.iter().for_each(|event| state.apply(event, NOON));
        answer
    };
    let name = Name::parse("Forgery").map_err(|_| ForgeError::Site("a name"))?;
    let prefix = Prefix::parse(BIN).map_err(|_| ForgeError::Site("a prefix"))?;
    let terms = Terms {
        scheme: Scheme::Dynamic(Box::new(dynamic.clone())),
        lifetime_max_ms: 3660 * 24 * 3_600_000,
        active_max: 100_000_000,
        ..Terms::standard(prefix, Layout::DEFAULT)
    };
    act(Operation::OpenIssuer { name });
    if let Answer::Refused(refusal) = act(Operation::OpenProgramme { issuer: IssuerId(1), name, terms }) {
        return Err(ForgeError::Terms(refusal));
    }
    let currency = Currency::parse_numeric("840").map_err(|_| ForgeError::Site("a currency"))?;
    // Money is no matter here.
    let limit = CreditLimit::Credit(MinorUnits::MAX);
    match act(Operation::OpenAccount { issuer: IssuerId(1), currency, limit }) {
        Answer::Account(account) => Ok((state, account)),
        _ => Err(ForgeError::Site("an account")),
    }
}
