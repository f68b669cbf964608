//! What a card number is, and the short codes that travel with it.
//!
//! Every type here is made by parsing and holds only what passed: a [`Pan`] has a right check digit, an
//! [`Expiry`] is a month that exists, a [`Currency`] has a number of ISO 4217. Nothing here reads a clock,
//! draws randomness or does I/O, and nothing here prints a whole card number: a [`Pan`] shows its first six
//! and last four digits and wipes itself when dropped.

mod codes;
mod layout;
pub mod luhn;
mod money;
mod month;
mod pan;
mod text;

pub use codes::{
    AcquirerId, ApprovalCode, Channel, Country, Mcc, MerchantId, PosEntryMode, Rrn, Stan, TerminalId,
};
pub use layout::{Fields, Layout, LayoutError, Prefix};
pub use money::{Currency, MinorUnits};
pub use month::{Expiry, MonthIndex};
pub use pan::{LastFour, Pan, PanError};
pub use text::{Ascii, TextError};
