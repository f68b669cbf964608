//! The message specification, as data.

mod file;

use std::fmt;
use std::sync::LazyLock;

pub use file::DialectError;

use crate::attribute::Attribute;
use crate::element::De;
use crate::frame::Header;
use crate::wire::{BitmapEncoding, Encoding, OddDigit, Prefix};

/// A message specification: which data elements there are, what they may hold, and how all of it looks on the
/// wire.
///
/// A dialect comes from a data file, see [`Dialect::parse`], or is one of the [built-in](Dialect::builtin)
/// ones.
pub struct Dialect {
    name: Box<str>,
    header: Header,
    pub(crate) mti: MtiEncoding,
    pub(crate) bitmap: BitmapEncoding,
    pub(crate) secondary_always: bool,
    /// By [`De::index`].
    fields: [Option<FieldSpec>; 128],
    /// By [`De::index`]. Apart from the fields, because only people read them.
    titles: Vec<Box<str>>,
}

/// How the message type indicator looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MtiEncoding {
    Ascii,
    Ebcdic,
    Bcd,
}

/// What a data element may hold, and how it looks on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldSpec {
    pub(crate) attribute: Attribute,
    pub(crate) encoding: Encoding,
    pub(crate) length: Length,
    pub(crate) odd: OddDigit,
    pub(crate) sub_elements: bool,
}

/// The length of a content, in characters. A byte (attribute `b`) is two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Fixed(u16),
    Variable {
        prefix: Prefix,
        /// How many decimal digits the length has.
        digits: u8,
        max: u16,
    },
}

impl FieldSpec {
    /// How many characters one unit of the length prefix stands for: raw bytes are counted as bytes.
    pub(crate) fn chars_per_unit(&self) -> u16 {
        if self.encoding == Encoding::Raw { 2 } else { 1 }
    }
}

impl Dialect {
    /// The names of the built-in dialects.
    pub const BUILTIN: [&str; 3] = ["ascii87", "binary87", "ebcdic87"];

    /// A built-in dialect.
    ///
    /// - `ascii87`: ASCII throughout, hexadecimal bitmap. What independent libraries speak out of the box.
    /// - `binary87`: packed digits and lengths, raw bitmap and bytes, ASCII text.
    /// - `ebcdic87`: EBCDIC (code page 037), raw bitmap and bytes.
    pub fn builtin(name: &str) -> Option<&'static Self> {
        static BUILT: LazyLock<Vec<Dialect>> = LazyLock::new(|| {
            let files = [
                ("ascii87", include_str!("../dialects/ascii87.toml")),
                ("binary87", include_str!("../dialects/binary87.toml")),
                ("ebcdic87", include_str!("../dialects/ebcdic87.toml")),
            ];
            // A built-in file with an error would be missing here; a test makes sure that none is.
            files.iter().filter_map(|(name, text)| Dialect::parse(name, text).ok()).collect()
        });
        BUILT.iter().find(|dialect| dialect.name() == name)
    }

    /// Reads a dialect from its file.
    ///
    /// ```
    /// use mayfly_iso8583::{De, Dialect};
    ///
    /// let dialect = Dialect::parse(
    ///     "acme",
    ///     r#"
    ///     base = "iso8583-1987"      # the standard's elements; without it, only those below exist
    ///     header = "ascii4"          # or "binary2"
    ///     mti = "ascii"              # "ascii", "ebcdic", "bcd"
    ///     bitmap = "binary"          # "binary", "hex", "hex-ebcdic"
    ///     secondary_bitmap = "when-used"  # or "always"
    ///     numeric = "bcd"            # attributes n and z: "ascii", "ebcdic", "bcd"
    ///     text = "ascii"             # attributes a, an, ans, ns, x+n: "ascii", "ebcdic"
    ///     binary = "binary"          # attribute b: "binary", "hex", "hex-ebcdic"
    ///     length = "binary"          # "ascii", "ebcdic", "bcd", "binary"
    ///     odd_digit = "left-zero"    # "left-zero", "right-zero", "right-f"
    ///     sub_elements = [48]        # elements made of id(2) length(2) data
    ///
    ///     [fields]                   # what differs from the base
    ///     2 = { encoding = "ascii", length = "bcd" }
    ///     54 = "ans...120 Additional amounts"
    ///     60 = { format = "b..20", name = "Terminal data", encoding = "hex" }
    ///     128 = "none"
    ///     "#,
    /// )?;
    /// assert_eq!(dialect.title(De::PAN), "Primary account number");
    /// # Ok::<(), mayfly_iso8583::DialectError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Names the key at fault and what it should be.
    pub fn parse(name: &str, text: &str) -> Result<Self, DialectError> {
        file::read(name, text)
    }

    /// The name under which it was built in or parsed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What goes before each message on a connection.
    pub fn header(&self) -> Header {
        self.header
    }

    /// Whether the dialect has this data element.
    pub fn specifies(&self, element: De) -> bool {
        self.field(element).is_some()
    }

    /// What people call a data element; empty if the dialect does not have it.
    pub fn title(&self, element: De) -> &str {
        self.titles.get(element.index()).map_or("", |title| title)
    }

    pub(crate) fn field(&self, element: De) -> Option<&FieldSpec> {
        self.fields[element.index()].as_ref()
    }
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialect({})", self.name)
    }
}
