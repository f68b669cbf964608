//! A cash register: makes the messages of purchases and of what comes after them.

use jiff::{Timestamp, tz::TimeZone};
use mayfly_card::{
    AcquirerId, Country, Currency, Expiry, Mcc, MerchantId, MinorUnits, Pan, PosEntryMode, TerminalId,
};
use mayfly_iso8583::{De, MessageBuilder, Mti, OriginalData, ReplacementAmounts};
use zeroize::Zeroizing;

/// The sub-element of DE 48 that carries the CVC2.
const CVC2: u8 = 92;

/// Processing codes (DE 3).
const PURCHASE: &str = "000000";
const REFUND: &str = "200000";

/// A card number with what is printed beside it.
#[derive(Clone, Debug)]
pub struct Card {
    /// The number.
    pub pan: Pan,
    /// The expiration date.
    pub expiry: Expiry,
    /// The CVC2, if it is to be sent.
    pub cvc2: Option<Zeroizing<String>>,
}

/// Who asks for the money, and where.
#[derive(Clone, Copy, Debug)]
pub struct Acceptor {
    /// DE 32.
    pub acquirer: AcquirerId,
    /// DE 41.
    pub terminal: TerminalId,
    /// DE 42.
    pub merchant: MerchantId,
    /// DE 18.
    pub mcc: Mcc,
    /// DE 19.
    pub country: Country,
    /// DE 22.
    pub entry_mode: PosEntryMode,
    /// DE 49.
    pub currency: Currency,
}

impl Acceptor {
    /// A web shop in the United States, by this name in DE 42. None if that is too long or not printable.
    pub fn web_shop(merchant: &str) -> Option<Self> {
        Some(Self {
            acquirer: AcquirerId::parse("400001").ok()?,
            terminal: TerminalId::parse("WEB00001").ok()?,
            merchant: MerchantId::parse(merchant).ok()?,
            mcc: Mcc::from_value(5999)?,
            country: Country::from_value(840)?,
            entry_mode: PosEntryMode::parse("812").ok()?,
            currency: Currency::from_number(840)?,
        })
    }
}

/// Makes messages, each with the next STAN, and each purchase with the next retrieval reference number.
///
/// Times are milliseconds since 1970 (UTC), which is also taken for the local time.
#[derive(Clone, Debug)]
pub struct Register {
    /// Who asks. It may be changed between messages.
    pub acceptor: Acceptor,
    stan: u32,
    rrn: u64,
}

impl Register {
    /// One whose counters stand at zero.
    pub fn new(acceptor: Acceptor) -> Self {
        Self::starting_at(acceptor, 0, 0)
    }

    /// One whose counters stand there: two that work at the same time must not give the same reference twice.
    pub fn starting_at(acceptor: Acceptor, stan: u32, rrn: u64) -> Self {
        Self { acceptor, stan: stan % 1_000_000, rrn: rrn % 1_000_000_000_000 }
    }

    /// An authorisation request (0100). Of nothing it is an account check.
    pub fn authorisation(&mut self, at_ms: u64, card: &Card, amount: MinorUnits) -> MessageBuilder {
        self.about_a_card(Mti::AUTHORISATION_REQUEST, PURCHASE, at_ms, card, amount)
    }

    /// A financial request (0200): authorised and captured at once.
    pub fn sale(&mut self, at_ms: u64, card: &Card, amount: MinorUnits) -> MessageBuilder {
        self.about_a_card(Mti::FINANCIAL_REQUEST, PURCHASE, at_ms, card, amount)
    }

    /// An authorisation advice (0120): somebody else has authorised it, or with another code than 00 declined.
    pub fn advice(&mut self, at_ms: u64, card: &Card, amount: MinorUnits, code: &str) -> MessageBuilder {
        let mut message = self.about_a_card(Mti::AUTHORISATION_ADVICE, PURCHASE, at_ms, card, amount);
        message.set(De::RESPONSE_CODE, code);
        message
    }

    /// A refund (0200) that names no purchase.
    pub fn refund_of_card(&mut self, at_ms: u64, card: &Card, amount: MinorUnits) -> MessageBuilder {
        self.about_a_card(Mti::FINANCIAL_REQUEST, REFUND, at_ms, card, amount)
    }

