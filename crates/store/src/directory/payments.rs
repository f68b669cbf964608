//! What merchants ordered: each payment's order, written once, before it is authorised.
//!
//! What becomes of a payment never stands here: it follows from the transactions that the core has under the payment's
//! reference. A payment has no entry in the audit stream either: its order is its own record, and never changed.

use mayfly_card::{Currency, LastFour, MinorUnits};
use mayfly_core::{IdError, IssuerId, ProgrammeId, TimeMs};

use super::web_address::WebAddress;
use super::{Directory, DirectoryError, MerchantEntryId, ms};
use crate::StoreError;
use crate::query::{PAGE_MAX, Page};
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- `id` is a keyed hash of whose order it is and of the key that he gave it; `content` one of all that he ordered.
-- `programme` is that whose universal number the order came with, if it did: the cardholder has still to be asked.
CREATE TABLE payments (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    content BLOB NOT NULL CHECK (length(content) = 16),
    issuer INTEGER NOT NULL,
    merchant INTEGER NOT NULL REFERENCES merchants (id),
    reference TEXT NOT NULL,
    amount INTEGER NOT NULL,
    currency INTEGER NOT NULL,
    captures INTEGER NOT NULL CHECK (captures IN (0, 1)),
    last_four INTEGER NOT NULL,
    return_url TEXT,
    programme INTEGER,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX payments_by_reference ON payments (merchant, reference, number);
CREATE INDEX payments_by_merchant ON payments (merchant, number);";

macro_rules! columns {
    () => {
        "number, id, content, issuer, merchant, reference, amount, currency, captures, last_four, return_url, \
         programme, created_ms"
    };
}

// Rows are never deleted, so no number comes twice.
const PLACE: &str = concat!(
    "INSERT INTO payments (",
    columns!(),
    ") VALUES ((SELECT coalesce(max(number), 0) + 1 FROM payments), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO NOTHING RETURNING number"
);
const FIND: &str = concat!("SELECT ", columns!(), " FROM payments WHERE id = ? AND issuer = ?");
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM payments WHERE merchant = ? AND issuer = ? AND number < ? ORDER BY number DESC LIMIT ?"
);
const LIST_BY_REFERENCE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM payments WHERE merchant = ? AND issuer = ? AND number < ? AND reference = ?
    ORDER BY number DESC LIMIT ?"
);

/// A payment's name: `pay_…`, 128 bits that nobody guesses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaymentId(pub [u8; 16]);

impl PaymentId {
    /// What its text form begins with.
    pub const PREFIX: &'static str = "pay_";
    /// How many digits follow, of five bits each.
    pub const DIGITS: usize = 26;
    /// Crockford's base 32, small, as in all ids.
    const ALPHABET: &'static [u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

    /// Parses its text form.
    ///
    /// # Errors
    ///
    /// [`IdError`] if it is none of this kind.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let error = IdError { prefix: Self::PREFIX };
        let digits = text.strip_prefix(Self::PREFIX).ok_or(error)?;
        if digits.len() != Self::DIGITS {
            return Err(error);
        }
        let value = digits.bytes().try_fold(0u128, |value, byte| {
            let digit = Self::ALPHABET.iter().position(|letter| *letter == byte)?;
            value.checked_mul(32).map(|value| value | digit as u128)
        });
        value.map(|value| Self(value.to_be_bytes())).ok_or(error)
    }
}

impl std::fmt::Display for PaymentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = u128::from_be_bytes(self.0);
        let digit = |at: usize| char::from(Self::ALPHABET[(value >> (5 * at) & 31) as usize]);
        let digits: String = (0..Self::DIGITS).rev().map(digit).collect();
        f.pad(&format!("{}{digits}", Self::PREFIX))
    }
}

impl std::fmt::Debug for PaymentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// What a merchant calls an order: 1 to 64 characters of printable ASCII, without spaces around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderReference(String);

impl OrderReference {
    /// The longest one, in characters.
    pub const CHARS_MAX: usize = 64;

    /// Parses one; none if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let is_good = (1..=Self::CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            && text.trim_matches(' ') == text;
        is_good.then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A payment as it was ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its place in the table: later ones have greater ones. 0 until it is there.
    pub number: u64,
    /// Its id.
    pub id: PaymentId,
    /// Keyed hash of all that was ordered.
    pub content: [u8; 16],
    /// With which issuer's number.
    pub issuer: IssuerId,
    /// To whom.
    pub merchant: MerchantEntryId,
    /// What he calls it.
    pub reference: OrderReference,
    /// How much.
    pub amount: MinorUnits,
    /// In which currency.
    pub currency: Currency,
    /// Whether it is captured as soon as it is authorised.
    pub captures: bool,
    /// The last four digits of the number that it came with.
    pub last_four: LastFour,
    /// Where the merchant wants the cardholder back.
    pub return_url: Option<WebAddress>,
    /// Whose universal number it came with, if it did.
    pub programme: Option<ProgrammeId>,
    /// When it was ordered.
    pub created_ms: TimeMs,
}

