//! What holds for every message and for all bytes.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

use std::collections::BTreeMap;

use mayfly_iso8583::{De, Dialect, Frame, Header, Message, MessageBuilder, Mti};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

fn dialects() -> impl Iterator<Item = &'static Dialect> {
    Dialect::BUILTIN.into_iter().map(|name| Dialect::builtin(name).unwrap())
}

/// An element with a content that all built-in dialects allow, of its full width where that is fixed.
fn element() -> impl Strategy<Value = (u8, String)> {
    let formats = [
        (2, "[0-9]{0,19}"),
        (4, "[0-9]{12}"),
        (11, "[0-9]{6}"),
        (19, "[0-9]{3}"),
        (28, "[CD][0-9]{8}"),
        (32, "[0-9]{0,11}"),
        (34, "[0-9/ -]{0,28}"),
        (35, "[0-9=]{0,37}"),
        (36, "[0-9:;<=>?]{0,104}"),
        (37, "[A-Za-z0-9 ]{12}"),
        (39, "[A-Z0-9]{2}"),
        (43, "[ -~]{40}"),
        (44, "[ -~]{0,25}"),
        (48, "(4304[ -~]{4})?(9203[0-9]{3})?"),
        (52, "[0-9A-F]{16}"),
        (55, "([0-9A-F]{2}){0,255}"),
        (63, "[ -~]{0,999}"),
        (64, "[0-9A-F]{16}"),
        (66, "[0-9]"),
        (90, "[0-9]{42}"),
        (95, "[A-Z0-9]{42}"),
        (97, "[CD][0-9]{16}"),
        (128, "[0-9A-F]{16}"),
    ];
    select(formats.to_vec()).prop_flat_map(|(number, format)| (Just(number), format))
}

fn elements() -> impl Strategy<Value = BTreeMap<u8, String>> {
    vec(element(), 0..12).prop_map(|elements| elements.into_iter().collect())
}

fn mti() -> impl Strategy<Value = Mti> {
    "[0-9]{4}".prop_map(|text| Mti::parse(&text).unwrap())
}

proptest! {
    #[test]
    fn what_was_written_is_read(mti in mti(), elements in elements()) {
        for dialect in dialects() {
            let mut builder = MessageBuilder::new(mti);
            for (number, content) in &elements {
                builder.set(De::new(*number).unwrap(), content);
            }
            let mut wire = Vec::new();
            builder.encode(dialect, &mut wire).unwrap();
            let frame = dialect.header().next_frame(&wire, wire.len()).unwrap();
            prop_assert_eq!(frame, Frame::Message { range: 2..wire.len() });

            let message = Message::parse(dialect, &wire[2..]).unwrap();
            prop_assert_eq!(message.mti(), mti);
            let read: BTreeMap<u8, String> =
                message.elements().map(|at| (at.number(), message.text(at).unwrap().to_owned())).collect();
            prop_assert_eq!(&read, &elements);

            let mut again = Vec::new();
            MessageBuilder::from(&message).encode(dialect, &mut again).unwrap();
            prop_assert_eq!(again, wire);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300)) {
        for dialect in dialects() {
            match Message::parse(dialect, &bytes) {
                Ok(message) => drop(message.describe().to_string()),
                Err(failure) => {
                    let _ = failure.to_string();
                    let _ = failure.partial.map(|partial| partial.describe().to_string());
                }
            }
        }
    }

    #[test]
    fn no_change_of_a_message_panics(
        elements in elements(),
        changes in btree_map(any::<usize>(), any::<u8>(), 1..4),
    ) {
        for dialect in dialects() {
            let mut builder = MessageBuilder::new(Mti::AUTHORISATION_REQUEST);
            for (number, content) in &elements {
                builder.set(De::new(*number).unwrap(), content);
            }
            let mut wire = Vec::new();
            builder.encode_body(dialect, &mut wire).unwrap();
            for (at, byte) in &changes {
                let at = at % wire.len();
                wire[at] = *byte;
            }
            if let Err(failure) = Message::parse(dialect, &wire) {
                let _ = failure.partial.map(|partial| partial.describe().to_string());
            }
        }
    }

    #[test]
    fn no_content_panics(number in 2..=128_u8, content in any::<String>()) {
        for dialect in dialects() {
            let mut builder = MessageBuilder::new(Mti::AUTHORISATION_REQUEST);
            builder.set(De::new(number).unwrap(), &content);
            let mut wire = Vec::new();
            let encoded = builder.encode_body(dialect, &mut wire);
            let _ = builder.describe(dialect).to_string();
            prop_assert_eq!(encoded.is_ok(), Message::parse(dialect, &wire).is_ok());
        }
    }

    #[test]
    fn a_frame_lies_within_its_buffer(bytes in vec(any::<u8>(), 0..40), bytes_max in 0..70_000_usize) {
        for header in [Header::Binary2, Header::Ascii4] {
            match header.next_frame(&bytes, bytes_max) {
                Ok(Frame::Message { range }) => {
                    prop_assert!(range.start < range.end && range.end <= bytes.len());
                }
                Ok(Frame::Incomplete { bytes_needed }) => {
                    prop_assert!(bytes_needed > bytes.len() && bytes_needed <= header.header_len() + bytes_max);
                }
                Ok(Frame::KeepAlive { consumed }) => prop_assert_eq!(consumed, header.header_len()),
                Err(_) => {}
            }
        }
    }
}