    /// A refund (0200) of a purchase, or a part of it.
    pub fn refund(&mut self, at_ms: u64, purchase: &MessageBuilder, amount: MinorUnits) -> MessageBuilder {
        let mut message = self.about(purchase, Mti::FINANCIAL_REQUEST, at_ms, amount);
        message.set(De::PROCESSING_CODE, REFUND);
        message
    }

    /// A completion (0220): an authorised purchase, or a part of it, is charged.
    pub fn completion(
        &mut self,
        at_ms: u64,
        purchase: &MessageBuilder,
        amount: MinorUnits,
    ) -> MessageBuilder {
        self.about(purchase, Mti::FINANCIAL_ADVICE, at_ms, amount)
    }

    /// An incremental authorisation (0100): more for a purchase that was approved by this answer.
    pub fn increment(
        &mut self,
        at_ms: u64,
        purchase: &MessageBuilder,
        approved: &MessageBuilder,
        amount: MinorUnits,
    ) -> MessageBuilder {
        let mut message = self.about(purchase, Mti::AUTHORISATION_REQUEST, at_ms, amount);
        if let Some(approval) = approved.text(De::APPROVAL_CODE) {
            message.set(De::APPROVAL_CODE, approval);
        }
        message
    }

    /// A reversal (0400) of a message; a partial one if something of it stays.
    pub fn reversal(
        &mut self,
        at_ms: u64,
        original: &MessageBuilder,
        stays: Option<MinorUnits>,
    ) -> MessageBuilder {
        let amount = original.text(De::AMOUNT).and_then(|text| MinorUnits::parse(text).ok());
        let mut message = self.about(original, Mti::REVERSAL_REQUEST, at_ms, amount.unwrap_or_default());
        let number = |element| original.text(element).and_then(|text| text.parse().ok()).unwrap_or(0);
        // A STAN has six digits.
        let stan = number(De::STAN) as u32;
        let named =
            OriginalData::new(original.mti(), stan, number(De::TRANSMISSION_TIME), number(De::ACQUIRER), 0);
        // What was in the original's own elements fits into DE 90.
        if let Ok(named) = named {
            message.set(De::ORIGINAL_DATA, &named.to_string());
        }
        if let Some(Ok(amounts)) = stays.map(|stays| ReplacementAmounts::new(stays.value(), 0, 0, 0)) {
            message.set(De::REPLACEMENT_AMOUNTS, &amounts.to_string());
        }
        message
    }

    /// The same message once more, marked as a repeat (0101, 0401, …).
    pub fn repeat(&self, message: &MessageBuilder) -> MessageBuilder {
        let mut repeat = message.clone();
        repeat.set_mti(message.mti().with_repeat());
        repeat
    }

    /// A sign-on (0800, 001).
    pub fn sign_on(&mut self, at_ms: u64) -> MessageBuilder {
        self.management(at_ms, "001")
    }

    /// A sign-off (0800, 002).
    pub fn sign_off(&mut self, at_ms: u64) -> MessageBuilder {
        self.management(at_ms, "002")
    }

    /// An echo test (0800, 301).
    pub fn echo(&mut self, at_ms: u64) -> MessageBuilder {
        self.management(at_ms, "301")
    }

    fn management(&mut self, at_ms: u64, code: &str) -> MessageBuilder {
        let mut message = MessageBuilder::new(Mti::NETWORK_REQUEST);
        self.stamp(&mut message, at_ms);
        message.set(De::NETWORK_CODE, code);
        message
    }

