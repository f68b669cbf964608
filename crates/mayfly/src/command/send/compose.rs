//! Makes a message from what was asked on the command line.

use clap::{Args, ValueEnum};
use jiff::{Timestamp, tz::TimeZone};
use mayfly_card::{Country, Currency, Expiry, Mcc, Pan};
use mayfly_iso8583::{De, MessageBuilder, Mti, OriginalData, ReplacementAmounts, push_sub_element};
use zeroize::Zeroizing;

use super::card::{Card, CardArgs};
use crate::failure::{Failure, Outcome};
use crate::message_view::parse_mti;

/// DE 48, sub-element of the CVC2.
const CVC2_ID: u8 = 92;
/// And of the MAC field (AAV).
const AAV_ID: u8 = 43;

/// What kind of message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// 0100: may the cardholder? The amount is held
    Purchase,
    /// 0200: may he, and book it at once
    Financial,
    /// 0100 with no amount: is the number good? Uses nothing up
    Check,
    /// 0100 with a reference to an earlier one: more for the same purchase
    Increment,
    /// 0220: charge an authorised purchase, or a part of it
    Completion,
    /// 0120: a purchase that somebody else authorised
    Advice,
    /// 0200 with processing code 20: money back
    Refund,
    /// 0400: take a message back
    Reversal,
    /// 0420: say that a message was taken back
    ReversalAdvice,
    /// 0800: sign of life
    Echo,
    /// 0800: begin to send
    SignOn,
    /// 0800: cease to send
    SignOff,
}

/// The contents of a message.
#[derive(Debug, Args)]
pub(crate) struct Contents {
    /// What to send
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value = "purchase")]
    pub(crate) kind: Kind,
    #[command(flatten)]
    pub(crate) card: CardArgs,
    /// The amount, 24.98 for example
    #[arg(long, value_name = "AMOUNT")]
    amount: Option<String>,
    /// The currency of the amount
    #[arg(long, value_name = "LETTERS", default_value = "USD", value_parser = currency)]
    currency: Currency,
    /// In a partial reversal: the amount that stays (DE 95)
    #[arg(long, value_name = "AMOUNT")]
    remaining: Option<String>,
    /// The merchant (DE 42)
    #[arg(long, value_name = "ID", default_value = "MERCHANT-1")]
    merchant: String,
    /// The merchant's category (DE 18)
    #[arg(long, value_name = "DIGITS", default_value = "5999", value_parser = Mcc::parse)]
    mcc: Mcc,
    /// The acquirer's country, by its number (DE 19)
    #[arg(long, value_name = "DIGITS", default_value = "840", value_parser = Country::parse)]
    country: Country,
    /// The terminal (DE 41)
    #[arg(long, value_name = "ID", default_value = "TERM0001")]
    terminal: String,
    /// How the number was read (DE 22): 812 is e-commerce, 051 a chip
    #[arg(long, value_name = "DIGITS", default_value = "812")]
    entry_mode: String,
    /// The acquirer (DE 32)
    #[arg(long, value_name = "DIGITS", default_value = "400001")]
    acquirer: String,
    /// The retrieval reference number (DE 37): the same for all that belongs to one purchase
    #[arg(long, value_name = "TEXT")]
    rrn: Option<String>,
    /// The system trace audit number (DE 11)
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(0..=999_999))]
    stan: Option<u32>,
    /// When the message is sent (DE 7, 12, 13), in UTC; now, unless a repeat must look like its first
    #[arg(long, value_name = "MMDDhhmmss")]
    at: Option<String>,
    /// The approval code of what this is about (DE 38)
    #[arg(long, value_name = "DIGITS")]
    approval: Option<String>,
    /// Say that it was sent before (0101 for 0100, and so on)
    #[arg(long)]
    repeat: bool,
    /// Another message type than that of --type
    #[arg(long, value_name = "DIGITS", value_parser = parse_mti)]
    mti: Option<Mti>,
    #[command(flatten)]
    original: OriginalArgs,
    /// Set a data element as it is; with nothing after the = it is left out. May be given more than once
    #[arg(long = "de", value_name = "NUMBER=VALUE", value_parser = override_of)]
    overrides: Vec<(De, String)>,
}

