//! Network management: sign-on, sign-off, echo (0800).

use mayfly_core::ResponseCode;
use mayfly_iso8583::{De, Message};

/// What a network management message asks for, by DE 70.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Management {
    /// 001
    SignOn,
    /// 002
    SignOff,
    /// 301
    Echo,
    /// Another code.
    Unknown,
    /// None at all.
    Missing,
}

impl Management {
    pub(crate) fn of(message: &Message<'_>) -> Self {
        match message.number(De::NETWORK_CODE) {
            Some(1) => Self::SignOn,
            Some(2) => Self::SignOff,
            Some(301) => Self::Echo,
            Some(_) => Self::Unknown,
            None => Self::Missing,
        }
    }

    /// DE 70; none for what can't be asked.
    pub(crate) fn code(self) -> Option<&'static str> {
        match self {
            Self::SignOn => Some("001"),
            Self::SignOff => Some("002"),
            Self::Echo => Some("301"),
            Self::Unknown | Self::Missing => None,
        }
    }

    pub(crate) fn response(self) -> ResponseCode {
        match self {
            Self::SignOn | Self::SignOff | Self::Echo => ResponseCode::Approved,
            Self::Unknown => ResponseCode::InvalidTransaction,
            Self::Missing => ResponseCode::FormatError,
        }
    }
}
