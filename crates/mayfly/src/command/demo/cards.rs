//! What is played with cards of the check site: a fixed number, a date or a MAC for one purchase, and a bank that is asked for
//! the money under the real number.

#![allow(clippy::inconsistent_digit_grouping, reason = "cents stand apart from dollars")]

use std::time::{Duration, Instant};

use mayfly_card::{Currency, Expiry, MerchantId, MonthIndex, Pan, Prefix};
use mayfly_core::{AccountId, IssuerId, ProgrammeId};
use mayfly_iso8583::{De, MessageBuilder, Mti};
use mayfly_lab::Card;
use mayfly_lab::issuer::{Balance, Fault};
use mayfly_server::protocol::{
    AccountLimit, AdminRequest, CardKind, CheckSite, IssuerHostStatus, OpenProgramme, TermsAsked,
};
use mayfly_wallet::{Filled, Form, Wish};

use super::bank::Bank;
use super::phone::{Phone, as_printed, in_the_form, said};
use super::script::{Stage, name};
use super::till::{minor, now_ms, with_wrong_date};
use crate::admin::{Admin, answered};
use crate::failure::{Failure, Outcome};

/// What each account has at the bank at the beginning.
pub(crate) const FUNDS: u64 = 1_000_00;
/// Dora's own number: the check site has another one in its place.
const DORAS_PAYLOAD: &str = "541234567890123";
/// The BIN of the pseudo numbers.
const PSEUDO_PREFIX: &str = "545454";
/// The special BIN, whose numbers are cards' own.
const SPECIAL_PREFIX: &str = "546464";
/// Evan's own number, and the one that shops get.
const EVANS_PAYLOAD: &str = "546464000000001";
/// How long the cards are good.
const MONTHS_GOOD: u16 = 20;
/// The sub-element of DE 48 that carries the MAC field.
const MAC_FIELD: u8 = 43;
/// How long a purchase waits for the bank that will not answer.
const SHORT_WAIT_MS: u32 = 300;
/// How long it waits otherwise.
const WAIT_MS: u32 = 5_000;
/// How long what follows an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
const SHOP: &str = "CITY-SHOES";

/// A cardholder whose bank has the money.
pub(crate) struct Holder {
    pub(crate) name: &'static str,
    pub(crate) account: AccountId,
    pub(crate) programme: ProgrammeId,
    /// The number that the bank knows the account by.
    pub(crate) own: Pan,
    pub(crate) expiry: Expiry,
}

/// Whoever takes part.
pub(crate) struct Holders {
    pub(crate) issuer: IssuerId,
    /// Shops get another number.
    pub(crate) dora: Holder,
    /// Shops get his own, on the special BIN.
    pub(crate) evan: Holder,
}

impl Holders {
    pub(crate) fn all(&self) -> [&Holder; 2] {
        [&self.dora, &self.evan]
    }
}

/// Opens an issuer with two programmes, and in each an account whose money is at the bank.
pub(crate) fn set_up(admin: &mut Admin, currency: Currency) -> Outcome<Holders> {
    let issuer = AdminRequest::OpenIssuer { name: name("City Bank")? };
    let issuer = answered!(admin.ask(issuer)?, Issuer)?.id;
    let month = MonthIndex::of_unix_ms(now_ms()).plus(MONTHS_GOOD);
    let expiry = Expiry::from(month.ok_or_else(|| Failure::Refused("the clock is beyond all dates".into()))?);
    let mut holder = |who, programme: &str, prefix: &str, numbers, payload: &str| -> Outcome<Holder> {
        let wrong = |error: &dyn std::fmt::Display| Failure::Refused(error.to_string());
        let mut terms = TermsAsked::standard(Prefix::parse(prefix).map_err(|error| wrong(&error))?);
        terms.check_site = Some(Box::new(CheckSite { numbers, ..CheckSite::default() }));
        let programme = OpenProgramme { issuer, name: name(programme)?, terms, universal: None };
        let programme = AdminRequest::OpenProgramme(Box::new(programme));
        let account = AdminRequest::OpenAccount { issuer, currency, limit: AccountLimit::IssuerHost };
        Ok(Holder {
            name: who,
            programme: answered!(admin.ask(programme)?, Programme)?.id,
            account: answered!(admin.ask(account)?, Account)?.id,
            own: Pan::with_check_digit(payload).map_err(|error| wrong(&error))?,
            expiry,
        })
    };
    let dora = holder("Dora", "Pseudo numbers", PSEUDO_PREFIX, CardKind::Pseudo, DORAS_PAYLOAD)?;
    let evan = holder("Evan", "Cards on a special BIN", SPECIAL_PREFIX, CardKind::Own, EVANS_PAYLOAD)?;
    Ok(Holders { issuer, dora, evan })
}

