//! Reads a dialect from its file.

use std::fmt;

use toml::{Table, Value};

use super::{Dialect, FieldSpec, Length, MtiEncoding};
use crate::attribute::Attribute;
use crate::element::De;
use crate::frame::Header;
use crate::wire::{BitmapEncoding, Encoding, OddDigit, Prefix};

/// The base that a file may name.
const BASE: (&str, &str) = ("iso8583-1987", include_str!("../../dialects/iso8583-1987.toml"));

const KEYS: [&str; 12] = [
    "base",
    "header",
    "mti",
    "bitmap",
    "secondary_bitmap",
    "numeric",
    "text",
    "binary",
    "length",
    "odd_digit",
    "sub_elements",
    "fields",
];

const FIELD_KEYS: [&str; 5] = ["format", "name", "encoding", "length", "odd_digit"];

/// What is wrong with a dialect's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialectError {
    /// The file is not TOML.
    Toml(String),
    /// There is no such key.
    UnknownKey {
        /// The key, with the table that holds it.
        key: String,
        /// The keys that there are.
        known: &'static [&'static str],
    },
    /// This key must be there.
    Missing {
        /// The key.
        key: &'static str,
        /// What to write.
        expected: &'static str,
    },
    /// The value of this key is not one of those that it can have.
    Value {
        /// The key, with the table that holds it.
        key: String,
        /// What to write instead.
        expected: &'static str,
    },
}

impl fmt::Display for DialectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Toml(error) => write!(f, "not TOML: {error}"),
            Self::UnknownKey { key, known } => {
                write!(f, "unknown key \"{key}\": use one of {}", known.join(", "))
            }
            Self::Missing { key, expected } => write!(f, "\"{key}\" is missing: set it to {expected}"),
            Self::Value { key, expected } => {
                write!(f, "\"{key}\" has a value that does not fit: set it to {expected}")
            }
        }
    }
}

impl std::error::Error for DialectError {}

/// Reads a dialect.
pub(super) fn read(name: &str, text: &str) -> Result<Dialect, DialectError> {
    let file = table(text)?;
    known_keys("", &file, &KEYS)?;
    let base = match file.get("base").map(Value::as_str) {
        None => Table::new(),
        Some(Some(base)) if base == BASE.0 => table(BASE.1)?,
        Some(_) => return Err(value("base", "\"iso8583-1987\", or leave it out")),
    };
    let defaults = Defaults::read(&file)?;
    let mut dialect = Dialect {
        name: name.into(),
        header: required(&file, "header", &HEADERS)?,
        mti: required(&file, "mti", &MTIS)?,
        bitmap: required(&file, "bitmap", &BITMAPS)?,
        secondary_always: choice(&file, "", "secondary_bitmap", &SECONDARIES)?.unwrap_or(false),
        fields: [None; 128],
        titles: vec![Box::default(); 128],
    };
    for table in [&base, &file] {
        read_fields(&mut dialect, &defaults, table)?;
    }
    let marks = if file.contains_key("sub_elements") { &file } else { &base };
    mark_sub_elements(&mut dialect, marks)?;
    Ok(dialect)
}

fn table(text: &str) -> Result<Table, DialectError> {
    // The whole error quotes the file; a dialect is no secret.
    text.parse().map_err(|error: toml::de::Error| DialectError::Toml(error.to_string().trim_end().to_owned()))
}

/// What holds for every field that does not say otherwise.
struct Defaults {
    numeric: Encoding,
    text: Encoding,
    binary: Encoding,
    length: Prefix,
    odd: OddDigit,
}

impl Defaults {
    fn read(file: &Table) -> Result<Self, DialectError> {
        Ok(Self {
            numeric: required(file, "numeric", &NUMERICS)?,
            text: required(file, "text", &TEXTS)?,
            binary: required(file, "binary", &BINARIES)?,
            length: required(file, "length", &LENGTHS)?,
            odd: choice(file, "", "odd_digit", &ODD_DIGITS)?.unwrap_or(OddDigit::LeftZero),
        })
    }
}

/// The values that a key can have, and the same in words.
struct Choices<T: 'static> {
    values: &'static [(&'static str, T)],
    words: &'static str,
}

