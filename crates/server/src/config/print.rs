//! Prints a configuration as a file that explains itself.

use std::fmt::Write;

use super::keys::{KEYS, Key, Kind};
use super::{CardKeyText, Config, ListenerText, hosts};

/// How wide comments are.
const WIDTH: usize = 100;

pub(super) fn print(config: &Config) -> String {
    let mut out = String::from(
        "# Configuration of Mayfly. Every key can be left out: what stands here is what holds then.\n",
    );
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            out.push_str(&format!("\n[{section}]\n"));
        } else {
            out.push('\n');
        }
        comment(&mut out, &format!("{} {}", key.meaning, key.bounds()));
        if let Kind::IssuerHosts { .. } = key.kind {
            hosts::explained().lines().for_each(|line| comment(&mut out, line));
        }
        out.push_str(&format!("{} = {}\n", key.name, value(config, key)));
    }
    out
}

fn value(config: &Config, key: &Key) -> String {
    match &key.kind {
        Kind::Flag { .. } => config.flag(key).to_string(),
        Kind::Number { .. } => config.number(key).to_string(),
        Kind::Text { .. } | Kind::DatabaseUrl | Kind::Choice { .. } => quoted(config.text(key)),
        // Hosts are tables at the end of a file; a host has no default.
        Kind::Texts { .. } | Kind::IssuerHosts { .. } => "[]".to_owned(),
        Kind::Listeners { .. } => {
            let mut list = String::from("[");
            for ListenerText { address, dialect } in config.listeners(key) {
                // Writing to a string never fails.
                let _ = write!(
                    list,
                    "\n    {{ address = {}, dialect = {} }},",
                    quoted(&address),
                    quoted(&dialect)
                );
            }
            list + "\n]"
        }
        Kind::CardKeys if config.card_keys(key).is_empty() => "[]".to_owned(),
        Kind::CardKeys => {
            let mut list = String::from("[");
            for CardKeyText { version, texts } in config.card_keys(key) {
                let _ = write!(list, "\n    {{ version = {version}");
                for (name, text) in texts {
                    let _ = write!(list, ", {name} = {}", quoted(text));
                }
                list.push_str(" },");
            }
            list + "\n]"
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn comment(out: &mut String, text: &str) {
    let mut width = 0;
    for word in text.split_whitespace() {
        if width == 0 || width + 1 + word.len() > WIDTH {
            out.push_str(if width == 0 { "#" } else { "\n#" });
            width = 1;
        }
        out.push(' ');
        out.push_str(word);
        width += 1 + word.len();
    }
    out.push('\n');
}