/// The earlier message that this one is about (DE 90).
#[derive(Debug, Args)]
struct OriginalArgs {
    /// The earlier message's system trace audit number
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(0..=999_999))]
    original_stan: Option<u32>,
    /// The earlier message's type
    #[arg(long, value_name = "DIGITS", value_parser = parse_mti, default_value = "0100", requires = "original_stan")]
    original_mti: Mti,
    /// When the earlier message was sent (its DE 7)
    #[arg(long, value_name = "MMDDhhmmss", default_value_t = 0, requires = "original_stan")]
    original_time: u64,
    /// The earlier message's acquirer, if it is another than --acquirer
    #[arg(long, value_name = "DIGITS", requires = "original_stan")]
    original_acquirer: Option<u64>,
}

impl Contents {
    /// Whether a message of this kind has no number, amount or merchant.
    fn is_network_management(&self) -> bool {
        matches!(self.kind, Kind::Echo | Kind::SignOn | Kind::SignOff)
    }

    /// Whether the cardholder is there to type a CVC2 in.
    fn begins_a_purchase(&self) -> bool {
        matches!(self.kind, Kind::Purchase | Kind::Financial | Kind::Check | Kind::Advice)
    }

    /// The message. What a kind needs and was not given is said here.
    pub(crate) fn compose(&self) -> Outcome<MessageBuilder> {
        let mti = self.mti.unwrap_or(self.default_mti());
        let mut message = MessageBuilder::new(if self.repeat { mti.with_repeat() } else { mti });
        self.set_times(&mut message)?;
        if self.is_network_management() {
            message.set(
                De::NETWORK_CODE,
                match self.kind {
                    Kind::SignOn => "001",
                    Kind::SignOff => "002",
                    _ => "301",
                },
            );
        } else {
            self.set_card(&mut message)?;
            self.set_purchase(&mut message)?;
            self.set_original(&mut message)?;
        }
        for (element, value) in &self.overrides {
            if value.is_empty() {
                message.remove(*element)
            } else {
                message.set(*element, value)
            };
        }
        Ok(message)
    }

    fn default_mti(&self) -> Mti {
        match self.kind {
            Kind::Purchase | Kind::Check | Kind::Increment => Mti::AUTHORISATION_REQUEST,
            Kind::Financial | Kind::Refund => Mti::FINANCIAL_REQUEST,
            Kind::Completion => Mti::FINANCIAL_ADVICE,
            Kind::Advice => Mti::AUTHORISATION_ADVICE,
            Kind::Reversal => Mti::REVERSAL_REQUEST,
            Kind::ReversalAdvice => Mti::REVERSAL_ADVICE,
            Kind::Echo | Kind::SignOn | Kind::SignOff => Mti::NETWORK_REQUEST,
        }
    }

    fn set_times(&self, message: &mut MessageBuilder) -> Outcome {
        let now = Timestamp::now();
        let at = match &self.at {
            Some(at) if at.len() == 10 && at.bytes().all(|byte| byte.is_ascii_digit()) => at.clone(),
            Some(_) => return Err(Failure::Usage("--at is ten digits, MMDDhhmmss".into())),
            None => now.to_zoned(TimeZone::UTC).strftime("%m%d%H%M%S").to_string(),
        };
        // Two messages of one second still differ: the STAN goes by milliseconds.
        let millis = now.as_millisecond().unsigned_abs();
        let stan = self.stan.map_or(millis % 1_000_000, u64::from);
        message.set(De::TRANSMISSION_TIME, &at).set_number(De::STAN, stan);
        if !self.is_network_management() {
            let rrn = self.rrn.clone().unwrap_or_else(|| format!("{:012}", millis % 1_000_000_000_000));
            message.set(De::LOCAL_TIME, &at[4..]).set(De::LOCAL_DATE, &at[..4]).set(De::RRN, &rrn);
        }
        Ok(())
    }

