//! How fast the journal takes records, and how long the slowest append takes, by checkpoint size.
use std::time::{Duration, Instant};
use mayfly_core::PartitionId;
use mayfly_engine::{Head, Journal, Record};
use mayfly_store::SqliteJournal;
fn main() {
    let mut args = std::env::args().skip(1);
    let pages: u32 = args.next().map_or(1000, |a| a.parse().unwrap());
    let count: u64 = args.next().map_or(3000, |a| a.parse().unwrap());
    let dir = tempfile::tempdir_in("/work/main/target").unwrap();
    let mut journal = SqliteJournal::open(dir.path()).unwrap();
    journal.set_checkpoint_pages(pages).unwrap();
    let mut head = Head::START;
    let mut times = Vec::new();
    let begun = Instant::now();
    for n in 0..count {
        let payload: Vec<u8> = (0..66_560u32).map(|i| (i as u64 * 7 + n) as u8).collect();
        let record = Record::seal(&head, PartitionId(0), n, 512, payload);
        head = record.head();
        let b = Instant::now();
        journal.append(&record).unwrap();
        times.push(b.elapsed());
    }
    let all = begun.elapsed();
    times.sort();
    let at = |p: f64| times[((times.len() - 1) as f64 * p) as usize];
    println!("{pages} pages: {:.0} events/s, {:.0} commits/s, p50 {:?} p99 {:?} p99.9 {:?} max {:?}", (count * 512) as f64 / all.as_secs_f64(), count as f64 / all.as_secs_f64(), at(0.5), at(0.99), at(0.999), at(1.0));
    let _ = Duration::ZERO;
}
