//! The cards of the check site, their ETSNs, and the proofs that failed.
//!
//! A row of `etsns` tells people of one ETSN, for as long as the views keep it. What a start needs of those that are open stands
//! in a table of its own, so that it reads just that, however many there were; when one is used or void its row goes from there.

use mayfly_card::{Currency, MerchantId, MinorUnits};
use mayfly_core::scheme::dynamic::MISSES_KEPT_MS;
use mayfly_core::state::{CHECKS, Card, Open};
use mayfly_core::{AccountId, CardRef, EtsnOpened, NumberId, NumberRef, PartitionId, TimeMs};
use mayfly_dynamic::{AppVersion, Etsn, Mode, Months, ReferenceData, RequestRefusal, Tsn};
use mayfly_keys::NumberIndex;

use hashbrown::HashMap;

use super::codes::Code;
use super::lookups::Lookup;
use super::{NumberRow, Result};
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- The cards that anything happened to, by the ids of their numbers; those of numbers that retired, too. `etsns` is how many were
-- opened. Of the failed proofs those count that have an id from misses_from on. `refused` is how many requests of a wallet
-- were refused, `refusal` why the last one was.
CREATE TABLE cards (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    number_index INTEGER NOT NULL,
    account INTEGER NOT NULL,
    last_tsn INTEGER NOT NULL DEFAULT 0,
    last_etsn INTEGER NOT NULL DEFAULT 0,
    etsns INTEGER NOT NULL DEFAULT 0,
    locked_ms INTEGER,
    misses_from INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    refusal INTEGER,
    refused_ms INTEGER
) STRICT;

-- In the order in which they were opened. `checks` is how many zero-amount checks were made; used_ms and void_ms are null until
-- then. `reference` and `months` are how a MAC becomes a date; `cap` and `merchant` what the cardholder allowed.
CREATE TABLE etsns (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    number INTEGER NOT NULL,
    etsn INTEGER NOT NULL,
    tsn INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    version INTEGER NOT NULL,
    reference TEXT NOT NULL,
    months INTEGER NOT NULL,
    cap INTEGER,
    cap_currency INTEGER,
    merchant TEXT,
    opened_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    checks INTEGER NOT NULL,
    used_ms INTEGER,
    void_ms INTEGER
) STRICT;

-- Those that are neither used nor void; some may be over. `id` is that of its row in etsns.
CREATE TABLE open_etsns (
    partition INTEGER NOT NULL,
    number INTEGER NOT NULL,
    etsn INTEGER NOT NULL,
    id INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    version INTEGER NOT NULL,
    reference TEXT NOT NULL,
    months INTEGER NOT NULL,
    cap INTEGER,
    cap_currency INTEGER,
    merchant TEXT,
    expires_ms INTEGER NOT NULL,
    checks INTEGER NOT NULL,
    PRIMARY KEY (partition, number, etsn)
) STRICT, WITHOUT ROWID;

-- Proofs that failed while the card had an open ETSN: those that count towards its lock.
CREATE TABLE card_misses (
    partition INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    locks INTEGER NOT NULL,
    PRIMARY KEY (partition, at_ms, id)
) STRICT, WITHOUT ROWID;";

/// What people read. Whether something is over goes by the last record.
pub(super) const LIST: &str = "
CREATE VIEW card_list AS SELECT
    cards.id, cards.partition, substr(CAST(10000 + numbers.last_four AS TEXT), 2) AS last_four, cards.account,
    numbers.programme,
    CASE WHEN number_state.id IS NULL OR numbers.expires_ms <= cursor.at_ms THEN 'closed'
        WHEN cards.locked_ms IS NOT NULL THEN 'locked' ELSE 'active' END AS state,
    cards.locked_ms, cards.last_tsn, cards.last_etsn, cards.etsns,
    (SELECT count(*) FROM open_etsns WHERE open_etsns.partition = cards.partition AND open_etsns.number = cards.id
        AND open_etsns.expires_ms > cursor.at_ms) AS open_etsns,
    cards.refused, request_refusals.name AS refusal, cards.refused_ms
    FROM cards
    JOIN cursor ON cursor.partition = cards.partition
    JOIN numbers ON numbers.partition = cards.partition AND numbers.id = cards.id
    LEFT JOIN number_state ON number_state.partition = cards.partition AND number_state.id = cards.id
    LEFT JOIN request_refusals ON request_refusals.code = cards.refusal;

