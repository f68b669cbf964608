//! An acquirer's end of a connection: sends messages and pairs each answer with what it answers.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};
use std::{fmt, mem};

use mayfly_iso8583::{De, Dialect, EncodeError, Frame, FrameError, Message, MessageBuilder, Mti, ParseError};
use zeroize::Zeroizing;

/// How many answers are kept that nobody has asked for yet.
const ARRIVED_MAX: usize = 4_096;

/// What an answer must have in common with its message: MTI of the answer, STAN, RRN, terminal, acquirer.
///
/// Less would pair what does not belong together: STANs come again every day, and each terminal counts its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairing {
    mti: Mti,
    contents: [Option<Box<str>>; 4],
}

impl Pairing {
    fn new(mti: Mti, message: &Message<'_>) -> Self {
        let content = |element| message.text(element).map(Box::from);
        Self { mti, contents: [De::STAN, De::RRN, De::TERMINAL, De::ACQUIRER].map(content) }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum AcquirerError {
    /// Nobody listens there.
    Connect(io::Error),
    /// The message can't be written in the dialect.
    Encode(EncodeError),
    /// The message has no answer: it is one itself, say.
    NoAnswer(Mti),
    /// The connection broke.
    Broken(io::Error),
    /// The other side closed the connection.
    Closed,
    /// No answer came in time.
    TimedOut {
        /// How long it was waited for.
        after: Duration,
    },
    /// What came is not framed as the dialect says.
    Frame(FrameError),
    /// What came can't be read.
    Unreadable(ParseError),
}

impl fmt::Display for AcquirerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "can't connect: {error}"),
            Self::Encode(error) => write!(f, "the message can't be written: {error}"),
            Self::NoAnswer(mti) => write!(f, "a message {mti} has no answer"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Closed => f.write_str("the other side closed the connection"),
            Self::TimedOut { after } => write!(f, "no answer came within {} ms", after.as_millis()),
            Self::Frame(error) => write!(f, "what came is no message: {error}"),
            Self::Unreadable(error) => write!(f, "what came can't be read: {error}"),
        }
    }
}

impl std::error::Error for AcquirerError {}

/// A connection to an issuer.
#[derive(Debug)]
pub struct Acquirer {
    stream: TcpStream,
    dialect: &'static Dialect,
    timeout: Duration,
    /// What came in and was not taken yet.
    received: Zeroizing<Vec<u8>>,
    /// What was sent and not answered yet.
    waiting: Vec<Pairing>,
    /// Answers that came while another one was waited for.
    arrived: Vec<(Pairing, MessageBuilder)>,
    unmatched: u64,
}

impl Acquirer {
    /// Connects. An answer is waited for 10 seconds.
    ///
    /// # Errors
    ///
    /// [`AcquirerError::Connect`]
    pub fn connect(to: impl ToSocketAddrs, dialect: &'static Dialect) -> Result<Self, AcquirerError> {
        let connect = || {
            let stream = TcpStream::connect(to)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        Ok(Self {
            stream: connect().map_err(AcquirerError::Connect)?,
            dialect,
            timeout: Duration::from_secs(10),
            received: Zeroizing::default(),
            waiting: Vec::new(),
            arrived: Vec::new(),
            unmatched: 0,
        })
    }

    /// Waits that long for an answer; at least a millisecond.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout: timeout.max(Duration::from_millis(1)), ..self }
    }

    /// How many answers have come that belong to nothing that was sent, or came too late.
    pub fn unmatched(&self) -> u64 {
        self.unmatched
    }

    /// Sends a message and waits for its answer.
    ///
    /// # Errors
    ///
    /// Why there is none. After [`AcquirerError::TimedOut`] the connection can be used further.
    pub fn send(&mut self, message: &MessageBuilder) -> Result<MessageBuilder, AcquirerError> {
        let pairing = self.post(message)?;
        self.wait_for(&pairing)
    }

    /// Sends a message without waiting. Its answer can be waited for later, in any order.
    ///
    /// # Errors
    ///
    /// If it can't be sent, or has no answer.
    pub fn post(&mut self, message: &MessageBuilder) -> Result<Pairing, AcquirerError> {
        let mti = message.mti().response().ok_or(AcquirerError::NoAnswer(message.mti()))?;
        let mut wire = Zeroizing::new(Vec::with_capacity(1024));
        message.encode(self.dialect, &mut wire).map_err(AcquirerError::Encode)?;
        // Read back, because contents are filled up when they are written.
        let body = wire.get(self.dialect.header().header_len()..).unwrap_or_default();
        let sent = Message::parse(self.dialect, body).map_err(|f| AcquirerError::Unreadable(f.error))?;
        let pairing = Pairing::new(mti, &sent);
        self.stream.set_write_timeout(Some(self.timeout)).map_err(AcquirerError::Broken)?;
        self.stream.write_all(&wire).map_err(AcquirerError::Broken)?;
        self.waiting.push(pairing.clone());
        Ok(pairing)
    }

    /// Waits for the answer to what was sent.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn wait_for(&mut self, pairing: &Pairing) -> Result<MessageBuilder, AcquirerError> {
        let until = Instant::now() + self.timeout;
        loop {
            if let Some(at) = self.arrived.iter().position(|(arrived, _)| arrived == pairing) {
                return Ok(self.arrived.swap_remove(at).1);
            }
            while let Some((pairing, answer)) = self.next_answer()? {
                match self.waiting.iter().position(|waiting| *waiting == pairing) {
                    Some(at) if self.arrived.len() < ARRIVED_MAX => {
                        self.waiting.swap_remove(at);
                        self.arrived.push((pairing, answer));
                    }
                    _ => self.unmatched += 1,
                }
            }
            if self.arrived.iter().any(|(arrived, _)| arrived == pairing) {
                continue;
            }
            if let Err(error) = self.receive(until) {
                // Its answer, if it still comes, belongs to nobody.
                self.waiting.retain(|waiting| waiting != pairing);
                return Err(error);
            }
        }
    }

    /// The next answer that is there as a whole.
    fn next_answer(&mut self) -> Result<Option<(Pairing, MessageBuilder)>, AcquirerError> {
        let header = self.dialect.header();
        loop {
            let frame = header.next_frame(&self.received, header.message_len_max());
            match frame.map_err(AcquirerError::Frame)? {
                Frame::Incomplete { .. } => return Ok(None),
                Frame::KeepAlive { consumed } => drop(self.received.drain(..consumed)),
                Frame::Message { range } => {
                    let rest = Zeroizing::new(self.received.split_off(range.end));
                    let whole = mem::replace(&mut self.received, rest);
                    let body = whole.get(range).unwrap_or_default();
                    let answer = Message::parse(self.dialect, body)
                        .map_err(|failure| AcquirerError::Unreadable(failure.error))?;
                    let pairing = Pairing::new(answer.mti(), &answer);
                    return Ok(Some((pairing, MessageBuilder::from(&answer))));
                }
            }
        }
    }

    fn receive(&mut self, until: Instant) -> Result<(), AcquirerError> {
        let timed_out = AcquirerError::TimedOut { after: self.timeout };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(timed_out);
        }
        let mut chunk = Zeroizing::new([0; 4096]);
        self.stream.set_read_timeout(Some(left)).map_err(AcquirerError::Broken)?;
        match self.stream.read(&mut *chunk) {
            Ok(0) => Err(AcquirerError::Closed),
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(timed_out),
                io::ErrorKind::Interrupted => Ok(()),
                _ => Err(AcquirerError::Broken(error)),
            },
        }
    }
}
