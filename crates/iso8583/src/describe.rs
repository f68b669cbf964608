//! A message for people to read, without its secrets.

use std::borrow::Cow;
use std::fmt;

use crate::builder::MessageBuilder;
use crate::dialect::Dialect;
use crate::element::{De, Elements};
use crate::message::Message;
use crate::mti::Mti;
use crate::sub_element::SubElements;

/// What stands for a secret.
const HIDDEN: &str = "***";

/// A message for people to read: one line for each element, with everything secret masked.
pub struct Description<'a> {
    source: Source<'a>,
    dialect: &'a Dialect,
}

enum Source<'a> {
    Message(&'a Message<'a>),
    Builder(&'a MessageBuilder),
}

/// One element of a [`Description`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedElement<'a> {
    /// The element.
    pub element: De,
    /// What people call it.
    pub title: &'a str,
    /// Its content, with everything secret masked.
    pub masked: Cow<'a, str>,
}

impl<'a> Description<'a> {
    pub(crate) fn of_message(message: &'a Message<'a>) -> Self {
        Self { source: Source::Message(message), dialect: message.dialect() }
    }

    pub(crate) fn of_builder(builder: &'a MessageBuilder, dialect: &'a Dialect) -> Self {
        Self { source: Source::Builder(builder), dialect }
    }

    /// The message type indicator.
    pub fn mti(&self) -> Mti {
        match self.source {
            Source::Message(message) => message.mti(),
            Source::Builder(builder) => builder.mti(),
        }
    }

    /// The elements, in ascending order.
    pub fn elements(&self) -> impl Iterator<Item = DescribedElement<'a>> {
        let dialect = self.dialect;
        let (elements, source): (Elements, _) = match self.source {
            Source::Message(message) => (message.elements(), Source::Message(message)),
            Source::Builder(builder) => (builder.elements(), Source::Builder(builder)),
        };
        elements.map(move |element| {
            let content = match source {
                Source::Message(message) => message.text(element),
                Source::Builder(builder) => builder.text(element),
            };
            // Only a builder can hold what is not text, and can't encode it.
            let masked = content.map_or(Cow::Borrowed(HIDDEN), |content| mask(element, content));
            DescribedElement { element, title: dialect.title(element), masked }
        })
    }
}

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "MTI {}", self.mti())?;
        for DescribedElement { element, title, masked } in self.elements() {
            writeln!(f, "{:>3} {title}: {masked}", element.number())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How much of a content people may see.
enum Sight {
    /// All of it.
    Clear,
    /// First six and last four.
    Pan,
    /// Which sub-elements there are.
    SubElements,
    /// Nothing.
    Hidden,
}

/// What is known to be no secret is shown; what is free for private use might hold anything and is not.
fn sight(element: De) -> Sight {
    match element.number() {
        2 => Sight::Pan,
        48 | 120 => Sight::SubElements,
        // Expiration date, extended PAN, tracks, PIN, chip.
        14 | 34 | 35 | 36 | 45 | 52 | 55 => Sight::Hidden,
        // Reserved and additional data; account identifications.
        46 | 47 | 56..=63 | 102 | 103 | 105..=127 => Sight::Hidden,
        _ => Sight::Clear,
    }
}

fn mask(element: De, content: &str) -> Cow<'_, str> {
    match sight(element) {
        Sight::Clear => Cow::Borrowed(content),
        Sight::Hidden => Cow::Borrowed(HIDDEN),
        Sight::Pan => Cow::Owned(mask_pan(content)),
        Sight::SubElements => Cow::Owned(mask_sub_elements(content)),
    }
}

/// First six and last four, if enough lies between them.
fn mask_pan(pan: &str) -> String {
    match (pan.len(), pan.get(..6), pan.len().checked_sub(4).and_then(|at| pan.get(at..))) {
        (13.., Some(first), Some(last)) => format!("{first}{}{last}", "*".repeat(pan.len() - 10)),
        _ => HIDDEN.to_owned(),
    }
}

/// Which sub-elements there are. Their data might be anything: authentication value (48.43), card
/// verification code (48.92), the cardholder's name and address (120.01 to 120.03), or what only another
/// network knows.
fn mask_sub_elements(content: &str) -> String {
    let masked: Result<Vec<String>, _> = SubElements::new(content)
        .map(|found| found.map(|found| format!("{:02}={HIDDEN}", found.id)))
        .collect();
    masked.map_or_else(|_| HIDDEN.to_owned(), |masked| masked.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(number: u8, content: &str) -> String {
        mask(De::new(number).unwrap(), content).into_owned()
    }

    #[test]
    fn card_numbers_keep_first_six_and_last_four() {
        assert_eq!(masked(2, "4761739001010119"), "476173******0119");
        assert_eq!(masked(2, "4761739001010"), "476173***1010");
        assert_eq!(masked(2, "476173900101"), HIDDEN, "too little would be hidden");
        assert_eq!(masked(2, ""), HIDDEN);
    }

    #[test]
    fn secrets_are_hidden() {
        for number in [14, 34, 35, 36, 45, 46, 47, 52, 55, 56, 63, 102, 103, 105, 119, 121, 127] {
            assert_eq!(masked(number, "secret"), HIDDEN, "{number}");
        }
        assert_eq!(masked(48, "4304abc=9203123"), "43=*** 92=***");
        assert_eq!(masked(120, "0104Anna"), "01=***");
        assert_eq!(masked(48, "no sub-elements"), HIDDEN);
    }

    #[test]
    fn the_rest_is_shown() {
        assert_eq!(masked(11, "000017"), "000017");
        assert_eq!(masked(43, "ACME"), "ACME");
    }
}
