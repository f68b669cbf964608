//! Issuers, their programmes, and their books.

use mayfly_card::Currency;
use mayfly_core::state::{Issuer, Programme};
use mayfly_core::{
    Books, DecisionHook, IssuerId, IssuerOpened, Name, PartitionId, ProgrammeId, ProgrammeOpened, Terms,
};
use rusqlite::{CachedStatement, Connection, Result, Row, params};

use super::cells::{Cells, json};

pub(super) const CREATE: &str = "
CREATE TABLE issuers (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    name TEXT NOT NULL,
    -- How it is asked before its accounts pay; nothing if it is not.
    hook TEXT
) STRICT;

-- `terms` is all of a programme's terms; the columns before it are the same for people.
CREATE TABLE programmes (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    issuer INTEGER NOT NULL,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    layout TEXT NOT NULL,
    lifetime_ms INTEGER NOT NULL,
    lifetime_max_ms INTEGER NOT NULL,
    uses_max INTEGER NOT NULL,
    expiry_months INTEGER NOT NULL,
    quarantine_months INTEGER NOT NULL,
    active_max INTEGER NOT NULL,
    amount_max INTEGER NOT NULL,
    tolerance_bp INTEGER NOT NULL,
    hold_days INTEGER NOT NULL,
    single_completion INTEGER NOT NULL,
    terms TEXT NOT NULL,
    closed INTEGER NOT NULL
) STRICT;

-- The books that are kept per issuer and currency, in minor units; cardholder and held stand with the accounts.
CREATE TABLE issuer_books (
    partition INTEGER NOT NULL,
    issuer INTEGER NOT NULL,
    currency INTEGER NOT NULL,
    settlement INTEGER NOT NULL,
    funding INTEGER NOT NULL,
    suspense INTEGER NOT NULL,
    PRIMARY KEY (partition, issuer, currency)
) STRICT, WITHOUT ROWID;";

const ADD_ISSUER: &str = "INSERT INTO issuers (id, partition, name) VALUES (?, ?, ?)";
const ADD_PROGRAMME: &str = "INSERT INTO programmes (id, partition, issuer, name, prefix, layout, lifetime_ms,
    lifetime_max_ms, uses_max, expiry_months, quarantine_months, active_max, amount_max, tolerance_bp, hold_days,
    single_completion, terms, closed)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, FALSE)";
const SET_HOOK: &str = "UPDATE issuers SET hook = ? WHERE id = ?";
const CLOSE_PROGRAMME: &str = "UPDATE programmes SET closed = ? WHERE id = ?";
const POST: &str = "INSERT INTO issuer_books (partition, issuer, currency, settlement, funding, suspense)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET settlement = settlement + excluded.settlement,
    funding = funding + excluded.funding, suspense = suspense + excluded.suspense";
const ISSUERS: &str = "SELECT id, name, hook FROM issuers WHERE partition = ? ORDER BY id";
const PROGRAMMES: &str =
    "SELECT id, issuer, name, terms, closed FROM programmes WHERE partition = ? ORDER BY id";
const BOOKS: &str =
    "SELECT issuer, currency, settlement, funding, suspense FROM issuer_books WHERE partition = ?";

/// Writes issuers, programmes and books.
pub(crate) struct IssuerWriter<'c> {
    connection: &'c Connection,
    partition: PartitionId,
    post: CachedStatement<'c>,
}

impl<'c> IssuerWriter<'c> {
    pub(crate) fn new(connection: &'c Connection, partition: PartitionId) -> Result<Self> {
        Ok(Self { connection, partition, post: connection.prepare_cached(POST)? })
    }

    pub(crate) fn add_issuer(&mut self, event: &IssuerOpened) -> Result<()> {
        let values = params![event.issuer.0 as i64, self.partition.0, event.name.as_str()];
        self.connection.execute(ADD_ISSUER, values)?;
        Ok(())
    }

    pub(crate) fn close_programme(&mut self, programme: ProgrammeId, closed: bool) -> Result<()> {
        self.connection.execute(CLOSE_PROGRAMME, params![closed, programme.0 as i64])?;
        Ok(())
    }

    pub(crate) fn set_hook(&mut self, issuer: IssuerId, hook: Option<DecisionHook>) -> Result<()> {
        let hook = hook.map(|hook| json(&hook)).transpose()?;
        self.connection.execute(SET_HOOK, params![hook, issuer.0 as i64])?;
        Ok(())
    }

    pub(crate) fn add_programme(&mut self, event: &ProgrammeOpened) -> Result<()> {
        let terms = &event.terms;
        self.connection.execute(
            ADD_PROGRAMME,
            params![
                event.programme.0 as i64,
                self.partition.0,
                event.issuer.0 as i64,
                event.name.as_str(),
                terms.prefix.as_str(),
                terms.layout.to_string(),
                terms.lifetime_ms as i64,
                terms.lifetime_max_ms as i64,
                terms.uses_max,
                terms.expiry_months,
                terms.quarantine_months,
                terms.active_max,
                terms.amount_max.signed(),
                terms.tolerance_bp,
                terms.hold_days,
                terms.single_completion,
                json(terms)?,
            ],
        )?;
        Ok(())
    }

    /// Adds what was moved to an issuer's books.
    pub(crate) fn post(&mut self, issuer: IssuerId, currency: Currency, books: &Books) -> Result<()> {
        self.post.execute(params![
            self.partition.0,
            issuer.0 as i64,
            currency.number(),
            books.settlement,
            books.funding,
            books.suspense,
        ])?;
        Ok(())
    }
}

/// All issuers, the first first.
pub(crate) fn issuers(connection: &Connection, partition: PartitionId) -> Result<Vec<(IssuerId, Issuer)>> {
    connection
        .prepare_cached(ISSUERS)?
        .query_map([partition.0], |row| {
            let mut cells = Cells::new(row);
            let (id, name) = (IssuerId(cells.bits()?), cells.text(Name::parse)?);
            let hook = cells.text_or_none(|text| serde_json::from_str(text))?;
            Ok((id, Issuer { name, hook }))
        })?
        .collect()
}

/// All programmes, the first first.
pub(crate) fn programmes(
    connection: &Connection,
    partition: PartitionId,
) -> Result<Vec<(ProgrammeId, Programme)>> {
    let read = |row: &Row<'_>| {
        let mut cells = Cells::new(row);
        let id = ProgrammeId(cells.bits()?);
        let (issuer, name) = (IssuerId(cells.bits()?), cells.text(Name::parse)?);
        let terms: Terms = cells.text(|text| serde_json::from_str(text))?;
        Ok((id, Programme { issuer, name, terms, closed: cells.next()? }))
    };
    connection.prepare_cached(PROGRAMMES)?.query_map([partition.0], read)?.collect()
}

/// All books that are kept per issuer.
pub(crate) fn books(
    connection: &Connection,
    partition: PartitionId,
) -> Result<Vec<((IssuerId, Currency), Books)>> {
    let read = |row: &Row<'_>| {
        let mut cells = Cells::new(row);
        let key = (IssuerId(cells.bits()?), cells.code(Currency::from_number)?);
        let (settlement, funding, suspense) = (cells.next()?, cells.next()?, cells.next()?);
        Ok((key, Books { settlement, funding, suspense, ..Books::default() }))
    };
    connection.prepare_cached(BOOKS)?.query_map([partition.0], read)?.collect()
}
