//! The network's side: messages, and a connection that carries them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use mayfly_iso8583::{De, Dialect, Frame, MessageBuilder, Mti, OriginalData};

/// A number as its cardholder got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) id: String,
    pub(crate) number: String,
    pub(crate) yymm: String,
    pub(crate) uses: u32,
}

/// The kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// 0100
    Purchase,
    /// 0200
    Financial,
    /// 0200 with processing code 20
    Refund,
    /// 0220
    Completion,
    /// 0400
    Reversal,
}

impl Kind {
    /// Its MTI.
    pub(crate) fn mti(self) -> Mti {
        match self {
            Self::Purchase => Mti::AUTHORISATION_REQUEST,
            Self::Financial | Self::Refund => Mti::FINANCIAL_REQUEST,
            Self::Completion => Mti::FINANCIAL_ADVICE,
            Self::Reversal => Mti::REVERSAL_REQUEST,
        }
    }
}

/// A message that can be made again, byte for byte.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) card: Arc<Card>,
    /// In cents.
    pub(crate) amount: u64,
    pub(crate) stan: u32,
    pub(crate) rrn: String,
    /// The message that this one is about.
    pub(crate) original: Option<(Kind, u32)>,
}

/// The one acquirer, and the one second at which everything is sent: what is told apart is told apart by STAN
/// and RRN.
const ACQUIRER: u64 = 400_001;
const SENT: &str = "0301120000";

impl Message {
    /// On the wire, with its length before it; as a repeat if it was sent before.
    pub(crate) fn wire(&self, repeat: bool) -> Vec<u8> {
        let mti = self.kind.mti();
        let mut message = MessageBuilder::new(if repeat { mti.with_repeat() } else { mti });
        message
            .set(De::PAN, &self.card.number)
            .set(De::PROCESSING_CODE, if self.kind == Kind::Refund { "200000" } else { "000000" })
            .set_number(De::AMOUNT, self.amount)
            .set(De::TRANSMISSION_TIME, SENT)
            .set_number(De::STAN, u64::from(self.stan))
            .set(De::LOCAL_TIME, &SENT[4..])
            .set(De::LOCAL_DATE, &SENT[..4])
            .set(De::EXPIRATION_DATE, &self.card.yymm)
            .set(De::MCC, "5999")
            .set(De::ACQUIRER_COUNTRY, "840")
            .set(De::POS_ENTRY_MODE, "812")
            .set_number(De::ACQUIRER, ACQUIRER)
            .set(De::RRN, &self.rrn)
            .set(De::TERMINAL, "TERM0001")
            .set(De::CARD_ACCEPTOR, "MERCHANT-1")
            .set(De::CURRENCY, "840");
        if let Some((kind, stan)) = self.original {
            let sent = SENT.parse().unwrap();
            let original = OriginalData::new(kind.mti(), stan, sent, ACQUIRER, 0).unwrap();
            message.set(De::ORIGINAL_DATA, &original.to_string());
        }
        let mut wire = Vec::new();
        message.encode(dialect(), &mut wire).unwrap();
        wire
    }

    /// What it is found by among answers and in the journal: MTI, RRN, STAN.
    pub(crate) fn key(&self) -> Key {
        (self.kind.mti().as_str().to_owned(), self.rrn.clone(), self.stan)
    }
}

/// MTI of the request, without its repeat digit; RRN; STAN.
pub(crate) type Key = (String, String, u32);

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// DE 39.
    pub(crate) code: String,
    /// DE 38.
    pub(crate) approval: Option<String>,
}

impl Answer {
    /// Whether it is 00.
    pub(crate) fn approved(&self) -> bool {
        self.code == "00"
    }

    /// Whether it says that it may be tried again: too much is to be done, or what is done is not confirmed.
    pub(crate) fn is_shed(&self) -> bool {
        self.code == "96" || self.code == "91"
    }
}

fn dialect() -> &'static Dialect {
    Dialect::builtin("ascii87").unwrap()
}

/// A connection that carries messages.
pub(crate) struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    /// To a listener.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// How long it waits for an answer.
    pub(crate) fn be_patient(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
    }

    /// Sends bytes, whatever they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a message and waits for its answer.
    pub(crate) fn ask(&mut self, message: &Message) -> io::Result<Answer> {
        self.send(&message.wire(false))?;
        let (key, answer) = self.receive()?;
        assert_eq!(key, message.key(), "the answer to another message");
        Ok(answer)
    }

    /// The next answer, with the key of what it answers.
    pub(crate) fn receive(&mut self) -> io::Result<(Key, Answer)> {
        loop {
            let header = dialect().header();
            match header.next_frame(&self.received, header.message_len_max()) {
                Ok(Frame::Message { range }) => {
                    let read = read(&self.received[range.clone()]);
                    self.received.drain(..range.end);
                    return Ok(read);
                }
                Ok(Frame::KeepAlive { consumed }) => drop(self.received.drain(..consumed)),
                Ok(Frame::Incomplete { .. }) => self.more()?,
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16_384];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => {
                self.received.extend_from_slice(&chunk[..bytes]);
                Ok(())
            }
        }
    }

    /// Waits until the server has closed the connection; how long that took is up to the read timeout.
    pub(crate) fn closed(&mut self, patience: Duration) -> bool {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }
}

fn read(body: &[u8]) -> (Key, Answer) {
    let answer =
        mayfly_iso8583::Message::parse(dialect(), body).unwrap_or_else(|failure| panic!("{failure}"));
    let text = |element| answer.text(element).map(str::to_owned);
    // The request's: the third digit of an answer is one more, an advice's too.
    let mut mti = answer.mti().digits();
    mti[2] -= 1;
    mti[3] = b'0';
    let key = (
        String::from_utf8_lossy(&mti).into_owned(),
        text(De::RRN).unwrap_or_default(),
        answer.number(De::STAN).map_or(0, |stan| stan as u32),
    );
    (key, Answer { code: text(De::RESPONSE_CODE).unwrap_or_default(), approval: text(De::APPROVAL_CODE) })
}