const HEADERS: Choices<Header> = Choices {
    values: &[("binary2", Header::Binary2), ("ascii4", Header::Ascii4)],
    words: "\"binary2\" or \"ascii4\"",
};
const MTIS: Choices<MtiEncoding> = Choices {
    values: &[("ascii", MtiEncoding::Ascii), ("ebcdic", MtiEncoding::Ebcdic), ("bcd", MtiEncoding::Bcd)],
    words: "\"ascii\", \"ebcdic\" or \"bcd\"",
};
const BITMAPS: Choices<BitmapEncoding> = Choices {
    values: &[
        ("binary", BitmapEncoding::Raw),
        ("hex", BitmapEncoding::Hex),
        ("hex-ebcdic", BitmapEncoding::HexEbcdic),
    ],
    words: "\"binary\", \"hex\" or \"hex-ebcdic\"",
};
const SECONDARIES: Choices<bool> =
    Choices { values: &[("when-used", false), ("always", true)], words: "\"when-used\" or \"always\"" };
const NUMERICS: Choices<Encoding> = Choices {
    values: &[("ascii", Encoding::Ascii), ("ebcdic", Encoding::Ebcdic), ("bcd", Encoding::Bcd)],
    words: "\"ascii\", \"ebcdic\" or \"bcd\"",
};
const TEXTS: Choices<Encoding> = Choices {
    values: &[("ascii", Encoding::Ascii), ("ebcdic", Encoding::Ebcdic)],
    words: "\"ascii\" or \"ebcdic\"",
};
const BINARIES: Choices<Encoding> = Choices {
    values: &[("binary", Encoding::Raw), ("hex", Encoding::Ascii), ("hex-ebcdic", Encoding::Ebcdic)],
    words: "\"binary\", \"hex\" or \"hex-ebcdic\"",
};
const LENGTHS: Choices<Prefix> = Choices {
    values: &[
        ("ascii", Prefix::Ascii),
        ("ebcdic", Prefix::Ebcdic),
        ("bcd", Prefix::Bcd),
        ("binary", Prefix::Binary),
    ],
    words: "\"ascii\", \"ebcdic\", \"bcd\" or \"binary\"",
};
const ODD_DIGITS: Choices<OddDigit> = Choices {
    values: &[
        ("left-zero", OddDigit::LeftZero),
        ("right-zero", OddDigit::RightZero),
        ("right-f", OddDigit::RightF),
    ],
    words: "\"left-zero\", \"right-zero\" or \"right-f\"",
};

fn required<T: Copy>(file: &Table, key: &'static str, choices: &Choices<T>) -> Result<T, DialectError> {
    choice(file, "", key, choices)?.ok_or(DialectError::Missing { key, expected: choices.words })
}

fn choice<T: Copy>(
    table: &Table,
    path: &str,
    key: &str,
    choices: &Choices<T>,
) -> Result<Option<T>, DialectError> {
    let Some(found) = table.get(key) else { return Ok(None) };
    let fits = choices.values.iter().find(|(name, _)| found.as_str() == Some(name));
    fits.map(|(_, fits)| Some(*fits)).ok_or_else(|| value(&format!("{path}{key}"), choices.words))
}

fn value(key: &str, expected: &'static str) -> DialectError {
    DialectError::Value { key: key.to_owned(), expected }
}

fn known_keys(path: &str, table: &Table, known: &'static [&'static str]) -> Result<(), DialectError> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(DialectError::UnknownKey { key: format!("{path}{key}"), known }),
    }
}

fn read_fields(dialect: &mut Dialect, defaults: &Defaults, file: &Table) -> Result<(), DialectError> {
    let Some(fields) = file.get("fields") else { return Ok(()) };
    let fields = fields.as_table().ok_or_else(|| value("fields", "a table of data elements"))?;
    for (key, field) in fields {
        let path = format!("fields.{key}");
        let element = key.parse().ok().and_then(De::new);
        let element = element.ok_or_else(|| value(&path, "a data element from 2 to 128"))?;
        read_field(dialect, defaults, element, &path, field)?;
    }
    Ok(())
}

/// Reads `2 = "n..19 Primary account number"`, `2 = "none"` or `2 = { encoding = "bcd", ... }`.
fn read_field(
    dialect: &mut Dialect,
    defaults: &Defaults,
    element: De,
    path: &str,
    field: &Value,
) -> Result<(), DialectError> {
    const EXPECTED: &str =
        "\"format name\", \"none\", or a table with format, name, encoding, length, odd_digit";
    match field {
        Value::String(text) if text == "none" => {
            dialect.fields[element.index()] = None;
            dialect.titles[element.index()] = Box::default();
        }
        Value::String(text) => {
            let (format, title) = text.split_once(' ').unwrap_or((text, ""));
            let format = Format::parse(path, format)?;
            dialect.fields[element.index()] = Some(format.spec(path, defaults, &Table::new())?);
            dialect.titles[element.index()] = title.trim().into();
        }
        Value::Table(table) => read_field_table(dialect, defaults, element, path, table)?,
        _ => return Err(value(path, EXPECTED)),
    }
    Ok(())
}