    fn set_card(&self, message: &mut MessageBuilder) -> Outcome {
        let Card { number, expiry, cvc2, mac_field } = self.card.load()?;
        let given = self.overrides.iter().any(|(element, _)| *element == De::PAN);
        match &number {
            Some(number) => {
                message.set(De::PAN, number);
            }
            None if given => {}
            None => {
                return Err(Failure::Usage(
                    "a card number is needed: give --number, or --card with what `mayfly number issue --json` printed".into(),
                ));
            }
        }
        if let Some(number) =
            number.as_ref().filter(|number| !self.card.any_number && Pan::parse(number.as_bytes()).is_err())
        {
            let digits = number.len();
            return Err(Failure::Usage(format!(
                "the {digits} characters of --number are no card number (12 to 19 digits, the last one a check digit); \
                 --any-number sends them all the same"
            )));
        }
        if let Some(expiry) = expiry {
            message.set(De::EXPIRATION_DATE, &Zeroizing::new(Expiry::yymm(expiry)));
        }
        // Nobody may keep a CVC2: what comes after a purchase has none, unless it is asked for.
        // Reserved whole at once: growing would leave a copy behind.
        let mut data = Zeroizing::new(String::with_capacity(128));
        if let Some(field) = mac_field.filter(|_| self.begins_a_purchase()) {
            push_sub_element(&mut data, AAV_ID, &field)
                .map_err(|_| Failure::Usage("the MAC field of --card is none".into()))?;
        }
        if let Some(cvc2) = cvc2.filter(|_| self.begins_a_purchase() || self.card.names_cvc2()) {
            push_sub_element(&mut data, CVC2_ID, &cvc2)
                .map_err(|_| Failure::Usage("--cvc2 is three digits".into()))?;
        }
        if !data.is_empty() {
            message.set(De::ADDITIONAL_DATA, &data);
        }
        Ok(())
    }

    fn set_purchase(&self, message: &mut MessageBuilder) -> Outcome {
        let amount = match (&self.amount, self.kind) {
            (None, Kind::Check) => 0,
            (None, _) if self.overrides.iter().any(|(element, _)| *element == De::AMOUNT) => 0,
            (None, _) => return Err(Failure::Usage("an amount is needed: give --amount 24.98".into())),
            (Some(text), _) => self.minor("--amount", text)?,
        };
        message
            .set(De::PROCESSING_CODE, if self.kind == Kind::Refund { "200000" } else { "000000" })
            .set_number(De::AMOUNT, amount)
            .set(De::CURRENCY, &format!("{:03}", self.currency.number()))
            .set(De::MCC, &self.mcc.to_string())
            .set(De::ACQUIRER_COUNTRY, &self.country.to_string())
            .set(De::POS_ENTRY_MODE, &self.entry_mode)
            .set(De::ACQUIRER, &self.acquirer)
            .set(De::TERMINAL, &self.terminal)
            .set(De::CARD_ACCEPTOR, &self.merchant);
        if let Some(approval) = &self.approval {
            message.set(De::APPROVAL_CODE, approval);
        }
        if let Some(remaining) = &self.remaining {
            let stays = self.minor("--remaining", remaining)?;
            let amounts = ReplacementAmounts::new(stays, 0, 0, 0)
                .map_err(|error| Failure::Usage(format!("--remaining {error}")))?;
            message.set(De::REPLACEMENT_AMOUNTS, &amounts.to_string());
        }
        Ok(())
    }

    fn set_original(&self, message: &mut MessageBuilder) -> Outcome {
        let OriginalArgs { original_stan, original_mti, original_time, original_acquirer } = &self.original;
        let Some(stan) = *original_stan else {
            return match self.kind {
                Kind::Increment if self.approval.is_none() => Err(Failure::Usage(
                    "an increment names its original: give its --rrn, and --original-stan or --approval"
                        .into(),
                )),
                _ => Ok(()),
            };
        };
        let acquirer = original_acquirer.or_else(|| self.acquirer.parse().ok()).unwrap_or_default();
        let original = OriginalData::new(*original_mti, stan, *original_time, acquirer, 0)
            .map_err(|error| Failure::Usage(format!("the original {error}")))?;
        message.set(De::ORIGINAL_DATA, &original.to_string());
        Ok(())
    }

