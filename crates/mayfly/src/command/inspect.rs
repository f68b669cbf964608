//! `mayfly inspect`: takes messages apart.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use mayfly_iso8583::{Dialect, Frame, Message};
use zeroize::Zeroizing;

use crate::dialect::DialectChoice;
use crate::failure::{Failure, Outcome};
use crate::message_view::{MessageView, Sight};
use crate::output::Output;

/// As much as is read of a file or of standard input.
const INPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Decode ISO 8583 messages and show them readably
///
/// The messages come as an argument, from a file, or from standard input; as they were on the wire or in
/// hexadecimal, with or without the length before each. Exit code 1 if they can't be read; the data element at
/// fault is named then.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The message, in hexadecimal or as text
    message: Option<String>,
    /// Read the messages from this file (- is standard input)
    #[arg(long, short, value_name = "FILE", conflicts_with = "message")]
    file: Option<PathBuf>,
    /// How the input is written
    #[arg(long, value_enum, default_value_t = Form::Auto)]
    form: Form,
    #[command(flatten)]
    dialect: DialectChoice,
    /// Show card numbers, dates and codes whole
    #[arg(long)]
    show_numbers: bool,
}

/// How input is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Hexadecimal if it reads so, else raw
    Auto,
    /// Hexadecimal digits; white space is ignored
    Hex,
    /// As it was on the wire
    Raw,
}

impl Inspect {
    /// Runs it.
    pub(crate) fn run(&self, output: Output) -> Outcome {
        let dialect = self.dialect.load()?;
        let input = self.read()?;
        let views = decode(dialect, &input, self.form, Sight::of(self.show_numbers)).map_err(|wrong| {
            let partly = wrong.partial.map(|view| format!("\nwhat could be read:\n{}", view.lines("  ")));
            Failure::Refused(format!(
                "not a message in the dialect {}: {}{}",
                dialect.name(),
                wrong.error,
                partly.unwrap_or_default().trim_end()
            ))
        })?;
        for view in &views {
            output.either(view, || view.lines(""))?;
        }
        Ok(())
    }

    fn read(&self) -> Outcome<Zeroizing<Vec<u8>>> {
        if let Some(text) = &self.message {
            return Ok(Zeroizing::new(text.clone().into_bytes()));
        }
        let mut input = Zeroizing::new(Vec::new());
        match self.file.as_deref() {
            None => std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_end(&mut input),
            Some(path) if path == Path::new("-") => {
                std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_end(&mut input)
            }
            Some(path) => {
                std::fs::File::open(path).and_then(|file| file.take(INPUT_BYTES_MAX).read_to_end(&mut input))
            }
        }
        .map_err(|error| match &self.file {
            Some(path) => Failure::unreachable(format!("{} can't be read", path.display()), error),
            None => Failure::unreachable("standard input can't be read", error),
        })?;
        if input.iter().all(u8::is_ascii_whitespace) {
            return Err(Failure::Usage(
                "there is nothing to inspect: give a message as an argument, with --file, or on standard input".into(),
            ));
        }
        Ok(input)
    }
}

/// What is wrong with input, and what could be read of it.
#[derive(Debug)]
struct Wrong {
    error: String,
    partial: Option<MessageView>,
    /// How much could be read: of several ways to read the input, the one that went furthest is reported.
    elements: usize,
}

/// Reads input in the ways in which it may be meant, and takes the first that makes sense.
fn decode(dialect: &Dialect, input: &[u8], form: Form, sight: Sight) -> Result<Vec<MessageView>, Wrong> {
    let hex = from_hex(input);
    let mut readings: Vec<&[u8]> = Vec::new();
    if form != Form::Raw
        && let Some(hex) = &hex
    {
        readings.push(hex);
    }
    if form != Form::Hex {
        // A text file usually ends with a line feed that is not the message's.
        readings.extend([input, input.trim_ascii_end()]);
    }
    let mut worst = Wrong { error: "it is not hexadecimal".into(), partial: None, elements: 0 };
    let mut first = true;
    for bytes in readings {
        for read in [stream, single] {
            match read(dialect, bytes, sight) {
                Ok(views) => return Ok(views),
                Err(wrong) if first || wrong.elements > worst.elements => worst = wrong,
                Err(_) => {}
            }
            first = false;
        }
    }
    Err(worst)
}

