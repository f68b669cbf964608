//! What custodians type: from a terminal, with or without what they type being shown, or from wherever standard input comes.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};
use crate::secret::Dark;

/// Longer than anything that is typed.
const LINE_BYTES_MAX: usize = 512;

/// Whether a person types.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// One line, shown while it is typed.
pub(super) fn line(prompt: &str) -> Outcome<Zeroizing<String>> {
    ask(prompt)?;
    read(&input()?)
}

/// One line that is not shown while it is typed.
pub(in crate::command) fn secret(prompt: &str) -> Outcome<Zeroizing<String>> {
    let input = input()?;
    let dark = is_terminal().then(|| Dark::begin(&input)).transpose().map_err(unreadable)?;
    ask(prompt)?;
    let typed = read(&input);
    if dark.is_some() {
        // What ended the line was not shown either.
        eprintln!();
    }
    typed
}

/// Prompts go where no result goes, and nowhere if nobody types.
fn ask(prompt: &str) -> Outcome {
    if is_terminal() {
        eprint!("{prompt}");
        io::stderr().flush().map_err(unreadable)?;
    }
    Ok(())
}

/// Standard input without a buffer: whatever reads ahead would keep a copy.
fn input() -> Outcome<File> {
    io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(unreadable)
}

fn read(mut input: &File) -> Outcome<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    let mut byte = [0];
    loop {
        match input.read(&mut byte) {
            Ok(0) if line.is_empty() => {
                return Err(Failure::Usage("standard input ended before everything was typed".into()));
            }
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if line.len() == LINE_BYTES_MAX => {
                return Err(Failure::Usage("that is longer than anything that is to be typed".into()));
            }
            Ok(_) => line.extend_from_slice(&byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    let text = str::from_utf8(&line).map_err(|_| Failure::Usage("that is no text".into()))?;
    Ok(Zeroizing::new(text.trim_end_matches('\r').to_owned()))
}

fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::unreachable("what is typed can't be read", error)
}