    fn minor(&self, option: &str, text: &str) -> Outcome<u64> {
        self.currency.parse_amount(text).map(|amount| amount.value()).map_err(|_| {
            let letters = self.currency.letters();
            Failure::Usage(format!(
                "{option} {text} is no amount in {letters}: write {}",
                example(self.currency)
            ))
        })
    }
}

/// An amount that can be written in a currency.
pub(crate) fn example(currency: Currency) -> String {
    let shown = currency.show(2498);
    shown.split(' ').next().unwrap_or_default().to_owned()
}

/// A currency by its letters.
pub(crate) fn currency(text: &str) -> Result<Currency, String> {
    Currency::parse_alphabetic(text)
        .or_else(|| Currency::parse_numeric(text).ok())
        .ok_or_else(|| "not a currency of ISO 4217 in use; write USD, for example".to_owned())
}

fn override_of(text: &str) -> Result<(De, String), String> {
    let wrong = || "write the number of a data element (2 to 128), =, and its value: 3=000000".to_owned();
    let (number, value) = text.split_once('=').ok_or_else(wrong)?;
    let element = number.parse().ok().and_then(De::new).ok_or_else(wrong)?;
    Ok((element, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        contents: Contents,
    }

    fn compose(words: &[&str]) -> Outcome<MessageBuilder> {
        Line::try_parse_from([&["send"], words].concat()).unwrap().contents.compose()
    }

    const NUMBER: &str = "4761739001010119";

    #[test]
    fn a_purchase_has_what_it_needs() {
        let message =
            compose(&["--number", NUMBER, "--expiry", "12/29", "--cvc2", "123", "--amount", "24.98"])
                .unwrap();
        assert_eq!(message.mti(), Mti::AUTHORISATION_REQUEST);
        for (element, value) in [
            (De::PAN, NUMBER),
            (De::EXPIRATION_DATE, "2912"),
            (De::ADDITIONAL_DATA, "9203123"),
            (De::AMOUNT, "2498"),
            (De::CURRENCY, "840"),
        ] {
            assert_eq!(message.text(element), Some(value), "{element}");
        }
        assert!(!message.has(De::ORIGINAL_DATA));
    }

    #[test]
    fn a_reversal_names_its_original() {
        let message = compose(&[
            "--type",
            "reversal",
            "--number",
            NUMBER,
            "--amount",
            "10",
            "--remaining",
            "4",
            "--original-stan",
            "17",
            "--repeat",
            "--de",
            "3=200000",
            "--de",
            "18=",
        ])
        .unwrap();
        assert_eq!(message.mti().as_str(), "0401");
        assert_eq!(message.text(De::ORIGINAL_DATA), Some("010000001700000000000000040000100000000000"));
        assert!(!message.has(De::ADDITIONAL_DATA));
        assert!(message.text(De::REPLACEMENT_AMOUNTS).unwrap().starts_with("000000000400"));
        assert_eq!(message.text(De::PROCESSING_CODE), Some("200000"));
        assert!(!message.has(De::MCC));
    }

    #[test]
    fn what_is_missing_is_said() {
        for (words, said) in [
            (&["--amount", "1"][..], "a card number is needed"),
            (&["--number", NUMBER], "an amount is needed"),
            (&["--number", NUMBER, "--amount", "1.234"], "--amount 1.234 is no amount in USD"),
            (&["--number", "4761739001010118", "--amount", "1"], "no card number"),
            (
                &["--type", "increment", "--number", NUMBER, "--amount", "1"],
                "an increment names its original",
            ),
        ] {
            let Err(Failure::Usage(text)) = compose(words) else { panic!("{words:?}") };
            assert!(text.contains(said), "{text}");
        }
        assert!(compose(&["--type", "echo"]).unwrap().has(De::NETWORK_CODE));
    }
}