fn read_field_table(
    dialect: &mut Dialect,
    defaults: &Defaults,
    element: De,
    path: &str,
    table: &Table,
) -> Result<(), DialectError> {
    let inner = format!("{path}.");
    known_keys(&inner, table, &FIELD_KEYS)?;
    let format = match (table.get("format"), &dialect.fields[element.index()]) {
        (Some(format), _) => Format::parse(&format!("{inner}format"), format.as_str().unwrap_or(""))?,
        (None, Some(of_base)) => Format::of(of_base),
        (None, None) => return Err(value(&format!("{inner}format"), FORMATS)),
    };
    dialect.fields[element.index()] = Some(format.spec(path, defaults, table)?);
    if let Some(title) = table.get("name") {
        let title = title.as_str().ok_or_else(|| value(&format!("{inner}name"), "the element's name"))?;
        dialect.titles[element.index()] = title.into();
    }
    Ok(())
}

const FORMATS: &str =
    "an attribute (n, a, an, ans, ns, z, x+n, b) and a length: n6, n..19 (at most 99) or ans...999";

/// What a data element may hold: `n6`, `n..19`, `ans...999`.
struct Format {
    attribute: Attribute,
    /// How many digits the length prefix has; 0 for a fixed length.
    digits: u8,
    /// In characters.
    len_max: u16,
}

impl Format {
    fn parse(path: &str, text: &str) -> Result<Self, DialectError> {
        let wrong = || value(path, FORMATS);
        let end = text.find(|c: char| c == '.' || c.is_ascii_digit()).ok_or_else(wrong)?;
        let (attribute, rest) = text.split_at(end);
        let attribute = Attribute::parse(attribute).ok_or_else(wrong)?;
        let number = rest.trim_start_matches('.');
        let (digits, max) = match rest.len() - number.len() {
            0 => (0, 999),
            2 => (2, 99),
            3 => (3, 999),
            _ => return Err(wrong()),
        };
        let number: u16 = number.parse().map_err(|_| wrong())?;
        if number == 0 || number > max {
            return Err(wrong());
        }
        let len_max = match attribute {
            Attribute::Binary => number * 2,
            Attribute::SignedNumeric => number + 1,
            _ => number,
        };
        Ok(Self { attribute, digits, len_max })
    }

    fn of(spec: &FieldSpec) -> Self {
        let (digits, len_max) = match spec.length {
            Length::Fixed(len) => (0, len),
            Length::Variable { digits, max, .. } => (digits, max),
        };
        Self { attribute: spec.attribute, digits, len_max }
    }

    /// Puts the format together with the encodings: the field's own, or else the dialect's.
    fn spec(&self, path: &str, defaults: &Defaults, own: &Table) -> Result<FieldSpec, DialectError> {
        let inner = format!("{path}.");
        let (encodings, default) = match self.attribute {
            Attribute::Numeric | Attribute::Track => (&NUMERICS, defaults.numeric),
            Attribute::Binary => (&BINARIES, defaults.binary),
            _ => (&TEXTS, defaults.text),
        };
        let encoding = choice(own, &inner, "encoding", encodings)?.unwrap_or(default);
        let prefix = choice(own, &inner, "length", &LENGTHS)?.unwrap_or(defaults.length);
        let odd = choice(own, &inner, "odd_digit", &ODD_DIGITS)?.unwrap_or(defaults.odd);
        let length = match self.digits {
            0 => Length::Fixed(self.len_max),
            digits => Length::Variable { prefix, digits, max: self.len_max },
        };
        let spec = FieldSpec { attribute: self.attribute, encoding, length, odd, sub_elements: false };
        let prefix_max = if self.digits == 2 { 99 } else { 999 };
        if self.digits > 0 && self.len_max / spec.chars_per_unit() > prefix_max {
            return Err(value(
                path,
                "a shorter format: in hexadecimal its length does not fit the length prefix",
            ));
        }
        Ok(spec)
    }
}

fn mark_sub_elements(dialect: &mut Dialect, file: &Table) -> Result<(), DialectError> {
    const EXPECTED: &str = "a list of data elements with attribute ans";
    let wrong = || value("sub_elements", EXPECTED);
    let Some(list) = file.get("sub_elements") else { return Ok(()) };
    for number in list.as_array().ok_or_else(wrong)? {
        let number = number.as_integer().and_then(|number| u8::try_from(number).ok());
        let element = number.and_then(De::new).ok_or_else(wrong)?;
        match &mut dialect.fields[element.index()] {
            Some(field) if field.attribute == Attribute::Text => field.sub_elements = true,
            _ => return Err(wrong()),
        }
    }
    Ok(())
}