/// What is played: the stage, and who comes onto it.
pub(crate) struct Play<'a> {
    pub(crate) stage: &'a mut Stage,
    pub(crate) bank: &'a mut Bank,
    pub(crate) holders: &'a Holders,
    pub(crate) currency: Currency,
    pub(crate) dora: Phone,
    pub(crate) evan: Phone,
}

impl Play<'_> {
    /// Plays everything.
    pub(crate) fn play(&mut self) -> Outcome {
        self.stage.act("fixed numbers: a proof for each purchase, and a bank that has the money")?;
        self.a_date_for_one_purchase()?;
        self.guesses()?;
        self.his_own_number()?;
        self.a_field_for_the_mac()?;
        self.the_banks_word()?;
        self.a_silent_bank()?;
        until("the bank has acknowledged everything", || Ok(self.link()?.owed == 0))
    }

    /// A pseudo number with a date that is good for one purchase. The bank hears of the real ones, the shop never does.
    fn a_date_for_one_purchase(&mut self) -> Outcome {
        let filled = self.dora_asks(24_98)?;
        let dora = &self.holders.dora;
        let (own, expiry) = (dora.own.clone(), dora.expiry);
        let card = in_the_form(&filled);
        let purchase = self.at_shop(&card, 24_98)?;
        let exchange = self.stage.step(
            "Dora pays with a pseudo number and a date for this purchase",
            "00",
            &purchase,
        )?;
        let shown = |message: &MessageBuilder| holds(message, own.as_str());
        self.stage.report.require(
            "the shop never sees her number",
            !shown(&purchase)
                && !shown(&exchange.said)
                && exchange.said.text(De::PAN) == Some(card.pan.as_str()),
        );
        self.asked_about(&own, expiry, 24_98)?;
        let again = self.at_shop(&card, 24_98)?;
        self.stage.step("somebody uses the same number and date again", "05", &again)?;
        self.not_asked()?;
        let completion = self.stage.till.register.completion(now_ms(), &purchase, minor(24_98));
        self.stage.step("the shop sends the shoes, and charges them", "00", &completion)?;
        let charged = Balance { booked: FUNDS.cast_signed() - 24_98, held: 0 };
        until("24.98 are taken at the bank", || Ok(self.bank.balance(&own) == charged))?;
        let told = self.heard()?;
        let is_told = matches!(&told[..], [one] if one.mti() == Mti::FINANCIAL_ADVICE && one.text(De::PAN) == Some(own.as_str()));
        self.stage.report.require("her bank is told, under her number", is_told);
        Ok(())
    }

    /// Three wrong dates while a purchase is expected lock the card, also for who has the right one; until its holder unlocks it.
    fn guesses(&mut self) -> Outcome {
        let filled = self.dora_asks(60_00)?;
        let right = in_the_form(&filled);
        let mut guess = right.clone();
        for title in ["a thief guesses a date", "and another one", "and a third one: the card is locked"] {
            guess = with_wrong_date(&guess);
            let wrong = self.at_shop(&guess, 60_00)?;
            self.stage.step(title, "05", &wrong)?;
            self.not_asked()?;
        }
        let locked = self.dora.ask(self.wish(60_00), Form::default())?.is_err();
        self.stage.report.require("the check site gives her no date any more", locked);
        let purchase = self.at_shop(&right, 60_00)?;
        self.stage.step("not even the right date counts now", "05", &purchase)?;
        self.not_asked()?;
        let status = self.dora.unlock()?;
        let filled = self.dora_asks(60_00)?;
        let purchase = self.at_shop(&in_the_form(&filled), 60_00)?;
        self.stage.step("Dora unlocks her card, asks for a new date, and buys", "00", &purchase)?;
        self.stage.report.require("she did so herself", status == "active");
        self.asked_about_dora(60_00)
    }

    /// The number is the card's own; the date that stands on the card proves nothing.
    fn his_own_number(&mut self) -> Outcome {
        let evan = &self.holders.evan;
        let (own, expiry) = (evan.own.clone(), evan.expiry);
        let wish = self.wish(35_00);
        let filled = self.evan.ask(wish, Form::default())?.map_err(said)?;
        let purchase = self.at_shop(&in_the_form(&filled), 35_00)?;
        self.stage.step("Evan pays with his own number and a date for this purchase", "00", &purchase)?;
        self.stage.report.require("the number is the card's own, on a special BIN", filled.number == own);
        self.asked_about(&own, expiry, 35_00)?;
        let printed = self.at_shop(&as_printed(&own, expiry), 35_00)?;
        self.stage.step("his number with the date that is printed on the card", "05", &printed)?;
        self.not_asked()
    }

    /// Where the shop's form has a field for it, the MAC goes there, and covers shop and amount.
    fn a_field_for_the_mac(&mut self) -> Outcome {
        let merchant = MerchantId::parse("CAMERAS").ok();
        let wish = Wish { merchant, merchant_name: Some("Cameras & More".into()), ..self.wish(120_00) };
        let filled = self.dora.ask(wish, Form { mac_field: true })?.map_err(said)?;
        let dearer = self.with_field("CAMERAS", &filled, 119_99)?;
        self.stage.step("a MAC field, and another amount than it was made for", "05", &dearer)?;
        self.not_asked()?;
        let elsewhere = self.with_field("CAMERA-PIRATE", &filled, 120_00)?;
        self.stage.step("the same MAC at another shop", "05", &elsewhere)?;
        self.not_asked()?;
        let purchase = self.with_field("CAMERAS", &filled, 120_00)?;
        self.stage.step("Dora pays with the MAC in the shop's field for it", "00", &purchase)?;
        let expiry = self.holders.dora.expiry;
        self.stage
            .report
            .require("the date is the card's own, and the MAC the proof", filled.expiry == expiry);
        self.asked_about_dora(120_00)
    }

    /// What the bank says, the shop hears.
    fn the_banks_word(&mut self) -> Outcome {
        let filled = self.dora_asks(5_000_00)?;
        let too_much = self.at_shop(&in_the_form(&filled), 5_000_00)?;
        self.stage.step("more than Dora has: her bank says so", "51", &too_much)?;
        self.asked_about_dora(5_000_00)?;
        let filled = self.dora_asks(10_00)?;
        self.bank.next(Fault::Say(*b"N7"));
        let declined = self.at_shop(&in_the_form(&filled), 10_00)?;
        self.stage.step("her bank declines with a code of its own: it is passed on", "N7", &declined)?;
        self.asked_about_dora(10_00)
    }

    /// A bank that does not answer may have booked. The shop hears 91, and the bank a reversal until it acknowledges it.
    fn a_silent_bank(&mut self) -> Outcome {
        let before = self.bank.balance(&self.holders.dora.own);
        let filled = self.dora_asks(70_00)?;
        self.wait_for_the_bank(SHORT_WAIT_MS)?;
        self.bank.next(Fault::Silent);
        let purchase = self.at_shop(&in_the_form(&filled), 70_00)?;
        self.stage.step("her bank books and does not answer", "91", &purchase)?;
        until("the bank acknowledges the reversal", || {
            Ok(self.link()?.owed == 0 && self.bank.balance(&self.holders.dora.own) == before)
        })?;
        let heard: Vec<Mti> = self.heard()?.iter().map(MessageBuilder::mti).collect();
        let reversed =
            heard.first() == Some(&Mti::AUTHORISATION_REQUEST) && heard.get(1) == Some(&Mti::REVERSAL_ADVICE);
        self.stage.report.require("it is told to reverse, and acknowledges", reversed);
        self.stage
            .report
            .require("she has what she had", self.bank.balance(&self.holders.dora.own) == before);
        self.wait_for_the_bank(WAIT_MS)
    }

    fn wish(&self, amount: u64) -> Wish {
        Wish { amount: Some((minor(amount), self.currency)), ..Wish::default() }
    }

    fn dora_asks(&mut self, amount: u64) -> Outcome<Filled> {
        let wish = self.wish(amount);
        self.dora.ask(wish, Form::default())?.map_err(said)
    }

    fn at_shop(&mut self, card: &Card, amount: u64) -> Outcome<MessageBuilder> {
        Ok(self.stage.till.at(SHOP)?.authorisation(now_ms(), card, minor(amount)))
    }

    fn with_field(&mut self, shop: &str, filled: &Filled, amount: u64) -> Outcome<MessageBuilder> {
        let none = || Failure::Refused("the wallet made no MAC field".into());
        let text = zeroize::Zeroizing::new(filled.mac_field.as_ref().ok_or_else(none)?.text());
        let text = std::str::from_utf8(&*text).map_err(|_| none())?;
        let mut message =
            self.stage.till.at(shop)?.authorisation(now_ms(), &in_the_form(filled), minor(amount));
        let set = message.set_sub_elements(De::ADDITIONAL_DATA, &[(MAC_FIELD, text)]);
        set.map_err(|error| Failure::Refused(error.to_string()))?;
        Ok(message)
    }

    /// What the bank has heard since; it is told with the last step.
    fn heard(&mut self) -> Outcome<Vec<MessageBuilder>> {
        let heard = self.bank.heard();
        for message in &heard {
            self.stage.report.host_heard(self.stage.till.view(message)?);
        }
        Ok(heard)
    }

    fn not_asked(&mut self) -> Outcome {
        let heard = self.heard()?;
        self.stage.report.require("the bank hears nothing of it", heard.is_empty());
        Ok(())
    }

    fn asked_about_dora(&mut self, amount: u64) -> Outcome {
        let dora = &self.holders.dora;
        self.asked_about(&dora.own.clone(), dora.expiry, amount)
    }

    fn asked_about(&mut self, own: &Pan, expiry: Expiry, amount: u64) -> Outcome {
        let heard = self.heard()?;
        let is_asked = matches!(&heard[..], [one] if one.mti() == Mti::AUTHORISATION_REQUEST
            && one.text(De::PAN) == Some(own.as_str())
            && one.text(De::EXPIRATION_DATE) == Some(&*expiry.yymm())
            && one.text(De::AMOUNT).and_then(|text| text.parse().ok()) == Some(amount));
        self.stage.report.require("the bank is asked, with the real number and date", is_asked);
        Ok(())
    }

    fn wait_for_the_bank(&mut self, wait_ms: u32) -> Outcome {
        let set = AdminRequest::SetHost { issuer: self.holders.issuer, wait_ms, stand_in_max_minor: 0 };
        answered!(self.stage.admin.ask(set)?, Issuer).map(|_| ())
    }

    fn link(&mut self) -> Outcome<IssuerHostStatus> {
        link(&mut self.stage.admin)
    }
}

/// How it is with the link to the bank.
fn link(admin: &mut Admin) -> Outcome<IssuerHostStatus> {
    let status = answered!(admin.ask(AdminRequest::Status {})?, Status)?;
    let link = status.issuer_hosts.into_iter().next();
    link.ok_or_else(|| Failure::Refused("the server knows of no issuer host".into()))
}

/// Waits until the bank can be asked.
pub(crate) fn until_in_service(admin: &mut Admin) -> Outcome {
    until("the link to the bank is signed on", || {
        let link = link(admin)?;
        Ok(link.in_service == link.connections)
    })
}

/// Looks until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> Outcome<bool>) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > deadline {
            return Err(Failure::Unreachable(format!("waited in vain until {what}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Whether a number stands anywhere in a message.
fn holds(message: &MessageBuilder, number: &str) -> bool {
    message
        .elements()
        .into_iter()
        .any(|element| message.text(element).is_some_and(|text| text.contains(number)))
}