CREATE VIEW etsn_list AS SELECT
    etsns.id, etsns.partition, etsns.number, etsns.etsn, etsns.tsn, modes.name AS mode,
    CASE WHEN used_ms IS NOT NULL THEN 'used' WHEN void_ms IS NOT NULL THEN 'void'
        WHEN etsns.expires_ms <= cursor.at_ms THEN 'expired' ELSE 'open' END AS state,
    etsns.version, etsns.reference, etsns.months, etsns.cap, etsns.cap_currency, etsns.merchant, etsns.opened_ms,
    etsns.expires_ms, etsns.checks, etsns.used_ms, etsns.void_ms
    FROM etsns
    JOIN cursor ON cursor.partition = etsns.partition
    JOIN modes ON modes.code = etsns.mode;";

const MISSES: &str = "SELECT number, at_ms FROM card_misses
    JOIN cards ON cards.partition = card_misses.partition AND cards.id = number
    WHERE card_misses.partition = ? AND at_ms > ? AND card_misses.id >= misses_from
    ORDER BY at_ms, card_misses.id";
/// Cards with what is open of each, one after the other.
const CARDS: &str = "SELECT cards.id, number_index, account, last_tsn, last_etsn, locked_ms,
    etsn, mode, version, reference, months, cap, cap_currency, merchant, expires_ms, checks
    FROM cards LEFT JOIN open_etsns ON open_etsns.partition = cards.partition AND number = cards.id
        AND expires_ms > ?
    WHERE cards.partition = ? ORDER BY cards.id, etsn";
const FIND: &str = "SELECT last_tsn, last_etsn, etsns, locked_ms, refused, refusal, refused_ms,
    (SELECT count(*) FROM open_etsns WHERE open_etsns.partition = cards.partition AND number = cards.id
        AND expires_ms > ?)
    FROM cards WHERE partition = ? AND id = ?";
const FIND_ETSN: &str =
    "SELECT etsn, tsn, mode, version, reference, months, cap, cap_currency, merchant, expires_ms,
    checks, opened_ms, used_ms, void_ms FROM etsns WHERE partition = ? AND id = ? AND number = ?";
const REACHES_TO: &str =
    "SELECT number FROM open_etsns WHERE partition = ? AND number > ? ORDER BY number LIMIT 1 OFFSET ?";
const FORGET_OVER: &str =
    "DELETE FROM open_etsns WHERE partition = ? AND number > ? AND number <= ? AND expires_ms <= ?";

/// How many open ETSNs are looked at in one transaction, whether they are over.
const LOOKED_AT: i64 = 2048;

/// What stands of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardStatus {
    /// It pays.
    Active,
    /// Too many proofs failed: it pays again when its cardholder has unlocked it.
    Locked,
    /// Its number is not active any more.
    Closed,
}

/// A card of the check site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardRow {
    /// Its number.
    pub number: NumberRow,
    /// What happened to it.
    pub life: CardLife,
}

/// What happened to a card; nothing if its wallet has asked for nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CardLife {
    /// The TSN of its last good request.
    pub last_tsn: Tsn,
    /// The last ETSN that it got.
    pub last_etsn: Etsn,
    /// How many ETSNs it got.
    pub etsns: u64,
    /// How many of them are open.
    pub open: u32,
    /// When it was locked, if it is.
    pub locked_ms: Option<TimeMs>,
    /// How many requests of a wallet were refused.
    pub refused: u64,
    /// Why the last of those was, and when.
    pub last_refusal: Option<(RequestRefusal, TimeMs)>,
}

impl CardRow {
    /// What stands of it at `now`.
    pub fn status(&self, now: TimeMs) -> CardStatus {
        if self.number.retired.is_some() || self.number.expires_ms <= now {
            CardStatus::Closed
        } else if self.life.locked_ms.is_some() {
            CardStatus::Locked
        } else {
            CardStatus::Active
        }
    }
}

/// What became of an ETSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtsnStatus {
    /// A purchase may use it.
    Open,
    /// A purchase has used it.
    Used,
    /// Its card was locked before a purchase could use it.
    Void,
    /// No purchase has used it in its time.
    Expired,
}

