//! The one place that writes to standard output.
//!
//! People get aligned text, and colours and progress bars only on a terminal that wants them (never with
//! `NO_COLOR`, never with `--json`); scripts get one JSON value, or one a line where a command goes on.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::failure::Outcome;

/// Where a command's results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    colours: bool,
    bars: bool,
}

/// What a word on the screen means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// A heading.
    Strong,
    /// Beside the point.
    Faint,
}

impl Output {
    /// For people, or for scripts.
    pub(crate) fn new(json: bool) -> Self {
        let plain = json
            || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            json,
            colours: !plain && io::stdout().is_terminal(),
            bars: !plain && io::stderr().is_terminal(),
        }
    }

    /// Whether a script reads it.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// One line of text.
    pub(crate) fn line(self, text: impl AsRef<str>) -> Outcome {
        let mut out = io::stdout().lock();
        out.write_all(text.as_ref().as_bytes())?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    }

    /// Bytes as they are.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Outcome {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// One JSON value, on one line.
    pub(crate) fn json(self, value: &impl Serialize) -> Outcome {
        let text = serde_json::to_string(value).map_err(io::Error::from)?;
        self.line(text)
    }

    /// The same thing for both: JSON for scripts, the table or text that `people` makes for people.
    pub(crate) fn either(self, value: &impl Serialize, people: impl FnOnce() -> String) -> Outcome {
        if self.json { self.json(value) } else { self.line(people().trim_end_matches('\n')) }
    }

    /// A word in its tone, where colours are wanted.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Strong => "1",
            Tone::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A bar for something that takes a while, on standard error; hidden where nobody would see it.
    pub(crate) fn progress(self, what: &'static str, total: u64) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(total), self.target());
        let template = "{msg} {wide_bar} {human_pos} of {human_len}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    /// The same for something of which nobody knows how long it takes.
    pub(crate) fn spinner(self, what: &'static str) -> ProgressBar {
        let spinner = ProgressBar::with_draw_target(None, self.target())
            .with_style(ProgressStyle::default_spinner())
            .with_message(what);
        spinner.enable_steady_tick(Duration::from_millis(200));
        spinner
    }

    fn target(self) -> ProgressDrawTarget {
        if self.bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
    }
}
