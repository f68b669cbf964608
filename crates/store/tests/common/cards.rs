//! Cards of the check site and accounts whose money is with an issuer host, in the small world.

use mayfly_card::{ApprovalCode, MerchantId, MinorUnits, MonthIndex, Prefix};
use mayfly_core::scheme::dynamic::{DynamicTerms, MISSES_KEPT_MS, Proof};
use mayfly_core::state::Card;
use mayfly_core::{
    CardRef, Command, CreditLimit, EtsnOpened, HostAnswer, HostTerms, IssuerId, MessageKind, Name, NumberRef,
    Operation, ResponseCode, Scheme, State, Terms, Word,
};
use mayfly_dynamic::{AppVersion, Etsn, Mode, Months, ReferenceData, RequestRefusal, Tsn};
use mayfly_keys::NumberIndex;

use super::{DAY_MS, Play, usd};

/// What of a card changes decisions at that time: what is over is dropped from memory when something else happens to it.
pub(crate) fn counts(card: &Card, now_ms: u64) -> Option<Card> {
    let mut card = card.clone();
    card.open.retain(|open| now_ms < open.expires_ms);
    card.misses_ms.retain(|at_ms| now_ms < at_ms + MISSES_KEPT_MS);
    (card != Card::default()).then_some(card)
}

/// Cards are as they were, as far as they count at the time of whatever happened last in any partition.
pub(crate) fn assert_cards(loaded: &State, decided: &State, now_ms: u64) {
    let count = |state: &State| state.cards.iter().filter_map(|(_, card)| counts(card, now_ms)).count();
    assert_eq!(count(loaded), count(decided));
    for (index, card) in decided.cards.iter() {
        let found = loaded.cards.find(index).and_then(|card| counts(card, now_ms));
        assert_eq!(found, counts(card, now_ms), "{index}");
    }
}

impl Play {
    /// A third issuer, whose numbers are cards, and accounts that issuer hosts fund.
    pub(super) fn open_check_site(&mut self) {
        let issuer = IssuerId(3);
        self.operate(Operation::OpenIssuer { name: Name::parse("East").unwrap() });
        let standard = Terms::standard(Prefix::parse("400000").unwrap(), mayfly_card::Layout::DEFAULT);
        let terms = Terms {
            scheme: Scheme::Dynamic(Box::new(DynamicTerms {
                cap_required: false,
                misses_max: 2,
                ..DynamicTerms::standard()
            })),
            lifetime_ms: 60 * DAY_MS,
            lifetime_max_ms: 60 * DAY_MS,
            ..standard
        };
        let name = Name::parse("Cards").unwrap();
        let opened = self.operate(Operation::OpenProgramme { issuer, name, terms });
        assert_eq!(opened, mayfly_core::Answer::Programme(mayfly_core::ProgrammeId(3)));
        let credit = CreditLimit::Credit(MinorUnits::new(5_000_000).unwrap());
        for (issuer, limit) in [
            (issuer, credit),
            (issuer, CreditLimit::IssuerHost),
            (issuer, credit),
            (IssuerId(1), CreditLimit::IssuerHost),
        ] {
            self.operate(Operation::OpenAccount { issuer, currency: usd(), limit });
        }
    }

    /// A card of a number, if it is one: as it is now.
    fn card(&self, index: NumberIndex) -> Option<Card> {
        let number = self.active(index)?;
        let state = self.partitions.get(number.id.partition())?;
        state.programme(number.programme)?.terms.scheme.dynamic()?;
        Some(state.cards.find(index).cloned().unwrap_or_default())
    }

    /// What a message with that number proves.
    pub(super) fn proof(&mut self, index: NumberIndex) -> Proof {
        let Some(card) = self.card(index) else { return Proof::NoKey };
        let mode = [Mode::Expiry, Mode::Field][self.draw(2) as usize];
        let fails = if card.misses_ms.is_empty() { 5 } else { 2 };
        if card.open.is_empty() || self.one_in(fails) {
            return if self.one_in(6) { Proof::NoKey } else { Proof::Missed(mode) };
        }
        let open = &card.open[self.draw(card.open.len() as u64) as usize];
        Proof::Of(open.etsn, open.mode)
    }

    /// Something that happens to a card besides purchases.
    pub(super) fn touch_card(&mut self) {
        if self.one_in(200) {
            let host = (!self.one_in(3)).then_some(HostTerms {
                wait_ms: 3000,
                stand_in_max: MinorUnits::new(self.draw(20_000)).unwrap(),
            });
            let issuer = IssuerId([1, 3][self.draw(2) as usize]);
            self.operate(Operation::SetHost { issuer, host });
        }
        let number = self.number();
        let Some(card) = self.card(number.index) else { return };
        let Some(account) = self.active(number.index).map(|number| number.account) else { return };
        let card_ref = CardRef { number, account };
        match self.draw(12) {
            0 => {
                let why = [RequestRefusal::Mac, RequestRefusal::TsnReplayed][self.draw(2) as usize];
                self.decide(&Command::RefuseRequest { card: card_ref, why });
            }
            1 | 2 if card.locked_ms.is_some() => {
                self.operate(Operation::UnlockCard { card: card_ref });
            }
            _ => self.open_etsn(card_ref, &card),
        }
        if self.one_in(2) {
            let amount = if self.one_in(5) { 0 } else { self.draw(20_000) };
            let message = MessageKind::Authorisation;
            let request = self.request(message, number, amount);
            self.message(request, number);
        }
    }

    pub(crate) fn open_etsn(&mut self, card: CardRef, before: &Card) {
        let month = MonthIndex::of_unix_ms(self.now_ms).plus(1).unwrap();
        let open = EtsnOpened {
            card,
            tsn: Tsn(before.last_tsn.0 + 1 + self.draw(3)),
            etsn: Etsn(before.last_etsn.0 + 1 + self.draw(3)),
            mode: [Mode::Expiry, Mode::Field][self.draw(2) as usize],
            version: AppVersion(1),
            reference: ReferenceData::new(month, Months::new(12 + self.draw(80) as u8).unwrap()).unwrap(),
            expires_ms: self.now_ms + [1000, 900_000, DAY_MS][self.draw(3) as usize],
            cap: self.one_in(2).then(|| (MinorUnits::new(15_000).unwrap(), usd())),
            merchant: self.one_in(4).then(|| MerchantId::parse("SHOP-1").unwrap()),
        };
        self.decide(&Command::OpenEtsn { open: Box::new(open), last: before.last_etsn });
    }

    /// What an issuer host says, or that it says nothing.
    pub(super) fn host_word(&mut self) -> Word {
        let code = ["00", "00", "00", "51", "1A", "1A", "ZZ", "ZZ"][self.draw(8) as usize];
        let approval = ["123456", "AB12C3", "00000Z"][self.draw(3) as usize];
        let answer = HostAnswer {
            response: ResponseCode::from_code(code).unwrap(),
            approval: (code == "00").then(|| ApprovalCode::parse(approval).unwrap()),
        };
        match self.draw(8) {
            0 => Word::Late,
            1 => Word::Unfinished,
            2 => Word::NotAsked,
            _ => Word::Host(answer),
        }
    }

    /// A number that is a card, of an account whose money is here.
    pub(crate) fn new_card(&mut self) -> NumberRef {
        loop {
            self.issue();
            let Some(last) = self.numbers.last().copied() else { continue };
            if self.card(last.index).is_some() {
                return last;
            }
        }
    }
}