/// An ETSN with everything that is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EtsnRow {
    /// Its row: what a page goes on with.
    pub id: EtsnId,
    /// The ETSN.
    pub etsn: Etsn,
    /// The TSN of the request that it was opened for.
    pub tsn: Tsn,
    /// Where its MAC has to be.
    pub mode: Mode,
    /// The version of the cardholder's software.
    pub version: AppVersion,
    /// How its MAC becomes a date.
    pub reference: ReferenceData,
    /// The most that it pays, if that is limited.
    pub cap: Option<(MinorUnits, Currency)>,
    /// The one merchant that it pays, if it is bound to one.
    pub merchant: Option<MerchantId>,
    /// When it was opened.
    pub opened_ms: TimeMs,
    /// When its lifetime is over.
    pub expires_ms: TimeMs,
    /// How many zero-amount checks were made with it.
    pub checks: u8,
    /// When a purchase used it.
    pub used_ms: Option<TimeMs>,
    /// When its card was locked, if it was open then.
    pub void_ms: Option<TimeMs>,
}

impl EtsnRow {
    /// What has become of it at `now`.
    pub fn status(&self, now: TimeMs) -> EtsnStatus {
        if self.used_ms.is_some() {
            EtsnStatus::Used
        } else if self.void_ms.is_some() {
            EtsnStatus::Void
        } else if self.expires_ms <= now {
            EtsnStatus::Expired
        } else {
            EtsnStatus::Open
        }
    }
}

/// Where an ETSN stands among all of its partition, in the order in which they were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EtsnId(pub u64);

/// What both tables say of an ETSN, from `mode` on.
struct Stated {
    mode: Mode,
    version: AppVersion,
    reference: ReferenceData,
    cap: Option<(MinorUnits, Currency)>,
    merchant: Option<MerchantId>,
    expires_ms: TimeMs,
    checks: u8,
}

fn stated(cells: &mut Cells<'_>) -> Result<Stated> {
    let (mode, version) = (cells.code(Mode::of)?, AppVersion(cells.next()?));
    let date = cells.month()?;
    let months = |months| ReferenceData::new(date, Months::new(months)?).ok();
    let reference = cells.code(months)?;
    let cap = cells.code_or_none(|cap: i64| MinorUnits::new(u64::try_from(cap).ok()?))?;
    let currency = cells.code_or_none(Currency::from_number)?;
    Ok(Stated {
        mode,
        version,
        reference,
        cap: cap.zip(currency),
        merchant: cells.text_or_none(MerchantId::parse)?,
        expires_ms: cells.bits()?,
        checks: cells.next()?,
    })
}

/// Each card with what is open of it and what counts of its failed proofs at `now`; also those of numbers that retired.
pub(crate) fn each(
    sql: &Sql,
    partition: PartitionId,
    now: TimeMs,
    mut each: impl FnMut(NumberRef, Card),
) -> Result<()> {
    let mut misses: HashMap<NumberId, Vec<TimeMs>> = HashMap::new();
    let since_ms = now.saturating_sub(MISSES_KEPT_MS);
    sql.each(MISSES, values![partition.0, since_ms as i64], |cells| {
        misses.entry(NumberId(cells.bits()?)).or_default().push(cells.bits()?);
        Ok(())
    })?;
    let mut last: Option<(NumberRef, Card)> = None;
    sql.each(CARDS, values![now as i64, partition.0], |cells| {
        let number = NumberRef { id: NumberId(cells.bits()?), index: NumberIndex(cells.bits()?) };
        let account = AccountId(cells.bits()?);
        let (last_tsn, last_etsn) = (Tsn(cells.bits()?), Etsn(cells.bits()?));
        let locked_ms = cells.bits_or_none()?;
        if last.as_ref().is_none_or(|(before, _)| before.id != number.id) {
            let misses_ms = misses.remove(&number.id).unwrap_or_default();
            let card = Card { last_tsn, last_etsn, locked_ms, misses_ms, open: Vec::new() };
            if let Some((number, card)) = last.replace((number, card)) {
                each(number, card);
            }
        }
        if let Some(etsn) = cells.bits_or_none()?
            && let Some((_, card)) = &mut last
        {
            let Stated { mode, version, reference, cap, merchant, expires_ms, checks } = stated(cells)?;
            let card_ref = CardRef { number, account };
            // Of which request it came changes nothing any more.
            let opened = EtsnOpened {
                card: card_ref,
                tsn: last_tsn,
                etsn: Etsn(etsn),
                mode,
                version,
                reference,
                expires_ms,
                cap,
                merchant,
            };
            let mut open = Open::opened(&opened);
            open.checks_left = CHECKS.saturating_sub(checks);
            card.open.push(open);
        }
        Ok(())
    })?;
    if let Some((number, card)) = last {
        each(number, card);
    }
    Ok(())
}

