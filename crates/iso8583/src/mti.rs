//! The message type indicator.

use std::fmt;

/// The message type indicator (MTI): four digits for version, class, function and origin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mti([u8; 4]);

impl Mti {
    /// 0100.
    pub const AUTHORISATION_REQUEST: Self = Self(*b"0100");
    /// 0110.
    pub const AUTHORISATION_RESPONSE: Self = Self(*b"0110");
    /// 0120.
    pub const AUTHORISATION_ADVICE: Self = Self(*b"0120");
    /// 0130.
    pub const AUTHORISATION_ADVICE_RESPONSE: Self = Self(*b"0130");
    /// 0200.
    pub const FINANCIAL_REQUEST: Self = Self(*b"0200");
    /// 0210.
    pub const FINANCIAL_RESPONSE: Self = Self(*b"0210");
    /// 0220.
    pub const FINANCIAL_ADVICE: Self = Self(*b"0220");
    /// 0230.
    pub const FINANCIAL_ADVICE_RESPONSE: Self = Self(*b"0230");
    /// 0400.
    pub const REVERSAL_REQUEST: Self = Self(*b"0400");
    /// 0410.
    pub const REVERSAL_RESPONSE: Self = Self(*b"0410");
    /// 0420.
    pub const REVERSAL_ADVICE: Self = Self(*b"0420");
    /// 0430.
    pub const REVERSAL_ADVICE_RESPONSE: Self = Self(*b"0430");
    /// 0800.
    pub const NETWORK_REQUEST: Self = Self(*b"0800");
    /// 0810.
    pub const NETWORK_RESPONSE: Self = Self(*b"0810");

    /// The indicator that these four characters spell, if they are digits.
    ///
    /// Every combination of digits is an indicator; which of them are served is for the server to say.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_digits(text.as_bytes().try_into().ok()?)
    }

    /// The indicator of these four ASCII digits.
    pub(crate) fn from_digits(digits: [u8; 4]) -> Option<Self> {
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    /// The four ASCII digits.
    pub const fn digits(self) -> [u8; 4] {
        self.0
    }

    /// The four digits as text.
    pub fn as_str(&self) -> &str {
        // Only digits can be in there, so the fallback is never seen.
        std::str::from_utf8(&self.0).unwrap_or("0000")
    }

    /// The version of the standard: 0 is ISO 8583:1987.
    pub const fn version(self) -> u8 {
        self.0[0] - b'0'
    }

    /// What the message is about.
    pub const fn class(self) -> MtiClass {
        match self.0[1] {
            b'1' => MtiClass::Authorisation,
            b'2' => MtiClass::Financial,
            b'3' => MtiClass::FileAction,
            b'4' => MtiClass::Reversal,
            b'5' => MtiClass::Reconciliation,
            b'6' => MtiClass::Administrative,
            b'7' => MtiClass::FeeCollection,
            b'8' => MtiClass::NetworkManagement,
            _ => MtiClass::Reserved,
        }
    }

    /// Which step of the conversation it is.
    pub const fn function(self) -> Function {
        match self.0[2] {
            b'0' => Function::Request,
            b'1' => Function::RequestResponse,
            b'2' => Function::Advice,
            b'3' => Function::AdviceResponse,
            b'4' => Function::Notification,
            b'5' => Function::NotificationAcknowledgement,
            _ => Function::Reserved,
        }
    }

    /// Who began the conversation.
    pub const fn origin(self) -> Origin {
        match self.0[3] {
            b'0' | b'1' => Origin::Acquirer,
            b'2' | b'3' => Origin::Issuer,
            b'4' | b'5' => Origin::Other,
            _ => Origin::Reserved,
        }
    }

    /// Whether the sender says that it has sent this message before (0101, 0121, 0201, 0221, 0401, 0421,
    /// ...).
    pub const fn repeat(self) -> bool {
        matches!(self.0[3], b'1' | b'3' | b'5')
    }

    /// The indicator of the first sending: 0101 becomes 0100; what is no repeat stays as it is.
    pub const fn without_repeat(self) -> Self {
        if self.repeat() { Self([self.0[0], self.0[1], self.0[2], self.0[3] - 1]) } else { self }
    }

    /// The indicator of a repeat: 0100 becomes 0101; what is a repeat, or has no repeat, stays as it is.
    pub const fn with_repeat(self) -> Self {
        match self.0[3] {
            b'0' | b'2' | b'4' => Self([self.0[0], self.0[1], self.0[2], self.0[3] + 1]),
            _ => self,
        }
    }

    /// The indicator of the answer, to a repeat as to the first sending: 0100 and 0101 give 0110, 0420 and
    /// 0421 give 0430.
    ///
    /// None for what is an answer itself and for functions that have none.
    pub const fn response(self) -> Option<Self> {
        match self.function() {
            Function::Request | Function::Advice | Function::Notification => {
                let [version, class, function, origin] = self.without_repeat().0;
                Some(Self([version, class, function + 1, origin]))
            }
            _ => None,
        }
    }

    /// Whether this is an answer.
    pub const fn is_response(self) -> bool {
        matches!(
            self.function(),
            Function::RequestResponse | Function::AdviceResponse | Function::NotificationAcknowledgement
        )
    }
}

