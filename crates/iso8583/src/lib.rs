//! ISO 8583:1987: the message specification as data, the codec, and the framing.
//!
//! A [`Dialect`] says how messages look; [`Message`] reads them and [`MessageBuilder`] writes them;
//! [`Header`] finds them in a stream of bytes. Nothing here reads a clock, a file or a connection, nothing
//! panics on what a peer sent, and nothing shows a card number by accident: errors and `Debug` never hold
//! contents, and [`Message::describe`] masks them.

mod attribute;
mod builder;
mod composite;
mod describe;
mod dialect;
mod ebcdic;
mod element;
mod error;
mod frame;
mod message;
mod mti;
mod parse;
mod sub_element;
mod wiped;
mod wire;

pub use attribute::Attribute;
pub use builder::MessageBuilder;
pub use composite::{CompositeError, OriginalData, ReplacementAmounts};
pub use describe::{DescribedElement, Description};
pub use dialect::{Dialect, DialectError};
pub use element::{De, Elements};
pub use error::{EncodeError, EncodeReason, ParseError, ParseReason, Path};
pub use frame::{Frame, FrameError, Header};
pub use message::{MESSAGE_LEN_MAX, Message, ParseFailure};
pub use mti::{Function, Mti, MtiClass, Origin};
pub use sub_element::{SubElement, SubElementError, SubElements, push_sub_element};
