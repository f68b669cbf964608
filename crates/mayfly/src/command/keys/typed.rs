//! What people type: from a terminal, with or without what they type being shown, or from wherever standard input comes.

use std::io::{self, IsTerminal, Write};

use rustix::stdio;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};

/// Longer than anything that is typed.
const LINE_BYTES_MAX: usize = 512;

/// Whether a person types.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// One line, shown while it is typed.
pub(super) fn line(prompt: &str) -> Outcome<Zeroizing<String>> {
    ask(prompt)?;
    read()
}

/// One line that is not shown while it is typed.
pub(super) fn secret(prompt: &str) -> Outcome<Zeroizing<String>> {
    let _hidden = Hidden::begin()?;
    ask(prompt)?;
    let typed = read();
    if is_terminal() {
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

/// Byte by byte: whatever reads ahead would keep a copy.
fn read() -> Outcome<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    loop {
        let mut byte = [0];
        match rustix::io::read(stdio::stdin(), &mut byte) {
            Ok(0) if line.is_empty() => {
                return Err(Failure::Usage("standard input ended before everything was typed".into()));
            }
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if line.len() == LINE_BYTES_MAX => {
                return Err(Failure::Usage("that is longer than anything that is to be typed".into()));
            }
            Ok(_) => line.push(byte[0]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    let text = str::from_utf8(&line).map_err(|_| Failure::Usage("that is no text".into()))?;
    Ok(Zeroizing::new(text.trim_end_matches('\r').to_owned()))
}

fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::unreachable("what is typed can't be read", error)
}

/// Until this is dropped, the terminal does not show what is typed.
struct Hidden(Option<Termios>);

impl Hidden {
    fn begin() -> Outcome<Self> {
        if !is_terminal() {
            return Ok(Self(None));
        }
        let before = tcgetattr(stdio::stdin()).map_err(unreadable)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdio::stdin(), OptionalActions::Flush, &hidden).map_err(unreadable)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Whoever types sees if that failed.
            let _ = tcsetattr(stdio::stdin(), OptionalActions::Now, before);
        }
    }
}