impl fmt::Display for Mti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Mti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mti({self})")
    }
}

/// The second digit of the [`Mti`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MtiClass {
    /// 1: may the cardholder?
    Authorisation,
    /// 2: may the cardholder, and book it.
    Financial,
    /// 3: change of a file.
    FileAction,
    /// 4: undo.
    Reversal,
    /// 5: compare totals.
    Reconciliation,
    /// 6: administration.
    Administrative,
    /// 7: fees.
    FeeCollection,
    /// 8: sign-on, sign-off, echo.
    NetworkManagement,
    /// 0 and 9.
    Reserved,
}

/// The third digit of the [`Mti`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// 0: asks.
    Request,
    /// 1: answers a request.
    RequestResponse,
    /// 2: says what has been done.
    Advice,
    /// 3: answers an advice.
    AdviceResponse,
    /// 4: says what has been done, without binding.
    Notification,
    /// 5: acknowledges a notification.
    NotificationAcknowledgement,
    /// 6 to 9.
    Reserved,
}

/// The fourth digit of the [`Mti`], without the repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// 0, 1.
    Acquirer,
    /// 2, 3.
    Issuer,
    /// 4, 5.
    Other,
    /// 6 to 9.
    Reserved,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mti(text: &str) -> Mti {
        Mti::parse(text).unwrap()
    }

    #[test]
    fn only_four_digits_are_an_indicator() {
        for text in ["", "010", "01000", "010a", "01 0", "٠١٠٠"] {
            assert_eq!(Mti::parse(text), None, "{text:?}");
        }
        assert_eq!(mti("9999").as_str(), "9999");
    }

    #[test]
    fn digits_have_meanings() {
        let advice = mti("0421");
        assert_eq!(advice.version(), 0);
        assert_eq!(advice.class(), MtiClass::Reversal);
        assert_eq!(advice.function(), Function::Advice);
        assert_eq!(advice.origin(), Origin::Acquirer);
        assert_eq!(mti("1814").origin(), Origin::Other);
        assert_eq!(mti("0999").class(), MtiClass::Reserved);
    }

    #[test]
    fn repeats_are_the_odd_origins() {
        for text in ["0101", "0121", "0201", "0221", "0401", "0421", "0103", "0105"] {
            assert!(mti(text).repeat(), "{text}");
            assert!(!mti(text).without_repeat().repeat(), "{text}");
            assert_eq!(mti(text).without_repeat().with_repeat(), mti(text));
        }
        for text in ["0100", "0120", "0107", "0109"] {
            assert!(!mti(text).repeat(), "{text}");
            assert_eq!(mti(text).without_repeat(), mti(text));
        }
    }

    #[test]
    fn responses() {
        let pairs = [
            ("0100", "0110"),
            ("0101", "0110"),
            ("0120", "0130"),
            ("0121", "0130"),
            ("0200", "0210"),
            ("0220", "0230"),
            ("0400", "0410"),
            ("0401", "0410"),
            ("0420", "0430"),
            ("0800", "0810"),
            ("0102", "0112"),
            ("0103", "0112"),
            ("0140", "0150"),
        ];
        for (request, response) in pairs {
            assert_eq!(mti(request).response(), Some(mti(response)));
            assert!(mti(response).is_response());
            assert_eq!(mti(response).response(), None);
        }
    }
}
