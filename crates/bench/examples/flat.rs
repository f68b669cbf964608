//! scratch
use mayfly_bench::{credentials::Bank, drive, limit};
use mayfly_core::{PageRequest, State, state::Transaction};
use mayfly_engine::*;
use mayfly_keys::{KeyService, RootKey};
use std::sync::Arc;
use std::time::{Duration, Instant};
struct NoArchive;
impl Archive for NoArchive {
    fn page(&self, _: &PageRequest, _: u64) -> Result<Vec<Transaction>, ArchiveError> {
        Ok(vec![])
    }
}
fn rss() -> u64 {
    let s = std::fs::read_to_string("/proc/self/statm").unwrap();
    s.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
fn main() {
    let n: usize = std::env::args().nth(1).map_or(1_000_000, |a| a.parse().unwrap());
    let secs: u64 = std::env::args().nth(2).map_or(10, |a| a.parse().unwrap());
    let dir = std::path::PathBuf::from("/tmp/fs");
    for n in [512, 64] {
        println!(
            "bare file {n}: {:?}",
            limit::bare_file(&dir.join("bare"), n, 145, Duration::from_secs(3)).unwrap()
        );
    }
    let service = KeyService::new(&RootKey::from_bytes(&[7; 32]));
    let catalogue = Arc::new(Catalogue::new(service).unwrap());
    let progress = Arc::new(Progress::default());
    let engine = Engine::start(Parts {
        state: State::new(ONLY_PARTITION),
        head: Head::START,
        journal: Box::new(limit::FlatJournal::create(&dir.join("flat")).unwrap()),
        archive: Arc::new(NoArchive),
        catalogue: catalogue.clone(),
        clock: Arc::new(SystemClock),
        progress,
        options: Options { views_lag_max_ms: u64::MAX, ..Options::default() },
    })
    .unwrap();
    let handle = engine.handle();
    let r0 = rss();
    let t = Instant::now();
    let mut bank = Bank::open(handle.clone(), catalogue, n).unwrap();
    println!("accounts {:?}", t.elapsed());
    let r1 = rss();
    let creds = bank.load(n, 1000, |_| {}).unwrap();
    println!(
        "issued {n} in {:?}; rss/number {} (incl. 24 of the bench) accounts {}",
        t.elapsed(),
        (rss() - r1) / n as u64,
        (r1 - r0) / (n as u64 / 10)
    );
    let mut requests = drive::Requests::default();
    for inflight in [512, 64] {
        let before = handle.meter().counts();
        let f = drive::authorise(&handle, &creds, inflight, Duration::from_secs(secs), &mut requests);
        let after = handle.meter().counts();
        println!("{inflight}: {f:?}");
        println!(
            "  bytes/auth {} events/record {}",
            (after.bytes - before.bytes) / f.answers,
            (after.events - before.events) / (after.records - before.records)
        );
    }
    println!("rss {} MB", rss() >> 20);
    engine.stop().unwrap();
    std::fs::remove_file(dir.join("flat")).unwrap();
}
