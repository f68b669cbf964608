//! What issuer hosts are told, or are owed: for people who settle a difference.

use mayfly_card::{ApprovalCode, Currency, MinorUnits, Rrn, Stan};
use mayfly_core::{AccountId, Hash64, IssuerId, NumberId, PartitionId, TimeMs, Told};

use super::Result;
use super::codes::Code;
use crate::EventPlace;
use crate::sql::{Sql, values};

pub(super) const CREATE: &str = "
-- By the places of their events: the entry, and where in it. `stan` and `rrn` are those of the message to the host, `about` the STAN
-- of the message to it that it is about. `reference` is the same as that of the transactions that it is made of.
CREATE TABLE host_advices (
    partition INTEGER NOT NULL,
    issuer INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    place INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    told INTEGER NOT NULL,
    number INTEGER NOT NULL,
    account INTEGER NOT NULL,
    reference INTEGER NOT NULL,
    stan INTEGER NOT NULL,
    rrn TEXT NOT NULL,
    about INTEGER,
    amount INTEGER NOT NULL,
    stays INTEGER,
    currency INTEGER NOT NULL,
    approval INTEGER,
    PRIMARY KEY (partition, issuer, entry, place)
) STRICT, WITHOUT ROWID;";

const COLUMNS: &str =
    "entry, place, at_ms, told, number, account, reference, stan, rrn, about, amount, stays,
    currency, approval";

/// What an issuer host is told, or is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostAdviceRow {
    /// Where its event stands in the journal: what a page goes on with.
    pub place: EventPlace,
    /// When it came about.
    pub at_ms: TimeMs,
    /// What it is told.
    pub told: Told,
    /// With which number was paid.
    pub number: NumberId,
    /// Whose money.
    pub account: AccountId,
    /// The reference of the transactions that it is made of.
    pub reference: Hash64,
    /// DE 11 of the message to the host.
    pub stan: Stan,
    /// DE 37.
    pub rrn: Rrn,
    /// DE 11 of the message to the host that it is about, if there is one.
    pub about: Option<Stan>,
    /// DE 4.
    pub amount: MinorUnits,
    /// DE 95: what stays of that, if anything does.
    pub stays: Option<MinorUnits>,
    /// DE 49.
    pub currency: Currency,
    /// DE 38.
    pub approval: Option<ApprovalCode>,
}

/// Those of an issuer that came about before `before`, the latest first, at most `limit`.
pub(crate) fn before(
    sql: &Sql,
    partition: PartitionId,
    issuer: IssuerId,
    before: Option<EventPlace>,
    limit: usize,
) -> Result<Vec<HostAdviceRow>> {
    let list = format!(
        "SELECT {COLUMNS} FROM host_advices WHERE partition = ? AND issuer = ? AND (entry, place) < (?, ?)
        ORDER BY entry DESC, place DESC LIMIT ?"
    );
    let (entry, place) = before.map_or((i64::MAX, 0), |place| (place.sequence as i64, place.index));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = values![partition.0, issuer.0 as i64, entry, place, limit];
    let minor = |minor: i64| MinorUnits::new(u64::try_from(minor).ok()?);
    sql.all(&list, values, |cells| {
        Ok(HostAdviceRow {
            place: EventPlace { sequence: cells.bits()?, index: cells.next()? },
            at_ms: cells.bits()?,
            told: cells.code(Told::of)?,
            number: NumberId(cells.bits()?),
            account: AccountId(cells.bits()?),
            reference: Hash64(cells.bits()?),
            stan: cells.code(Stan::from_value)?,
            rrn: cells.text(Rrn::parse)?,
            about: cells.code_or_none(Stan::from_value)?,
            amount: cells.code(minor)?,
            stays: cells.code_or_none(minor)?,
            currency: cells.code(Currency::from_number)?,
            approval: cells.code_or_none(ApprovalCode::from_value)?,
        })
    })
}
