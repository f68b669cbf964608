//! What issuer hosts have to be told and have not acknowledged: taken over from the journal, in its order.
//!
//! Everything before the place up to which it was taken over is here, or settled. Taking over and settling are one
//! transaction with that place, so nothing is lost and nothing comes back, whatever ends in between. Not in the audit
//! stream: nobody decided it.

use mayfly_core::{HostAdvice, IssuerId, TimeMs};

use super::{Directory, DirectoryError, Writing, ms};
use crate::sql::{Cells, Sql, json, values};
use crate::{EventPlace, StoreError};

pub(super) const CREATE: &str = "
-- Up to which place of the journal advices were taken over; no row before the first issuer host was configured.
CREATE TABLE host_place (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    place_sequence INTEGER NOT NULL,
    place_index INTEGER NOT NULL
) STRICT;
-- Each until its host has acknowledged it: `advice` is as the journal has it, and has no card number.
CREATE TABLE host_advices (
    place_sequence INTEGER NOT NULL,
    place_index INTEGER NOT NULL,
    issuer INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    advice TEXT NOT NULL,
    PRIMARY KEY (place_sequence, place_index)
) STRICT;
CREATE INDEX host_advices_by_issuer ON host_advices (issuer, place_sequence, place_index);";

const PLACE: &str = "SELECT place_sequence, place_index FROM host_place";
const BEGIN: &str =
    "INSERT INTO host_place (id, place_sequence, place_index) VALUES (1, ?, ?) ON CONFLICT (id) DO NOTHING";
const MOVE: &str =
    "UPDATE host_place SET place_sequence = ?, place_index = ? WHERE place_sequence = ? AND place_index = ?";
const ADD: &str =
    "INSERT INTO host_advices (place_sequence, place_index, issuer, at_ms, advice) VALUES (?, ?, ?, ?, ?)";
const SETTLE: &str = "DELETE FROM host_advices WHERE place_sequence = ? AND place_index = ?";
const LIST: &str = "SELECT place_sequence, place_index, at_ms, advice FROM host_advices
    WHERE issuer = ? AND (place_sequence > ? OR (place_sequence = ? AND place_index > ?))
    ORDER BY place_sequence, place_index LIMIT ?";
const COUNT: &str = "SELECT issuer, count(*) FROM host_advices GROUP BY issuer ORDER BY issuer";

/// An advice that is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAdvice {
    /// Where it stands in the journal.
    pub place: EventPlace,
    /// When it came to be owed.
    pub at_ms: TimeMs,
    /// What the host has to be told.
    pub advice: HostAdvice,
}

/// The entry of the journal up to which advices were taken over, if any ever were.
pub(super) fn place(sql: &Sql) -> Result<Option<EventPlace>, StoreError> {
    sql.one(PLACE, &[], |cells| Ok(EventPlace { sequence: cells.bits()?, index: cells.next()? }))
}

impl Directory {
    /// Up to which place of the journal advices were taken over.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if it can't be read.
    pub fn host_place(&self) -> Result<Option<EventPlace>, DirectoryError> {
        self.read(place)
    }

    /// What an issuer's host has to be told, in the order of the journal: at most so many that stand behind `after`.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if it can't be read.
    pub fn host_advices(
        &self,
        issuer: IssuerId,
        after: Option<EventPlace>,
        count_max: usize,
    ) -> Result<Vec<StoredAdvice>, DirectoryError> {
        let after = after.unwrap_or(EventPlace { sequence: 0, index: 0 });
        let (sequence, limit) = (ms(after.sequence), i64::try_from(count_max).unwrap_or(i64::MAX));
        self.read(|sql| sql.all(LIST, values![issuer.0 as i64, sequence, sequence, after.index, limit], read))
    }

    /// How many are owed to each issuer's host.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if it can't be read.
    pub fn count_host_advices(&self) -> Result<Vec<(IssuerId, u64)>, DirectoryError> {
        self.read(|sql| sql.all(COUNT, &[], |cells| Ok((IssuerId(cells.bits()?), cells.bits()?))))
    }
}

impl Writing<'_> {
    /// Notes which advices were taken over from the journal between two places, and which are settled. False, and nothing is
    /// to be committed, if another gateway has taken over since `from`.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if it could not be written.
    pub fn note_host_advices(
        &self,
        (from, to): (Option<EventPlace>, EventPlace),
        taken_over: &[StoredAdvice],
        settled: &[EventPlace],
    ) -> Result<bool, DirectoryError> {
        let (sequence, index) = (ms(to.sequence), to.index);
        let moved = match from {
            None => self.sql().run(BEGIN, values![sequence, index])?,
            Some(from) => self.sql().run(MOVE, values![sequence, index, ms(from.sequence), from.index])?,
        };
        if moved == 0 {
            return Ok(false);
        }
        for StoredAdvice { place, at_ms, advice } in taken_over {
            let told = json(advice)?;
            let values = values![ms(place.sequence), place.index, advice.issuer.0 as i64, ms(*at_ms), told];
            self.sql().run(ADD, values)?;
        }
        for place in settled {
            self.sql().run(SETTLE, values![ms(place.sequence), place.index])?;
        }
        Ok(true)
    }
}

fn read(cells: &mut Cells<'_>) -> Result<StoredAdvice, StoreError> {
    Ok(StoredAdvice {
        place: EventPlace { sequence: cells.bits()?, index: cells.next()? },
        at_ms: cells.bits()?,
        advice: cells.text(|text| serde_json::from_str(text))?,
    })
}
