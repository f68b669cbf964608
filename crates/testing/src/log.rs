//! What this process logs, for tests that look for what must not stand there.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::LevelFilter;

/// All that this process logs, at the finest level. A process has one log: a test that catches it has a file of its own.
#[derive(Clone, Debug, Default)]
pub struct CaughtLog(Arc<Mutex<Vec<u8>>>);

impl CaughtLog {
    /// From now on.
    ///
    /// # Panics
    /// If it is caught already.
    #[must_use]
    pub fn catch() -> Self {
        let log = Self::default();
        let writer = log.clone();
        // Without times, whose digits could be taken for something else.
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .init();
        log
    }

    /// What was logged until now.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for CaughtLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
