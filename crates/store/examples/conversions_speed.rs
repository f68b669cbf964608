//! How long it takes to load the conversion table: `cargo run --release --example conversions_speed [ROWS] [URL]`.
//!
//! In files of a temporary directory, or in a database that has no installation.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it shows what it measured, or why it can't")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_card::{MonthIndex, Pan};
use mayfly_core::{AccountId, IssuerId, ProgrammeId};
use mayfly_dynamic::{Bin, CardNumber, ControlDigit, Conversion, PseudoPan};
use mayfly_keys::{KeyService, KeyVersion, NumberIndex, OsRandom, RootKey, SecretKey};
use mayfly_store::directory::{By, Directory, DirectoryError, NewConversion};
use mayfly_store::{Database, DatabaseOptions, Home};

const BATCH: u64 = 20_000;

fn main() {
    let mut words = std::env::args().skip(1);
    let rows = words.next().map_or(1_000_000, |rows| rows.parse().unwrap());
    let files = tempfile::tempdir().unwrap();
    let home = words.next().map_or(Home::Files(files.path().to_owned()), |url| database(&url));
    let keys = KeyService::new(&RootKey::from_bytes(&[7; 32])).directory_keys();
    let directory = Directory::open(&home, keys).unwrap();
    let begun = Instant::now();
    for from in (0..rows).step_by(BATCH as usize) {
        fill(&directory, from..rows.min(from + BATCH));
    }
    println!("{rows} rows written in {:?}", begun.elapsed());
    let begun = Instant::now();
    let mut count = 0u64;
    directory.each_conversion(None, |row| count += u64::from(row.account.0 > 0)).unwrap();
    println!("{count} rows loaded in {:?}", begun.elapsed());
    let begun = Instant::now();
    let counts = directory.conversions_by_version().unwrap();
    println!("counted by version, {counts:?}, in {:?}", begun.elapsed());
}

fn fill(directory: &Directory, cards: std::ops::Range<u64>) {
    let bin = Bin::parse("541999").unwrap();
    let by = By { actor: "operator", now_ms: 1_790_000_000_000 };
    let written = directory.write::<_, DirectoryError>(by, |writing| {
        for at in cards {
            // Every fourth has a key of its own.
            let digit = ControlDigit::ALL[(at % 4) as usize];
            let conversion = Conversion {
                number: CardNumber::Pseudo(PseudoPan::new(bin, digit, at as u32)),
                pan: Pan::with_check_digit(format!("54000{at:010}")).unwrap(),
                expiry: MonthIndex::new(2027, 12).unwrap(),
                version: KeyVersion::FIRST,
                secret: (digit == ControlDigit::Stored).then(|| SecretKey::from_bytes(&[3; 16])),
            };
            let new = NewConversion {
                index: NumberIndex(at.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                issuer: IssuerId(1),
                account: AccountId(at + 1),
                programme: ProgrammeId(1),
                conversion: &conversion,
            };
            writing.add_conversion(&new, &mut OsRandom)?;
        }
        Ok(())
    });
    written.unwrap();
}

fn database(url: &str) -> Home {
    let limit = Duration::from_secs(60);
    let options = DatabaseOptions {
        url,
        password: None,
        ca_file: None,
        statement_time_max: limit,
        connect_time_max: limit,
    };
    Home::Database(Arc::new(Database::new(&options).unwrap()))
}
