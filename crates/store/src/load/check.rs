//! Whether the views fit the journal.

use mayfly_core::{Books, PartitionId};
use mayfly_engine::Ends;

use super::{LOAD_CACHE_BYTES, OpenOptions};
use crate::sql::Sql;
use crate::views::{self, numbers};
use crate::{Home, JournalReader, Location, StoreError, VIEWS_FILE};

/// The tables that a start loads whole.
const LOADED: [&str; 13] = [
    "kept_answers",
    "cursor",
    "issuers",
    "programmes",
    "accounts",
    "issuer_books",
    "number_state",
    "cards",
    "open_etsns",
    "card_misses",
    "quarantine",
    "aliases",
    "pending",
];

/// Why the views can't be used, if they can't. An error is something that building them again does not cure.
pub(super) fn misfit(
    home: &Home,
    journal: &JournalReader,
    ends: &Ends,
    options: &OpenOptions,
) -> Result<Option<String>, StoreError> {
    let location = home.location(&views::FORMAT);
    if let Home::Files(directory) = home {
        if !directory.join(VIEWS_FILE).exists() {
            // A new journal has no views yet. One with records has lost them.
            return Ok((ends.number > 0).then(|| format!("{location} is missing")));
        }
        if let Some(why) = views::distrusted(directory) {
            return Ok(Some(why));
        }
    }
    let found =
        views::open_to_read(home, LOAD_CACHE_BYTES).and_then(|sql| look(&sql, journal, ends, options));
    match found {
        Err(StoreError::Missing { .. }) => Ok((ends.number > 0).then(|| format!("{location} is missing"))),
        Err(damage) if damage.is_damage_of(&location) => Ok(Some(damage.to_string())),
        found => found,
    }
}

fn look(
    views: &Sql,
    journal: &JournalReader,
    ends: &Ends,
    options: &OpenOptions,
) -> Result<Option<String>, StoreError> {
    let Some(cursors) = views::cursor::find(views, journal.partitions())? else {
        let unsaid = "they don't say up to which record they are folded";
        return Ok((ends.number > 0).then(|| unsaid.to_owned()));
    };
    if cursors.number < journal.base()?.number {
        return Ok(Some(format!("they are folded up to entry {}, which was archived", cursors.number)));
    }
    for partition in PartitionId::all(journal.partitions()) {
        let (folded, end) = (cursors.of(partition).head, ends.head(partition).sequence);
        let sequence = folded.sequence;
        if sequence > end {
            return Ok(Some(format!("they are folded up to record {sequence}, the journal ends at {end}")));
        }
        if journal.head_at(partition, sequence)? != Some(folded) {
            return Ok(Some(format!("record {sequence} is another one in the journal")));
        }
    }
    if cursors.number > ends.number {
        let why =
            format!("they are folded up to entry {}, the journal ends at {}", cursors.number, ends.number);
        return Ok(Some(why));
    }
    if let Some(damage) = pages(views, options.check_bytes_max)? {
        return Ok(Some(damage));
    }
    for partition in PartitionId::all(journal.partitions()) {
        if let Some(misfit) = sums(views, partition)? {
            return Ok(Some(misfit));
        }
    }
    Ok(None)
}

/// Whether every page is what a page should be, and every row what its table allows. A database looks after its pages by
/// itself.
fn pages(views: &Sql, bytes_max: u64) -> Result<Option<String>, StoreError> {
    let Location::File(path) = views.location() else { return Ok(None) };
    let check = |sql: &str| {
        let found = views.one(sql, &[], |cells| cells.next::<String>())?;
        Ok(found.unwrap_or_default())
    };
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    if bytes <= bytes_max {
        let found: String = check("PRAGMA quick_check(1)")?;
        return Ok((found != "ok").then_some(found));
    }
    for table in LOADED {
        let found: String = check(&format!("PRAGMA quick_check({table})"))?;
        if found != "ok" {
            return Ok(Some(format!("{table}: {found}")));
        }
    }
    Ok(None)
}

/// Whether money is neither made nor lost, and the accounts have as many active numbers as they say.
fn sums(views: &Sql, partition: PartitionId) -> Result<Option<String>, StoreError> {
    let mut total = Books::default();
    for (_, books) in views::issuers::books(views, partition)? {
        total.add(&books);
    }
    let mut active = 0;
    let none = mayfly_core::AccountId(0);
    views::accounts::list(views, partition, none, usize::MAX, |row| {
        let account = &row.account;
        total.add(&Books { cardholder: account.balance, held: account.held, ..Books::default() });
        active += u64::from(account.active_numbers);
    })?;
    if total.sum() != 0 {
        return Ok(Some(format!("their books add up to {} instead of nothing", total.sum())));
    }
    let counted = numbers::count_active(views, partition)?;
    if active != counted {
        return Ok(Some(format!("they have {counted} active numbers, their accounts say {active}")));
    }
    Ok(None)
}
