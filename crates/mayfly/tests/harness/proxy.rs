//! The way to a database, which can be cut.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Listens, and hands on what comes in both directions.
pub(crate) struct Proxy {
    url: String,
    way: Arc<Way>,
}

struct Way {
    to: SocketAddr,
    cut: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// On the way to where a URL leads.
    pub(crate) fn before(url: &str) -> Self {
        let (user, rest) = url.split_once('@').unwrap();
        let (to, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{user}@{}/{database}", listener.local_addr().unwrap());
        let to = to.replace("localhost", "127.0.0.1").parse().unwrap();
        let way = Arc::new(Way { to, cut: AtomicBool::new(false), streams: Mutex::default() });
        let of_thread = way.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever can't be connected any further finds his connection closed.
                let _ = of_thread.hand_on(stream);
            }
        });
        Self { url, way }
    }

    /// The URL that leads over it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Breaks all connections, in the middle of whatever they carry, and lets no new ones through.
    pub(crate) fn cut(&self) {
        self.way.cut.store(true, Ordering::SeqCst);
        for stream in self.way.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.way.cut.store(false, Ordering::SeqCst);
    }
}

impl Way {
    fn hand_on(&self, stream: TcpStream) -> io::Result<()> {
        if self.cut.load(Ordering::SeqCst) {
            return Ok(());
        }
        let onward = TcpStream::connect(self.to)?;
        for stream in [&stream, &onward] {
            stream.set_nodelay(true)?;
            self.streams.lock().unwrap().push(stream.try_clone()?);
        }
        for (mut from, mut to) in [(stream.try_clone()?, onward.try_clone()?), (onward, stream)] {
            std::thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        Ok(())
    }
}
