//! Whatever a peer sends, the codec answers in an orderly way; and what it can read, it writes back the same.
//!
//! The first byte chooses the dialect, the others are the message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly_iso8583::{De, Dialect, Frame, Message, MessageBuilder};

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    let name = Dialect::BUILTIN[usize::from(*choice) % Dialect::BUILTIN.len()];
    let dialect = Dialect::builtin(name).expect("built in");
    follow_frames(dialect, bytes);
    match Message::parse(dialect, bytes) {
        Ok(message) => same_when_written(dialect, &message),
        Err(failure) => {
            let said = failure.to_string();
            assert!(said.is_ascii(), "{said}");
            if let Some(partial) = failure.partial {
                same_when_written(dialect, &partial);
            }
        }
    }
});

/// Each step goes forward and stays within the buffer.
fn follow_frames(dialect: &Dialect, bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(frame) = dialect.header().next_frame(rest, 4_096) {
        match frame {
            Frame::Message { range } => {
                let _ = Message::parse(dialect, &rest[range.clone()]);
                rest = &rest[range.end..];
            }
            Frame::KeepAlive { consumed } => rest = &rest[consumed..],
            Frame::Incomplete { bytes_needed } => {
                assert!(bytes_needed > rest.len());
                break;
            }
        }
    }
}

/// What was read can be shown, written, and read again: also what was read of a message with an error.
fn same_when_written(dialect: &Dialect, message: &Message<'_>) {
    let shown = message.describe().to_string();
    assert_eq!(shown.lines().count(), 1 + message.elements().count());
    let _ = (message.original_data(), message.replacement_amounts());

    let mut written = Vec::new();
    MessageBuilder::from(message).encode(dialect, &mut written).expect("what was read can be written");
    let frame = dialect.header().next_frame(&written, written.len());
    let Ok(Frame::Message { range }) = frame else { panic!("no frame: {frame:?}") };
    assert_eq!(range.end, written.len());

    let again = Message::parse(dialect, &written[range]).expect("what was written can be read");
    assert_eq!(again.mti(), message.mti());
    assert_eq!(contents(&again), contents(message));
}

fn contents<'a>(message: &'a Message<'_>) -> Vec<(De, &'a str)> {
    message.elements().map(|element| (element, message.text(element).expect("is ASCII"))).collect()
}
