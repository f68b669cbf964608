//! A check site that knows some cards, loses what it is told to lose, and never takes anything twice; and a place that keeps
//! wallets.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::VecDeque;

use mayfly_card::{Currency, Expiry, MerchantId, MinorUnits, MonthIndex, Pan};
use mayfly_dynamic::{
    Answer, AppVersion, AppVersions, CardKey, CardMacs, CardNumber, CardStanding, Etsn, FieldOrigin,
    MacField, Mode, Months, OPEN_MAX, OpenEtsn, PseudoPan, Purchase, ReferenceData, Tsn, issue,
    issue_for_field,
};
use mayfly_enrol::{Half, Point};
use mayfly_keys::{Passphrase, PassphraseCost, Random, RandomError, SecretKey};
use mayfly_wallet::{
    Asked, CardId, Filled, LastTsn, Package, Server, ServerError, SignedAnswer, Store, Vault, Wallet, Wish,
};

pub(crate) const PSEUDO: &str = "5419992000000424";
pub(crate) const OWN: &str = "5400001234567892";
pub(crate) const PASSPHRASE: &str = "four words are enough";
/// The key of process 2 in the profile's vectors.
pub(crate) const KEY: [u8; 16] =
    [0x87, 0xce, 0x16, 0x1f, 0x72, 0x3c, 0x65, 0x09, 0x6e, 0x19, 0x3f, 0xbe, 0x57, 0x35, 0xf2, 0x01];
pub(crate) const MERCHANT_NAME: &str = "SPA Merchant, Inc.";
pub(crate) const ORIGIN: FieldOrigin = FieldOrigin { acs: 1, method: 1, key: 1 };
pub(crate) const VERSIONS: AppVersions = AppVersions { oldest: AppVersion(1), newest: AppVersion(1) };

/// Draws other bytes each time, and the same in each run.
pub(crate) struct Counting(pub(crate) u8);

impl Random for Counting {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        self.0 = self.0.wrapping_add(1).max(1);
        out.fill(self.0);
        Ok(())
    }
}

pub(crate) fn id(text: &str) -> CardId {
    CardId::parse(text).unwrap()
}

pub(crate) fn dollars() -> Currency {
    Currency::parse_alphabetic("USD").unwrap()
}

/// 24.98 USD at M-001, as in the profile's vectors.
pub(crate) fn wish() -> Wish {
    Wish {
        amount: Some((MinorUnits::new(2498).unwrap(), dollars())),
        merchant: Some(MerchantId::parse("M-001").unwrap()),
        merchant_name: Some(MERCHANT_NAME.to_owned()),
        lifetime_s: Some(600),
    }
}

pub(crate) fn purchase() -> Purchase {
    let wish = wish();
    let ((amount, currency), merchant) = (wish.amount.unwrap(), wish.merchant.unwrap());
    Purchase { amount, currency, merchant }
}

/// What becomes of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    RequestLost,
    AnswerLost,
}

/// A check site.
pub(crate) struct Site {
    pub(crate) cards: Vec<SiteCard>,
    /// What becomes of the next exchanges; those beyond arrive.
    pub(crate) fates: VecDeque<Fate>,
    /// Changes an answer on its way.
    pub(crate) tamper: Option<fn(&mut SignedAnswer)>,
    /// All TSNs that left a wallet, whether they arrived or not.
    pub(crate) sent: Vec<(CardId, Tsn)>,
    random: Counting,
}

pub(crate) struct SiteCard {
    pub(crate) id: CardId,
    pub(crate) number: CardNumber,
    pub(crate) expiry: Expiry,
    /// Of its own derivation; the share comes on top.
    pub(crate) derived: CardKey,
    pub(crate) share: Option<SecretKey<16>>,
    pub(crate) last_tsn: Tsn,
    pub(crate) last_etsn: Etsn,
    pub(crate) open: Vec<SiteEtsn>,
    pub(crate) origin: Option<FieldOrigin>,
    pub(crate) versions: AppVersions,
}

pub(crate) struct SiteEtsn {
    pub(crate) etsn: OpenEtsn,
    pub(crate) mode: Mode,
}

impl SiteCard {
    pub(crate) fn new(name: &str, number: CardNumber) -> Self {
        Self {
            id: id(name),
            number,
            expiry: Expiry::parse_mmyy("1227").unwrap(),
            derived: CardKey::from_secret(SecretKey::from_bytes(&KEY)),
            share: None,
            last_tsn: Tsn(6),
            last_etsn: Etsn(6),
            open: Vec::new(),
            origin: Some(ORIGIN),
            versions: VERSIONS,
        }
    }

    pub(crate) fn macs(&self) -> CardMacs {
        let key = match &self.share {
            Some(share) => self.derived.with_share(share),
            None => CardKey::from_secret(self.derived.expose().clone()),
        };
        CardMacs::new(&key, self.number.clone())
    }

    /// The authorisation's side: the open ETSN that what stands in the form proves, which is used up by it.
    pub(crate) fn verify(&mut self, filled: &Filled) -> Option<Etsn> {
        assert_eq!(&filled.number, self.number.pan());
        let of_mode =
            |mode: Mode| self.open.iter().filter(move |open| open.mode == mode).map(|open| open.etsn);
        let macs = self.macs();
        let etsn = match &filled.mac_field {
            Some(field) => {
                let field = MacField::parse(&field.text()).unwrap();
                assert!(field.names(MERCHANT_NAME) && field.origin() == ORIGIN);
                let open = of_mode(Mode::Field).map(|open| (open.etsn, open.version));
                macs.find_field(open, &field, &purchase())
            }
            None => {
                let open: Vec<OpenEtsn> = of_mode(Mode::Expiry).collect();
                macs.expiry_macs().find(open.iter().copied(), filled.expiry)
            }
        }?;
        self.open.retain(|open| open.etsn.etsn != etsn);
        Some(etsn)
    }
}

