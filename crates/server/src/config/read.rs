//! Reads the configuration file: types, bounds and names, by the table of keys.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{CARD_KEY_VERSIONS, KEYS, Key, Kind, LISTENER_KEYS, SOURCE_KEYS};
use super::mistake::{ConfigError, Mistake, Wrong};
use super::{CardKeyText, Config, ListenerText, Value, database};

/// Reads a configuration's text. `file` is for the messages.
pub(super) fn read(text: &str, file: &Path) -> Result<Config, ConfigError> {
    let mut reader = Reader { text, mistakes: Vec::new(), values: BTreeMap::new() };
    match DeTable::parse(text) {
        Ok(table) => reader.top(table.get_ref()),
        Err(error) => reader.wrong(error.span(), "", Wrong::Syntax(error.message().to_owned())),
    }
    if reader.mistakes.is_empty() {
        Ok(Config { file: file.to_owned(), values: reader.values })
    } else {
        // A table's keys come in the order of the alphabet.
        reader.mistakes.sort_by_key(|mistake| mistake.line);
        Err(ConfigError { file: file.to_owned(), mistakes: reader.mistakes })
    }
}

pub(super) struct Reader<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
    values: BTreeMap<String, (Value, Option<usize>)>,
}

impl Reader<'_> {
    fn top(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let section = name.get_ref().as_ref();
            match value.get_ref() {
                DeValue::Table(inner) if KEYS.iter().any(|key| key.section == section) => {
                    for (name, value) in inner {
                        self.key(section, name, value);
                    }
                }
                _ => self.key("", name, value),
            }
        }
    }

    fn key(
        &mut self,
        section: &str,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let found = KEYS.iter().find(|key| key.section == section && key.name == name.get_ref());
        let Some(key) = found else {
            let path = join(section, name.get_ref());
            let known = KEYS.iter().flat_map(|key| [key.path(), key.section.to_owned()]);
            let nearest = nearest(&path, known.filter(|known| !known.is_empty()));
            return self.wrong(Some(name.span()), &path, Wrong::Unknown { nearest });
        };
        if let Some(read) = self.value(key, value) {
            let line = self.line(&name.span());
            self.values.insert(key.path(), (read, Some(line)));
        }
    }

    pub(super) fn value(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let (span, path) = (value.span(), key.path());
        let result = match &key.kind {
            Kind::Number { min, max, unit, .. } => number(value.get_ref(), *min, *max, unit),
            Kind::Flag { .. } => {
                let found = value.get_ref();
                let flag = found.as_bool().map(Value::Flag);
                flag.ok_or(Wrong::Type { expected: "true or false", found: found.type_str() })
            }
            Kind::Text { .. } => text(value.get_ref()).map(Value::Text),
            // Looked at here, so that a configuration never holds one with a password, and never prints it.
            Kind::DatabaseUrl => text(value.get_ref()).and_then(|url| {
                database::check_url(&url).map_err(Wrong::Database)?;
                Ok(Value::Text(url))
            }),
            Kind::Choice { of, .. } => choice(value.get_ref(), of).map(Value::Text),
            Kind::Listeners { max, .. } => return self.listeners(&path, *max, value),
            Kind::Texts { max } => return self.texts(&path, *max, value),
            Kind::IssuerHosts { max } => return self.hosts(&path, *max, value),
            Kind::CardKeys => return self.card_keys(&path, value),
        };
        result.map_err(|wrong| self.wrong(Some(span), &path, wrong)).ok()
    }

    fn listeners(&mut self, path: &str, max: usize, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let DeValue::Array(array) = value.get_ref() else {
            let found = value.get_ref().type_str();
            self.wrong(Some(value.span()), path, Wrong::Type { expected: "a list of listeners", found });
            return None;
        };
        if array.is_empty() || array.len() > max {
            self.wrong(Some(value.span()), path, Wrong::ListenerCount { max });
            return None;
        }
        let listeners: Vec<_> = array
            .iter()
            .enumerate()
            .filter_map(|(at, item)| self.listener(&format!("{path}[{at}]"), item))
            .collect();
        (listeners.len() == array.len()).then_some(Value::Listeners(listeners))
    }

    fn listener(&mut self, path: &str, item: &Spanned<DeValue<'_>>) -> Option<ListenerText> {
        let DeValue::Table(table) = item.get_ref() else {
            let (expected, found) = ("a table with address and dialect", item.get_ref().type_str());
            self.wrong(Some(item.span()), path, Wrong::Type { expected, found });
            return None;
        };
        let mut texts = BTreeMap::new();
        for (name, value) in table {
            let key = join(path, name.get_ref());
            let wrong = match LISTENER_KEYS.iter().find(|known| *known == name.get_ref()) {
                None => {
                    let nearest = nearest(name.get_ref(), LISTENER_KEYS.iter().map(|key| (*key).to_owned()));
                    Wrong::Unknown { nearest }
                }
                Some(known) => match text(value.get_ref()) {
                    Ok(text) => {
                        texts.insert(*known, text);
                        continue;
                    }
                    Err(wrong) => wrong,
                },
            };
            self.wrong(Some(value.span()), &key, wrong);
            return None;
        }
        let mut take = |known| {
            texts
                .remove(known)
                .ok_or_else(|| self.wrong(Some(item.span()), path, Wrong::ListenerLacks(known)))
        };
        let (address, dialect) = (take("address").ok()?, take("dialect").ok()?);
        Some(ListenerText { address, dialect })
    }

    fn card_keys(&mut self, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let DeValue::Array(array) = value.get_ref() else {
            let found = value.get_ref().type_str();
            self.wrong(Some(value.span()), path, Wrong::Type { expected: "a list of versions", found });
            return None;
        };
        let mut read: Vec<CardKeyText> = Vec::new();
        for (at, item) in array.iter().enumerate() {
            let path = format!("{path}[{at}]");
            let text = self.card_key(&path, item)?;
            if read.iter().any(|other| other.version == text.version) {
                let version = text.version;
                self.wrong(Some(item.span()), &path, Wrong::CardKeyTwice { version });
                return None;
            }
            read.push(text);
        }
        Some(Value::CardKeys(read))
    }

    fn card_key(&mut self, path: &str, item: &Spanned<DeValue<'_>>) -> Option<CardKeyText> {
        let DeValue::Table(table) = item.get_ref() else {
            let (expected, found) =
                ("a table with version and what says where its key is", item.get_ref().type_str());
            self.wrong(Some(item.span()), path, Wrong::Type { expected, found });
            return None;
        };
        let [min, max] = CARD_KEY_VERSIONS;
        let (mut version, mut texts) = (None, BTreeMap::new());
        for (name, value) in table {
            let found = value.get_ref();
            let source_key = SOURCE_KEYS.iter().find(|key| key.name == name.get_ref());
            let read = match (name.get_ref().as_ref(), source_key) {
                ("version", _) => number(found, min, max, "(version 1 is the root key)").map(|number| {
                    // Within the bounds of the table.
                    version =
                        if let Value::Number(number) = number { u16::try_from(number).ok() } else { None };
                }),
                (_, Some(key)) => match key.kind {
                    Kind::Choice { of, .. } => choice(found, of),
                    _ => text(found),
                }
                .map(|text| drop(texts.insert(key.name, text))),
                (other, None) => {
                    let known = SOURCE_KEYS.iter().map(|key| key.name).chain(["version"]);
                    Err(Wrong::Unknown { nearest: nearest(other, known.map(str::to_owned)) })
                }
            };
            if let Err(wrong) = read {
                self.wrong(Some(value.span()), &join(path, name.get_ref()), wrong);
                return None;
            }
        }
        let Some(version) = version else {
            self.wrong(Some(item.span()), path, Wrong::CardKeyLacksVersion);
            return None;
        };
        Some(CardKeyText { version, texts })
    }

    pub(super) fn wrong(&mut self, span: Option<Range<usize>>, key: &str, wrong: Wrong) {
        let line = span.map(|span| self.line(&span));
        self.mistakes.push(Mistake { line, key: key.to_owned(), wrong });
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

fn text(value: &DeValue<'_>) -> Result<String, Wrong> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or(Wrong::Type { expected: "a text in quotation marks", found: value.type_str() })
}

fn choice(value: &DeValue<'_>, of: &'static [&'static str]) -> Result<String, Wrong> {
    let found = text(value)?;
    if of.contains(&found.as_str()) { Ok(found) } else { Err(Wrong::Choice { found, of }) }
}

fn number(value: &DeValue<'_>, min: u64, max: u64, unit: &'static str) -> Result<Value, Wrong> {
    let integer =
        value.as_integer().ok_or(Wrong::Type { expected: "a whole number", found: value.type_str() })?;
    let found = i128::from_str_radix(integer.as_str(), integer.radix());
    match found.map(u64::try_from) {
        Ok(Ok(number)) if (min..=max).contains(&number) => Ok(Value::Number(number)),
        _ => Err(Wrong::Range { found: integer.as_str().to_owned(), min, max, unit }),
    }
}

/// The known name that a wrong one comes nearest to, if it is near enough to be a slip.
pub(super) fn nearest(found: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
    known
        .map(|known| {
            // The right name in the wrong section is near, too.
            let elsewhere = distance(&last(found), &last(&known)) + 1;
            (distance(found, &known).min(elsewhere), known)
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .map(|(_, known)| known)
}

/// How many characters must be put in, taken out or replaced to make one into the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut corner = row[0];
        row[0] = at + 1;
        for (column, wanted) in other.iter().enumerate() {
            let replaced = corner + usize::from(letter != *wanted);
            corner = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(corner + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, expected) in
            [("", "abc", 3), ("abc", "abc", 0), ("abc", "axc", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