    fn about_a_card(
        &mut self,
        mti: Mti,
        processing: &str,
        at_ms: u64,
        card: &Card,
        amount: MinorUnits,
    ) -> MessageBuilder {
        let acceptor = self.acceptor;
        let mut message = MessageBuilder::new(mti);
        let time = self.stamp(&mut message, at_ms);
        let (date, time) = time.split_at(4);
        self.rrn = (self.rrn + 1) % 1_000_000_000_000;
        message
            .set(De::PAN, card.pan.as_str())
            .set(De::PROCESSING_CODE, processing)
            .set_number(De::AMOUNT, amount.value())
            .set(De::LOCAL_TIME, time)
            .set(De::LOCAL_DATE, date)
            .set(De::EXPIRATION_DATE, &card.expiry.yymm())
            .set(De::MCC, &acceptor.mcc.to_string())
            .set(De::ACQUIRER_COUNTRY, &acceptor.country.to_string())
            .set_number(De::POS_ENTRY_MODE, acceptor.entry_mode.value().into())
            .set(De::ACQUIRER, acceptor.acquirer.as_str())
            .set(De::RRN, &format!("{:012}", self.rrn))
            .set(De::TERMINAL, acceptor.terminal.as_str())
            .set(De::CARD_ACCEPTOR, acceptor.merchant.as_str())
            .set(De::CURRENCY, &format!("{:03}", acceptor.currency.number()));
        if let Some(cvc2) = &card.cvc2 {
            // What is no CVC2 can be sent too, as long as it is printable.
            let _ = message.set_sub_elements(De::ADDITIONAL_DATA, &[(CVC2, cvc2)]);
        }
        message
    }

    /// A message about an earlier one: the same number, merchant and reference, and no CVC2, because nobody may
    /// keep that.
    fn about(
        &mut self,
        earlier: &MessageBuilder,
        mti: Mti,
        at_ms: u64,
        amount: MinorUnits,
    ) -> MessageBuilder {
        let mut message = earlier.clone();
        message.set_mti(mti).set_number(De::AMOUNT, amount.value()).remove(De::ADDITIONAL_DATA);
        self.stamp(&mut message, at_ms);
        message
    }

    /// Gives a message its own STAN and transmission time, and says that as MMDDhhmmss.
    fn stamp(&mut self, message: &mut MessageBuilder, at_ms: u64) -> String {
        // Zero stands for an unknown STAN.
        self.stan = self.stan % 999_999 + 1;
        let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let time = at.unwrap_or(Timestamp::MAX).to_zoned(TimeZone::UTC).strftime("%m%d%H%M%S").to_string();
        message.set_number(De::STAN, self.stan.into()).set(De::TRANSMISSION_TIME, &time);
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2023-11-14 22:13:20 UTC.
    const AT_MS: u64 = 1_700_000_000_000;

    fn register() -> Register {
        Register::starting_at(Acceptor::web_shop("SHOP").unwrap(), 999_998, 41)
    }

    fn card() -> Card {
        Card {
            pan: Pan::parse("4569409360110520").unwrap(),
            expiry: Expiry::parse_yymm("2912").unwrap(),
            cvc2: Some(Zeroizing::new("123".into())),
        }
    }

    fn amount(minor: u64) -> MinorUnits {
        MinorUnits::new(minor).unwrap()
    }

    #[test]
    fn counters_and_times() {
        let mut register = register();
        let first = register.authorisation(AT_MS, &card(), amount(2498));
        let second = register.sale(AT_MS, &card(), amount(2498));
        for (element, content) in [
            (De::STAN, "999999"),
            (De::RRN, "000000000042"),
            (De::TRANSMISSION_TIME, "1114221320"),
            (De::LOCAL_DATE, "1114"),
            (De::LOCAL_TIME, "221320"),
            (De::ADDITIONAL_DATA, "9203123"),
        ] {
            assert_eq!(first.text(element), Some(content), "{element}");
        }
        assert_eq!((second.text(De::STAN), second.text(De::RRN)), (Some("1"), Some("000000000043")));
    }

    #[test]
    fn what_comes_after_keeps_reference_and_drops_the_code() {
        let mut register = register();
        let purchase = register.authorisation(AT_MS, &card(), amount(2498));
        let reversal = register.reversal(AT_MS + 1000, &purchase, Some(amount(1000)));
        assert_eq!(reversal.text(De::RRN), purchase.text(De::RRN));
        assert!(!reversal.has(De::ADDITIONAL_DATA));
        assert_eq!(reversal.text(De::TRANSMISSION_TIME), Some("1114221321"));
        assert_eq!(reversal.text(De::ORIGINAL_DATA), Some("010099999911142213200000040000100000000000"));
        assert_eq!(
            reversal.text(De::REPLACEMENT_AMOUNTS),
            Some("000000001000000000000000000000000000000000")
        );
        assert_eq!(register.repeat(&purchase).mti().as_str(), "0101");
        assert_eq!(register.refund(AT_MS, &purchase, amount(1)).text(De::PROCESSING_CODE), Some("200000"));
    }
}