/// What came of writing an order down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It stands there now.
    New(Payment),
    /// It stood there before.
    Before(Payment),
    /// Something else was ordered with the same key.
    OtherContent,
}

impl Directory {
    /// Writes an order down, unless it is there already.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn place_payment(&self, payment: Payment) -> Result<Placed, DirectoryError> {
        let by = super::By { actor: "", now_ms: payment.created_ms };
        self.write(by, |writing| Ok(place(writing.sql(), payment)?))
    }

    /// A payment of `issuer`. Another's is none.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn payment(&self, issuer: IssuerId, id: PaymentId) -> Result<Option<Payment>, DirectoryError> {
        self.read(|sql| find(sql, issuer, id))
    }

    /// The payments to a merchant of `issuer`, the latest first, those before `before`; only of one reference, if it
    /// is given. At most `limit`, and at most [`PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn payments(
        &self,
        (issuer, merchant): (IssuerId, MerchantEntryId),
        reference: Option<&OrderReference>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<Payment, u64>, DirectoryError> {
        let limit = limit.min(PAGE_MAX);
        let (merchant, issuer) = (ms(merchant.0), issuer.0 as i64);
        let (before, most) = (before.map_or(i64::MAX, ms), limit as i64);
        let rows: Vec<Payment> = self.read(|sql| match reference {
            Some(reference) => {
                let values = values![merchant, issuer, before, reference.as_str(), most];
                sql.all(LIST_BY_REFERENCE, values, read)
            }
            None => sql.all(LIST, values![merchant, issuer, before, most], read),
        })?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.number);
        Ok(Page { rows, next })
    }
}

fn place(sql: &Sql, mut payment: Payment) -> Result<Placed, StoreError> {
    let values = values![
        payment.id.0,
        payment.content,
        payment.issuer.0 as i64,
        ms(payment.merchant.0),
        payment.reference.as_str(),
        payment.amount.signed(),
        payment.currency.number(),
        payment.captures,
        payment.last_four.value(),
        payment.return_url.as_ref().map(WebAddress::as_str),
        payment.programme.map(|programme| programme.0 as i64),
        ms(payment.created_ms)
    ];
    let placed = sql.one(PLACE, values, |cells| cells.bits())?;
    if let Some(number) = placed {
        payment.number = number;
        return Ok(Placed::New(payment));
    }
    let before = find(sql, payment.issuer, payment.id)?;
    Ok(match before.filter(|before| before.content == payment.content) {
        Some(before) => Placed::Before(before),
        None => Placed::OtherContent,
    })
}

fn find(sql: &Sql, issuer: IssuerId, id: PaymentId) -> Result<Option<Payment>, StoreError> {
    sql.one(FIND, values![id.0, issuer.0 as i64], read)
}

fn read(cells: &mut Cells<'_>) -> Result<Payment, StoreError> {
    Ok(Payment {
        number: cells.bits()?,
        id: PaymentId(cells.next()?),
        content: cells.next()?,
        issuer: IssuerId(cells.bits()?),
        merchant: MerchantEntryId(cells.bits()?),
        reference: cells.text(|text| OrderReference::parse(text).ok_or(()))?,
        amount: cells.code(|value: i64| MinorUnits::new(value.try_into().ok()?))?,
        currency: cells.code(Currency::from_number)?,
        captures: cells.next()?,
        last_four: cells.code(LastFour::from_value)?,
        return_url: cells.text_or_none(WebAddress::parse)?,
        programme: cells.bits_or_none()?.map(ProgrammeId),
        created_ms: cells.bits()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_have_one_form() {
        for value in [0, 1, 31, 1 << 70, u128::MAX] {
            let id = PaymentId(u128::to_be_bytes(value));
            assert_eq!(PaymentId::parse(&id.to_string()), Ok(id));
        }
        assert_eq!(PaymentId([0; 16]).to_string(), "pay_00000000000000000000000000");
        let error = Err(IdError { prefix: "pay_" });
        // 26 digits have two bits more than fit.
        for text in ["pay_1", "pay_80000000000000000000000000", "pay_u0000000000000000000000000", "txn_1"] {
            assert_eq!(PaymentId::parse(text), error);
        }
    }

    #[test]
    fn references_are_what_people_can_read() {
        for good in ["1", "Order 17/b", &"x".repeat(64)] {
            assert_eq!(OrderReference::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", " x", "x ", "a\nb", "ü", &"x".repeat(65)] {
            assert_eq!(OrderReference::parse(bad), None, "{bad:?}");
        }
    }
}