impl Site {
    /// With one card of each kind.
    pub(crate) fn new() -> Self {
        let pseudo = PseudoPan::from_pan(Pan::parse(PSEUDO).unwrap()).unwrap();
        let cards = vec![
            SiteCard::new("num_1", CardNumber::Pseudo(pseudo)),
            SiteCard::new("num_2", CardNumber::Real(Pan::parse(OWN).unwrap())),
        ];
        let (fates, sent) = (VecDeque::new(), Vec::new());
        Self { cards, fates, tamper: None, sent, random: Counting(100) }
    }

    pub(crate) fn card(&mut self, id: &CardId) -> &mut SiteCard {
        self.cards.iter_mut().find(|card| &card.id == id).unwrap()
    }
}

impl Server for Site {
    fn enrol(&mut self, id: &CardId, point: &Point) -> Result<Package, ServerError> {
        let half = Half::draw(&mut self.random).unwrap();
        let card = self.card(id);
        let own_point = half.point();
        let enrolled = half.wrap(point, &card.number, &card.derived).unwrap();
        card.share = enrolled.share;
        Ok(Package {
            number: card.number.pan().clone(),
            own: matches!(card.number, CardNumber::Real(_)),
            expiry: card.expiry,
            point: own_point,
            wrapped: enrolled.wrapped,
            last_tsn: card.last_tsn,
            versions: card.versions,
            origin: card.origin,
        })
    }

    fn verify(&mut self, asked: &Asked) -> Result<SignedAnswer, ServerError> {
        let lost = || ServerError::Lost("it was to be".to_owned());
        self.sent.push((asked.card().clone(), asked.request().tsn));
        let fate = self.fates.pop_front().unwrap_or(Fate::Arrives);
        if fate == Fate::RequestLost {
            return Err(lost());
        }
        let tamper = self.tamper;
        let card = self.card(asked.card());
        assert_eq!(asked.number(), card.number.pan());
        let macs = card.macs();
        let standing = CardStanding { expiry: card.expiry, last_tsn: card.last_tsn, versions: card.versions };
        let request = asked.request().verify(&macs, &standing).map_err(|_| ServerError::Refused)?;
        card.last_tsn = request.tsn();
        let reference =
            ReferenceData::new(MonthIndex::new(2026, 1).unwrap(), Months::new(60).unwrap()).unwrap();
        if card.open.len() >= OPEN_MAX {
            // They have an end; here it is when room is needed.
            card.open.remove(0);
        }
        let of_etsn = |etsn| OpenEtsn { etsn, version: request.version(), reference };
        let mode = asked.order().mode();
        let etsn = match mode {
            Mode::Field => issue_for_field(card.last_etsn, &request, card.open.len()).unwrap(),
            Mode::Expiry => {
                let expiry_macs = macs.expiry_macs();
                let open: Vec<_> = card.open.iter().filter(|open| open.mode == mode).collect();
                let open: Vec<_> = open.iter().map(|open| expiry_macs.expiry(&open.etsn)).collect();
                issue(card.last_etsn, &request, &open, |etsn| expiry_macs.expiry(&of_etsn(etsn)))
                    .unwrap()
                    .etsn
            }
        };
        card.last_etsn = etsn;
        card.open.push(SiteEtsn { etsn: of_etsn(etsn), mode });
        let wish = asked.order().wish();
        let answer = Answer {
            tsn: request.tsn(),
            etsn,
            reference,
            expires_unix_s: 1_900_000_000,
            cap: wish.amount,
            merchant: wish.merchant,
        };
        let mut signed = SignedAnswer { mac: *macs.response(&answer).expose(), answer };
        if let Some(tamper) = tamper {
            tamper(&mut signed);
        }
        if fate == Fate::AnswerLost { Err(lost()) } else { Ok(signed) }
    }

    fn last_tsn(&mut self, id: &CardId, nonce: &[u8; 16]) -> Result<LastTsn, ServerError> {
        let card = self.card(id);
        Ok(LastTsn { tsn: card.last_tsn, mac: *card.macs().last_tsn(nonce, card.last_tsn).expose() })
    }
}

/// Keeps the text of a wallet's file.
pub(crate) struct Kept {
    vault: Vault,
    pub(crate) text: String,
    pub(crate) saves: usize,
    /// Whether it fails.
    pub(crate) broken: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

pub(crate) fn passphrase() -> Passphrase {
    Passphrase::new(PASSPHRASE).unwrap()
}

impl Kept {
    pub(crate) fn new() -> Self {
        let vault = Vault::new(&passphrase(), PassphraseCost::MIN, &mut Counting(0)).unwrap();
        Self { vault, text: String::new(), saves: 0, broken: false }
    }

    /// The wallet as it was kept last.
    pub(crate) fn load(&self) -> Wallet {
        Vault::open(self.text.as_bytes(), &passphrase()).unwrap().1
    }
}

impl Store for Kept {
    type Error = Broken;

    fn save(&mut self, wallet: &Wallet) -> Result<(), Broken> {
        if self.broken {
            return Err(Broken);
        }
        self.saves += 1;
        self.text = self.vault.seal(wallet, &mut Counting(self.saves as u8)).unwrap();
        Ok(())
    }
}

/// A wallet with both cards of a site.
pub(crate) fn enrolled(site: &mut Site) -> (Wallet, Kept) {
    let (mut wallet, mut kept) = (Wallet::new("https://issuer.example"), Kept::new());
    let mut random = Counting(1);
    for name in ["num_1", "num_2"] {
        mayfly_wallet::enrol(&mut wallet, &id(name), site, &mut kept, &mut random).unwrap();
    }
    (wallet, kept)
}
