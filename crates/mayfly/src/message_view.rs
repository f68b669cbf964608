//! An ISO 8583 message as people and scripts are shown it.

use mayfly_card::{Channel, Currency, PosEntryMode};
use mayfly_core::ResponseCode;
use mayfly_iso8583::{De, Dialect, Function, Message, MessageBuilder, Mti, MtiClass};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};

/// Whether numbers, dates and codes may be seen whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// First six and last four digits of a number, nothing of a secret.
    Masked,
    /// Everything: somebody asked for it.
    Whole,
}

impl Sight {
    /// By the switch `--show-numbers`.
    pub(crate) fn of(show_numbers: bool) -> Self {
        if show_numbers { Self::Whole } else { Self::Masked }
    }
}

/// A message, taken apart.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MessageView {
    mti: String,
    meaning: String,
    elements: Vec<ElementView>,
}

/// A data element.
#[derive(Clone, Debug, Serialize)]
struct ElementView {
    de: u8,
    title: String,
    value: String,
    /// What the value means, where it is not obvious.
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<String>,
}

impl MessageView {
    /// Of a message that was read.
    pub(crate) fn of(message: &Message<'_>, sight: Sight) -> Self {
        let elements = message
            .describe()
            .elements()
            .map(|described| {
                let value = match sight {
                    Sight::Masked => described.masked.into_owned(),
                    Sight::Whole => message.text(described.element).unwrap_or_default().to_owned(),
                };
                ElementView {
                    de: described.element.number(),
                    title: described.title.to_owned(),
                    value,
                    meaning: meaning(message, described.element),
                }
            })
            .collect();
        Self { mti: message.mti().to_string(), meaning: name_of(message), elements }
    }

    /// A line for the type, and one for each element, all behind `indent`.
    pub(crate) fn lines(&self, indent: &str) -> String {
        let title = self.elements.iter().map(|element| element.title.len()).max().unwrap_or_default();
        // A long value (an EMV block, say) has no place in the column of the short ones.
        let value = self.elements.iter().map(|element| element.value.len()).filter(|len| *len <= 24).max();
        let value = value.unwrap_or_default();
        let mut text = format!("{indent}{} {}\n", self.mti, self.meaning);
        for element in &self.elements {
            let ElementView { de, title: named, value: shown, meaning } = element;
            let meaning = meaning.as_deref().unwrap_or_default();
            let line = format!("{indent}  DE {de:<3}  {named:title$}  {shown:value$}  {meaning}");
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Of a message as it is written in a dialect: with its contents filled up.
pub(crate) fn written(dialect: &Dialect, message: &MessageBuilder, sight: Sight) -> Outcome<MessageView> {
    let mut wire = Zeroizing::new(Vec::new());
    message
        .encode_body(dialect, &mut wire)
        .map_err(|error| Failure::Usage(format!("this message can't be written: {error}")))?;
    let message = Message::parse(dialect, &wire).map_err(|failure| {
        let (name, error) = (dialect.name(), failure.error);
        Failure::Refused(format!("the message can't be read in the dialect {name}: {error}"))
    })?;
    Ok(MessageView::of(&message, sight))
}

/// What kind of message it is, in words.
pub(crate) fn name_of(message: &Message<'_>) -> String {
    let mti = message.mti();
    let class = match mti.class() {
        MtiClass::Authorisation => "authorisation",
        MtiClass::Financial => "financial",
        MtiClass::FileAction => "file action",
        MtiClass::Reversal => "reversal",
        MtiClass::Reconciliation => "reconciliation",
        MtiClass::Administrative => "administrative",
        MtiClass::FeeCollection => "fee collection",
        MtiClass::NetworkManagement => network_name(message),
        MtiClass::Reserved => "reserved",
    };
    let function = match mti.function() {
        Function::Request => "request",
        Function::RequestResponse => "answer",
        Function::Advice => "advice",
        Function::AdviceResponse => "advice answer",
        Function::Notification => "notification",
        Function::NotificationAcknowledgement => "acknowledgement",
        Function::Reserved => "message",
    };
    let repeat = if mti.repeat() { ", repeated" } else { "" };
    format!("{class} {function}{repeat}")
}

fn network_name(message: &Message<'_>) -> &'static str {
    match message.number(De::NETWORK_CODE) {
        Some(1) => "sign-on",
        Some(2) => "sign-off",
        Some(301) => "echo",
        _ => "network management",
    }
}

/// What an element's value means, where people would have to look it up.
fn meaning(message: &Message<'_>, element: De) -> Option<String> {
    let text = message.text(element)?;
    match element {
        De::PROCESSING_CODE => match text.get(..2)? {
            "00" => Some("purchase".into()),
            "20" => Some("refund".into()),
            _ => None,
        },
        De::AMOUNT => {
            let currency = Currency::parse_numeric(message.text(De::CURRENCY)?).ok()?;
            Some(currency.show(text.parse().ok()?))
        }
        De::CURRENCY => Some(Currency::parse_numeric(text).ok()?.letters().to_owned()),
        De::POS_ENTRY_MODE => Some(match PosEntryMode::parse(text).ok()?.channel() {
            Channel::CardPresent => "card present".into(),
            Channel::CardNotPresent => "card not present".into(),
        }),
        De::RESPONSE_CODE => Some(ResponseCode::from_code(text)?.words().to_owned()),
        De::ORIGINAL_DATA => {
            let original = message.original_data().ok()??;
            Some(format!("MTI {}, STAN {:06}", original.mti(), original.stan()))
        }
        De::REPLACEMENT_AMOUNTS => {
            let amounts = message.replacement_amounts().ok()??;
            let currency = Currency::parse_numeric(message.text(De::CURRENCY)?).ok()?;
            Some(format!("{} stays", currency.show(amounts.transaction().cast_signed())))
        }
        _ => None,
    }
}

/// The response code of an answer with its words: `00 approved`.
pub(crate) fn response_words(code: &str) -> String {
    match ResponseCode::from_code(code) {
        Some(known) => format!("{code} {}", known.words()),
        None => code.to_owned(),
    }
}

/// The message types that are sent, for `--mti`.
pub(crate) fn parse_mti(text: &str) -> Result<Mti, String> {
    Mti::parse(text).ok_or_else(|| "a message type is four digits, 0100 for example".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(sight: Sight) -> String {
        let dialect = Dialect::builtin("ascii87").unwrap();
        let mut builder = MessageBuilder::new(Mti::parse("0101").unwrap());
        builder
            .set(De::PAN, "4761739001010119")
            .set(De::AMOUNT, "2498")
            .set(De::EXPIRATION_DATE, "2912")
            .set(De::CURRENCY, "840");
        let mut wire = Vec::new();
        builder.encode_body(dialect, &mut wire).unwrap();
        MessageView::of(&Message::parse(dialect, &wire).unwrap(), sight).lines("  ")
    }

    #[test]
    fn masked_unless_asked_otherwise() {
        let masked = view(Sight::Masked);
        assert!(masked.starts_with("  0101 authorisation request, repeated\n"), "{masked}");
        assert!(masked.contains("476173******0119") && !masked.contains("4761739001010119"), "{masked}");
        assert!(masked.contains("24.98 USD") && !masked.contains("2912"), "{masked}");
        let whole = view(Sight::Whole);
        assert!(whole.contains("4761739001010119") && whole.contains("2912"), "{whole}");
    }
}
