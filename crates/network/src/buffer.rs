//! The bytes of one connection on their way in and out. They hold card numbers, and are wiped as soon as they
//! are read or written.

use std::ops::Range;
use std::time::Instant;

use mayfly_iso8583::{Frame, FrameError, Header};
use zeroize::Zeroize;

/// How much is read at once, unless one message may be longer: some hundred messages.
const READ_LEN: usize = 32 * 1024;

/// More than the longest answer: what is taken over into one comes to some hundred bytes.
const ANSWER_LEN: usize = 2 * 1024;

/// Makes room for so many bytes more. Growing by itself would leave a copy behind that nobody wipes.
pub(crate) fn make_room(bytes: &mut Vec<u8>, needed: usize) -> &mut Vec<u8> {
    if bytes.capacity() - bytes.len() < needed {
        let mut larger = Vec::with_capacity((bytes.len() + needed).next_power_of_two());
        larger.extend_from_slice(bytes);
        bytes.zeroize();
        *bytes = larger;
    }
    bytes
}

/// What came in and is not taken yet.
pub(crate) struct Input {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    header: Header,
    message_bytes_max: usize,
}

impl Input {
    /// With room for the longest message at least.
    pub(crate) fn new(header: Header, message_bytes_max: usize) -> Self {
        let length = READ_LEN.max(header.header_len() + message_bytes_max);
        Self { bytes: vec![0; length].into(), start: 0, end: 0, header, message_bytes_max }
    }

    /// The room for what comes next. There is some whenever [`Input::next_message`] has found nothing whole.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// So many bytes were put into the room.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// Whether a message has begun and is not whole yet.
    pub(crate) fn is_half(&self) -> bool {
        self.start < self.end
    }

    /// Where the next whole message is, without its header. Signs of life are passed over.
    pub(crate) fn next_message(&mut self) -> Result<Option<Range<usize>>, FrameError> {
        loop {
            match self.header.next_frame(&self.bytes[self.start..self.end], self.message_bytes_max)? {
                Frame::Message { range } => {
                    let message = self.start + range.start..self.start + range.end;
                    self.start = message.end;
                    return Ok(Some(message));
                }
                Frame::KeepAlive { consumed } => self.start += consumed,
                Frame::Incomplete { .. } => {
                    self.close_up();
                    return Ok(None);
                }
            }
        }
    }

    /// The bytes of a message that [`Input::next_message`] has found.
    pub(crate) fn message(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Wipes what was taken, and moves the rest to the front.
    pub(crate) fn close_up(&mut self) {
        if self.start == 0 {
            return;
        }
        let rest = self.end - self.start;
        self.bytes.copy_within(self.start..self.end, 0);
        self.bytes[rest..self.end].zeroize();
        (self.start, self.end) = (0, rest);
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// What is to be written.
#[derive(Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    written: usize,
    /// When the requests were read whose answers are in here.
    since: Vec<Instant>,
}

impl Output {
    /// For appending an answer.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        make_room(&mut self.bytes, ANSWER_LEN)
    }

    /// Appends what was written elsewhere.
    pub(crate) fn append(&mut self, wire: &[u8]) {
        make_room(&mut self.bytes, wire.len()).extend_from_slice(wire);
    }

    /// An answer was appended whose request was read then.
    pub(crate) fn appended(&mut self, since: Instant) {
        self.since.push(since);
    }

    /// What is not written yet.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// So many bytes were written. When that was all, `each` is told of every answer's request.
    pub(crate) fn wrote(&mut self, count: usize, each: impl FnMut(Instant)) {
        self.written += count;
        if self.written >= self.bytes.len() {
            self.bytes.as_mut_slice().zeroize();
            self.bytes.clear();
            self.written = 0;
            self.since.drain(..).for_each(each);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(input: &mut Input, bytes: &[u8]) {
        input.room()[..bytes.len()].copy_from_slice(bytes);
        input.filled(bytes.len());
    }

    #[test]
    fn what_was_taken_is_wiped() {
        let mut input = Input::new(Header::Binary2, 64);
        put(&mut input, b"\x00\x03abc\x00\x00\x00\x02d");
        let first = input.next_message().unwrap().unwrap();
        assert_eq!(input.message(first), b"abc");
        assert_eq!(input.next_message(), Ok(None));
        assert!(input.is_half());
        assert_eq!(&input.bytes[..10], b"\x00\x02d\0\0\0\0\0\0\0");
        put(&mut input, b"e");
        let second = input.next_message().unwrap().unwrap();
        assert_eq!(input.message(second), b"de");
        assert_eq!(input.next_message(), Ok(None));
        assert!(!input.is_half());
        assert!(input.bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn there_is_always_room_for_the_longest_message() {
        let mut input = Input::new(Header::Binary2, 32_767);
        assert_eq!(input.room().len(), 32_769);
        put(&mut input, &[0x7f, 0xff]);
        assert_eq!(input.next_message(), Ok(None));
        let rest = vec![1; 32_767];
        put(&mut input, &rest);
        assert_eq!(input.next_message(), Ok(Some(2..32_769)));
    }

    #[test]
    fn answers_are_told_of_when_all_is_written() {
        let mut output = Output::default();
        output.bytes().extend_from_slice(b"abc");
        output.appended(Instant::now());
        let mut told = 0;
        output.wrote(2, |_| told += 1);
        assert_eq!((output.rest(), told), (b"c".as_slice(), 0));
        output.wrote(1, |_| told += 1);
        assert_eq!((output.rest(), told), (b"".as_slice(), 1));
    }
}