/// What happened to the card of a number; nothing if nothing did.
pub(crate) fn find(sql: &Sql, number: NumberId, now: TimeMs) -> Result<CardLife> {
    let found = sql.one(FIND, values![now as i64, number.partition().0, number.0 as i64], |cells| {
        let (last_tsn, last_etsn) = (Tsn(cells.bits()?), Etsn(cells.bits()?));
        let (etsns, locked_ms, refused) = (cells.bits()?, cells.bits_or_none()?, cells.bits()?);
        let (refusal, refused_ms) = (cells.code_or_none(RequestRefusal::of)?, cells.bits_or_none()?);
        let (last_refusal, open) = (refusal.zip(refused_ms), cells.next()?);
        Ok(CardLife { last_tsn, last_etsn, etsns, open, locked_ms, refused, last_refusal })
    })?;
    Ok(found.unwrap_or_default())
}

/// The ETSNs of a card that were opened before `before`, the latest first, at most `limit`.
pub(crate) fn etsns(sql: &Sql, number: NumberId, before: EtsnId, limit: usize) -> Result<Vec<EtsnRow>> {
    let partition = number.partition();
    let mut rows = Vec::new();
    for id in Lookup::Etsn.find(sql, partition, number.0, before.0, limit)? {
        rows.extend(sql.one(FIND_ETSN, values![partition.0, id as i64, number.0 as i64], |cells| {
            let (etsn, tsn) = (Etsn(cells.bits()?), Tsn(cells.bits()?));
            let Stated { mode, version, reference, cap, merchant, expires_ms, checks } = stated(cells)?;
            Ok(EtsnRow {
                id: EtsnId(id),
                etsn,
                tsn,
                mode,
                version,
                reference,
                cap,
                merchant,
                opened_ms: cells.bits()?,
                expires_ms,
                checks,
                used_ms: cells.bits_or_none()?,
                void_ms: cells.bits_or_none()?,
            })
        })?);
    }
    Ok(rows)
}

/// Takes out, of some open ETSNs behind that number, those that are over at `now`: their rows in `etsns` say so by themselves.
/// Returns behind which number to go on; the first again at the end.
pub(crate) fn forget_over(sql: &Sql, partition: PartitionId, behind: u64, now: TimeMs) -> Result<u64> {
    let reach = values![partition.0, behind as i64, LOOKED_AT];
    let to = sql.one(REACHES_TO, reach, |cells| cells.bits())?;
    let upto = to.map_or(i64::MAX, |to| to as i64);
    sql.run(FORGET_OVER, values![partition.0, behind as i64, upto, now as i64])?;
    Ok(to.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::tests::on_both;
    use crate::sqlite::Access;
    use crate::views;

    #[test]
    fn what_is_over_is_found_in_turns() {
        on_both(|home| {
            let sql = home.open(&views::FORMAT, Access::Create, 1 << 20).unwrap();
            let (partition, other) = (PartitionId(1), PartitionId(2));
            let add = "INSERT INTO open_etsns (partition, number, etsn, id, mode, version, reference, months,
                expires_ms, checks) VALUES (?, ?, ?, 1, 0, 1, '2026-12', 96, ?, 0)";
            let writing = sql.begin(crate::sql::Access::Write).unwrap();
            // Of each card three, two of which are over by and by; some cards of another partition, too.
            let cards = LOOKED_AT as u64 + 100;
            for card in 1..=cards {
                for (etsn, expires_ms) in [(1, 1000), (2, 2000), (3, 3000)] {
                    let values = values![partition.0, partition.id(card) as i64, etsn, expires_ms];
                    writing.run(add, values).unwrap();
                }
            }
            writing.run(add, values![other.0, other.id(1) as i64, 1, 1000]).unwrap();
            writing.commit().unwrap();
            let count = || {
                sql.one("SELECT count(*) FROM open_etsns", &[], |cells| cells.bits()).unwrap().unwrap() - 1
            };
            let (mut behind, mut turns) = (0, 0);
            for (now, left) in [(999, 3 * cards), (1000, 2 * cards), (2500, cards)] {
                loop {
                    behind = forget_over(&sql, partition, behind, now).unwrap();
                    turns += 1;
                    if behind == 0 {
                        break;
                    }
                }
                assert_eq!(count(), left, "at {now}");
            }
            assert!(turns > 6, "{turns}");
        });
    }
}
