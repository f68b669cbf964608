//! Issuers, their programmes, and their books.

use mayfly_card::Currency;
use mayfly_core::state::{Issuer, Programme};
use mayfly_core::{
    Books, DecisionHook, HostTerms, IssuerId, IssuerOpened, Name, PartitionId, ProgrammeId, ProgrammeOpened,
    Terms,
};

use super::Result;
use crate::sql::{Sql, json, values};

pub(super) const CREATE: &str = "
CREATE TABLE issuers (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    name TEXT NOT NULL,
    -- How it is asked before its accounts pay; nothing if it is not.
    hook TEXT,
    -- How its host is asked; nothing if by the defaults.
    host TEXT
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
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)";
const SET_HOOK: &str = "UPDATE issuers SET hook = ? WHERE partition = ? AND id = ?";
const SET_HOST: &str = "UPDATE issuers SET host = ? WHERE partition = ? AND id = ?";
const CLOSE_PROGRAMME: &str = "UPDATE programmes SET closed = ? WHERE partition = ? AND id = ?";
const ISSUERS: &str = "SELECT id, name, hook, host FROM issuers WHERE partition = ? ORDER BY id";
const PROGRAMMES: &str =
    "SELECT id, issuer, name, terms, closed FROM programmes WHERE partition = ? ORDER BY id";
const BOOKS: &str =
    "SELECT issuer, currency, settlement, funding, suspense FROM issuer_books WHERE partition = ?";

pub(crate) fn add_issuer(sql: &Sql, event: &IssuerOpened) -> Result<()> {
    sql.run(ADD_ISSUER, values![event.issuer.0 as i64, PartitionId::FIRST.0, event.name.as_str()]).map(|_| ())
}

pub(crate) fn close_programme(sql: &Sql, programme: ProgrammeId, closed: bool) -> Result<()> {
    sql.run(CLOSE_PROGRAMME, values![closed, PartitionId::FIRST.0, programme.0 as i64]).map(|_| ())
}

pub(crate) fn set_hook(sql: &Sql, issuer: IssuerId, hook: Option<DecisionHook>) -> Result<()> {
    let hook = hook.map(|hook| json(&hook)).transpose()?;
    sql.run(SET_HOOK, values![hook, PartitionId::FIRST.0, issuer.0 as i64]).map(|_| ())
}

pub(crate) fn set_host(sql: &Sql, issuer: IssuerId, host: Option<HostTerms>) -> Result<()> {
    let host = host.map(|host| json(&host)).transpose()?;
    sql.run(SET_HOST, values![host, PartitionId::FIRST.0, issuer.0 as i64]).map(|_| ())
}

pub(crate) fn add_programme(sql: &Sql, event: &ProgrammeOpened) -> Result<()> {
    let terms = &event.terms;
    let values = values![
        event.programme.0 as i64,
        PartitionId::FIRST.0,
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
    ];
    sql.run(ADD_PROGRAMME, values).map(|_| ())
}

/// All issuers, the first first.
pub(crate) fn issuers(sql: &Sql) -> Result<Vec<(IssuerId, Issuer)>> {
    sql.all(ISSUERS, values![PartitionId::FIRST.0], |cells| {
        let (id, name) = (IssuerId(cells.bits()?), cells.text(Name::parse)?);
        let hook = cells.text_or_none(|text| serde_json::from_str(text))?;
        let host = cells.text_or_none(|text| serde_json::from_str(text))?;
        Ok((id, Issuer { name, hook, host }))
    })
}

/// All programmes, the first first.
pub(crate) fn programmes(sql: &Sql) -> Result<Vec<(ProgrammeId, Programme)>> {
    sql.all(PROGRAMMES, values![PartitionId::FIRST.0], |cells| {
        let id = ProgrammeId(cells.bits()?);
        let (issuer, name) = (IssuerId(cells.bits()?), cells.text(Name::parse)?);
        let terms: Terms = cells.text(|text| serde_json::from_str(text))?;
        Ok((id, Programme { issuer, name, terms, closed: cells.next()? }))
    })
}

/// All books that are kept per issuer.
pub(crate) fn books(sql: &Sql, partition: PartitionId) -> Result<Vec<((IssuerId, Currency), Books)>> {
    sql.all(BOOKS, values![partition.0], |cells| {
        let key = (IssuerId(cells.bits()?), cells.code(Currency::from_number)?);
        let (settlement, funding, suspense) = (cells.next()?, cells.next()?, cells.next()?);
        Ok((key, Books { settlement, funding, suspense, ..Books::default() }))
    })
}