/// Messages with the length before each.
fn stream(dialect: &Dialect, mut bytes: &[u8], sight: Sight) -> Result<Vec<MessageView>, Wrong> {
    let mut views = Vec::new();
    let cut = |error: String, elements| Wrong { error, partial: None, elements };
    while !bytes.is_empty() {
        match dialect.header().next_frame(bytes, dialect.header().message_len_max()) {
            Ok(Frame::Message { range }) => {
                views.extend(single(dialect, &bytes[range.clone()], sight)?);
                bytes = &bytes[range.end..];
            }
            Ok(Frame::KeepAlive { consumed }) => bytes = &bytes[consumed..],
            Ok(Frame::Incomplete { bytes_needed }) => {
                let have = bytes.len();
                return Err(cut(format!("message is cut off: {have} of {bytes_needed} bytes"), views.len()));
            }
            Err(error) => return Err(cut(error.to_string(), 0)),
        }
    }
    if views.is_empty() {
        Err(cut("there are only signs of life in it, no message".into(), 0))
    } else {
        Ok(views)
    }
}

/// One message without a length.
fn single(dialect: &Dialect, bytes: &[u8], sight: Sight) -> Result<Vec<MessageView>, Wrong> {
    match Message::parse(dialect, bytes) {
        Ok(message) => Ok(vec![MessageView::of(&message, sight)]),
        Err(failure) => {
            let elements = failure.partial.as_ref().map_or(0, |partial| 1 + partial.elements().count());
            let partial = failure.partial.as_deref().map(|partial| MessageView::of(partial, sight));
            Err(Wrong { error: failure.error.to_string(), partial, elements })
        }
    }
}

/// Bytes written as hexadecimal digits; white space is skipped.
fn from_hex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let digits = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    let values: Option<Zeroizing<Vec<u8>>> = digits
        .map(|byte| char::from(*byte).to_digit(16).map(|value| value as u8))
        .collect::<Option<Vec<u8>>>()
        .map(Zeroizing::new);
    let values = values.filter(|values| values.len() % 2 == 0)?;
    Some(Zeroizing::new(values.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: &[u8] = b"080080200000000000000400000000000000000017301";

    fn read(input: &[u8]) -> Result<usize, String> {
        let dialect = Dialect::builtin("ascii87").unwrap();
        decode(dialect, input, Form::Auto, Sight::Masked)
            .map(|views| views.len())
            .map_err(|wrong| wrong.error)
    }

    #[test]
    fn every_way_to_write_a_message() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x} ")).collect::<String>();
        let framed = [&[0, 45], ECHO].concat();
        assert_eq!(read(ECHO), Ok(1), "digits only: read as hexadecimal it would make no sense");
        assert_eq!(read(&[ECHO, b"\n"].concat()), Ok(1));
        assert_eq!(read(&framed), Ok(1));
        assert_eq!(read(&[framed.clone(), vec![0, 0], framed.clone()].concat()), Ok(2));
        assert_eq!(read(hex(ECHO).as_bytes()), Ok(1));
        assert_eq!(read(hex(&framed).as_bytes()), Ok(1));
    }

    #[test]
    fn the_element_at_fault_is_named() {
        let mut wrong = ECHO.to_vec();
        wrong[40] = b'x';
        assert_eq!(read(&wrong), Err("DE 11 has a character that is not \"n\"".into()));
        assert_eq!(read(&ECHO[..44]), Err("DE 70 is cut off".into()));
    }
}
