//! A store, an engine and a folder in a directory of their own, as a server has them.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mayfly_engine::{
    Asker, Catalogue, Clock, Engine, Handle, NobodyAsked, Options, Parts, Progress, SystemClock,
};
use mayfly_keys::{CardKeys, KeyService, KeyVersion, KeyVersions, RootKey};
use mayfly_store::{DatabaseError, FoldOptions, Folder, Home, OpenOptions, StoreError};

/// What went wrong with a benchmark.
#[derive(Debug)]
pub struct BenchError(pub String);

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BenchError {}

macro_rules! from_error {
    ($($error:ty),*) => {
        $(impl From<$error> for BenchError {
            fn from(error: $error) -> Self {
                Self(error.to_string())
            }
        })*
    };
}

from_error!(
    std::io::Error,
    StoreError,
    DatabaseError,
    crate::credentials::LoadError,
    mayfly_engine::AppendError,
    tokio_postgres::Error,
    serde_json::Error
);

/// Keys that everybody knows: the numbers of a benchmark are nobody's.
pub(crate) fn catalogue(partitions: NonZeroU16) -> Result<Arc<Catalogue>, BenchError> {
    let service = Arc::new(KeyService::new(&RootKey::from_bytes(&[7; 32])));
    let services = BTreeMap::from([(KeyVersion::FIRST, service.clone())]);
    let versions = KeyVersions::first(service.check_value());
    let cards = CardKeys::load(versions, &services, &[]).map_err(|error| BenchError(error.to_string()))?;
    Ok(Arc::new(Catalogue::new(service).among(partitions).with_cards(Arc::new(cards))))
}

/// What becomes of the views while something is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    /// They are folded, as in a server.
    On,
    /// Nobody folds: the journal alone is measured.
    Off,
}

/// An engine with its store.
pub struct Rig {
    /// Where its data are.
    pub home: Home,
    /// To ask it.
    pub handle: Handle,
    /// Its programmes and keys.
    pub catalogue: Arc<Catalogue>,
    /// How long it took to open, the state loaded.
    pub opened_in: Duration,
    engine: Engine,
    folder: Option<Folder>,
    _lock: Option<mayfly_store::DirectoryLock>,
}

/// How far the views lag may not matter while a peak is measured: the benchmark looks at the lag itself.
const VIEWS_LAG_MAX_MS: u64 = 600_000;

impl Rig {
    /// A directory is made if it is not there.
    pub fn open(home: &Home, folding: Folding) -> Result<Self, BenchError> {
        Self::asking(home, folding, Arc::new(NobodyAsked))
    }

    /// The same, with somebody who is asked.
    pub(crate) fn asking(home: &Home, folding: Folding, asker: Arc<dyn Asker>) -> Result<Self, BenchError> {
        if let Home::Files(directory) = home {
            std::fs::create_dir_all(directory)?;
        }
        let begun = Instant::now();
        let opened = mayfly_store::open(home, &OpenOptions::default(), |_| ())?;
        let opened_in = begun.elapsed();
        let catalogue = catalogue(opened.partitions.count())?;
        let progress = Arc::new(Progress::default());
        let fold = || Folder::start(home, FoldOptions::default(), progress.clone(), |_| ());
        let folder = (folding == Folding::On).then(fold).transpose()?;
        let engine = Engine::start(Parts {
            partitions: opened.partitions,
            ends: opened.ends,
            journal: Box::new(opened.journal),
            archive: Arc::new(crate::limit::NoArchive),
            catalogue: catalogue.clone(),
            asker,
            clock: Arc::new(SystemClock),
            progress: progress.clone(),
            options: Options { views_lag_max_ms: VIEWS_LAG_MAX_MS, ..Options::default() },
        })?;
        Ok(Self {
            home: home.clone(),
            handle: engine.handle(),
            catalogue,
            opened_in,
            engine,
            folder,
            _lock: opened.lock,
        })
    }

    /// Waits until the views have everything, at most for `limit`. Returns how long that took, if they have.
    pub fn caught_up(&self, limit: Duration) -> Option<Duration> {
        self.folder.as_ref()?;
        let begun = Instant::now();
        let durable = self.handle.progress().durable();
        while self.handle.progress().folded() < durable {
            if begun.elapsed() > limit {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
        Some(begun.elapsed())
    }

    /// Whether it has views.
    pub fn folds(&self) -> bool {
        self.folder.is_some()
    }

    /// The bytes of all its files; nothing of a database, which has them elsewhere.
    pub fn bytes_on_disk(&self) -> Result<u64, BenchError> {
        let Home::Files(directory) = &self.home else { return Ok(0) };
        let mut bytes = 0;
        for entry in std::fs::read_dir(directory)? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes)
    }

    /// Stops it, the views folded to the end.
    pub fn stop(self) -> Result<(), BenchError> {
        self.engine.stop()?;
        self.folder.map_or(Ok(()), Folder::stop)?;
        Ok(())
    }
}

/// Looks at the lag of the views every few milliseconds, and keeps the largest.
pub struct LagWatch {
    done: Arc<AtomicBool>,
    worst_ms: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl LagWatch {
    /// Begins to look.
    pub fn start(handle: &Handle) -> Result<Self, BenchError> {
        let (done, worst_ms) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (watch_done, watch_worst, handle) = (done.clone(), worst_ms.clone(), handle.clone());
        let thread = thread::Builder::new().name("lag-watch".into()).spawn(move || {
            while !watch_done.load(Ordering::Acquire) {
                let lag = handle.progress().lag(SystemClock.now_ms());
                watch_worst.fetch_max(lag.ms, Ordering::AcqRel);
                thread::sleep(Duration::from_millis(10));
            }
        })?;
        Ok(Self { done, worst_ms, thread })
    }

    /// The largest lag since it began, in milliseconds.
    pub fn stop(self) -> u64 {
        self.done.store(true, Ordering::Release);
        // It only sleeps and looks: it can't panic.
        let _ = self.thread.join();
        self.worst_ms.load(Ordering::Acquire)
    }
}

/// The memory of this process, in bytes (Linux: `/proc/self/statm`); 0 where that can't be read.
pub fn memory_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|resident| resident.parse::<u64>().ok()).unwrap_or(0);
    pages * 4096
}
