//! Where one message ends and the next begins on a connection.

use std::fmt;
use std::ops::Range;

/// What goes before each message on a connection: its length in bytes, without the header itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Header {
    /// Two bytes, big-endian.
    Binary2,
    /// Four ASCII digits.
    Ascii4,
}

/// What the beginning of a buffer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Nothing whole yet.
    Incomplete {
        /// How long the buffer must be before it is worth asking again.
        bytes_needed: usize,
    },
    /// A length of zero: a sign of life, which many switches send on an idle connection. There is nothing to
    /// answer.
    KeepAlive {
        /// How many bytes to take from the buffer.
        consumed: usize,
    },
    /// A message.
    Message {
        /// Where in the buffer it is, without its header. The end of the range is how many bytes to take from
        /// the buffer.
        range: Range<usize>,
    },
}

/// Why a connection can't be followed any further: whoever is told so must close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The header is not four digits.
    NotDigits,
    /// The peer announces more than was allowed.
    TooLong {
        /// What it announces.
        bytes: usize,
        /// What was allowed.
        bytes_max: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDigits => f.write_str("the length before a message is not four digits"),
            Self::TooLong { bytes, bytes_max } => {
                write!(f, "a message of {bytes} bytes is announced, but at most {bytes_max} are allowed")
            }
        }
    }
}

impl std::error::Error for FrameError {}

impl Header {
    /// How many bytes the header itself has.
    pub const fn header_len(self) -> usize {
        match self {
            Self::Binary2 => 2,
            Self::Ascii4 => 4,
        }
    }

    /// The longest message that the header can announce.
    pub const fn message_len_max(self) -> usize {
        match self {
            Self::Binary2 => 65_535,
            Self::Ascii4 => 9_999,
        }
    }

    /// What the beginning of a buffer holds.
    ///
    /// # Errors
    ///
    /// If the header is no number, or announces more than `bytes_max`. Nothing is waited for then.
    pub fn next_frame(self, buffer: &[u8], bytes_max: usize) -> Result<Frame, FrameError> {
        let Some((header, rest)) = buffer.split_at_checked(self.header_len()) else {
            return Ok(Frame::Incomplete { bytes_needed: self.header_len() });
        };
        let bytes = self.decode(header)?;
        if bytes > bytes_max {
            return Err(FrameError::TooLong { bytes, bytes_max });
        }
        let end = self.header_len() + bytes;
        Ok(match bytes {
            0 => Frame::KeepAlive { consumed: end },
            _ if rest.len() < bytes => Frame::Incomplete { bytes_needed: end },
            _ => Frame::Message { range: self.header_len()..end },
        })
    }

    fn decode(self, header: &[u8]) -> Result<usize, FrameError> {
        header.iter().try_fold(0, |length, byte| match self {
            Self::Binary2 => Ok(length << 8 | usize::from(*byte)),
            Self::Ascii4 if byte.is_ascii_digit() => Ok(length * 10 + usize::from(byte - b'0')),
            Self::Ascii4 => Err(FrameError::NotDigits),
        })
    }

    /// The header of a message of this length, if it can say so: the first [`header_len`](Header::header_len) bytes.
    pub(crate) fn encode(self, bytes: usize) -> Option<[u8; 4]> {
        if bytes > self.message_len_max() {
            return None;
        }
        Some(match self {
            Self::Binary2 => [(bytes >> 8) as u8, bytes as u8, 0, 0],
            Self::Ascii4 => [1000, 100, 10, 1].map(|place| b'0' + (bytes / place % 10) as u8),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other() {
        let mut buffer: &[u8] = b"\x00\x03abc\x00\x00\x00\x01d\x00\x02e";
        let mut seen = Vec::new();
        loop {
            match Header::Binary2.next_frame(buffer, 3).unwrap() {
                Frame::Message { range } => {
                    seen.push(&buffer[range.clone()]);
                    buffer = &buffer[range.end..];
                }
                Frame::KeepAlive { consumed } => buffer = &buffer[consumed..],
                incomplete => {
                    assert_eq!(incomplete, Frame::Incomplete { bytes_needed: 4 });
                    break;
                }
            }
        }
        assert_eq!(seen, [b"abc".as_slice(), b"d"]);
    }

    #[test]
    fn incomplete_says_how_much_is_needed() {
        assert_eq!(Header::Binary2.next_frame(b"", 10), Ok(Frame::Incomplete { bytes_needed: 2 }));
        assert_eq!(Header::Binary2.next_frame(&[0, 5, 1], 10), Ok(Frame::Incomplete { bytes_needed: 7 }));
        assert_eq!(Header::Ascii4.next_frame(b"000", 10), Ok(Frame::Incomplete { bytes_needed: 4 }));
        assert_eq!(Header::Ascii4.next_frame(b"0005", 10), Ok(Frame::Incomplete { bytes_needed: 9 }));
        assert_eq!(Header::Ascii4.next_frame(b"0002abc", 10), Ok(Frame::Message { range: 4..6 }));
        assert_eq!(Header::Ascii4.next_frame(b"0000", 10), Ok(Frame::KeepAlive { consumed: 4 }));
    }

    #[test]
    fn every_error() {
        let too_long = FrameError::TooLong { bytes: 65_535, bytes_max: 10 };
        assert_eq!(Header::Binary2.next_frame(&[0xff, 0xff], 10), Err(too_long));
        assert_eq!(
            Header::Ascii4.next_frame(b"0011", 10),
            Err(FrameError::TooLong { bytes: 11, bytes_max: 10 })
        );
        assert_eq!(Header::Ascii4.next_frame(b"00 1", 10), Err(FrameError::NotDigits));
    }

    #[test]
    fn headers_are_read_as_written() {
        for header in [Header::Binary2, Header::Ascii4] {
            for bytes in [0, 1, 255, 256, 9_999, 10_000, 65_535, 65_536] {
                let written = header.encode(bytes);
                assert_eq!(written.is_some(), bytes <= header.message_len_max());
                if let Some(written) = written {
                    assert_eq!(header.decode(&written[..header.header_len()]), Ok(bytes));
                }
            }
        }
    }
}
