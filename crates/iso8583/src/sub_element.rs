//! Sub-elements: identifier (two digits), length (two digits), data; again and again.

use std::fmt;

/// One sub-element of a data element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SubElement<'a> {
    /// The identifier, 0 to 99.
    pub id: u8,
    /// The data. It may be secret.
    pub data: &'a str,
}

impl fmt::Debug for SubElement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubElement({:02}, {} characters)", self.id, self.data.len())
    }
}

/// What is wrong with sub-elements. It never holds their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubElementError {
    /// The content ends within an identifier or a length.
    HeadTruncated,
    /// An identifier or a length is not two digits.
    HeadNotDigits,
    /// The content ends within the data of this sub-element.
    DataTruncated {
        /// The sub-element.
        id: u8,
    },
    /// This identifier comes twice, so that the two could be read differently by two readers.
    Duplicate {
        /// The sub-element.
        id: u8,
    },
    /// The data are longer than 99 characters, or not printable ASCII; or the identifier is above 99. Only a
    /// writer says this.
    NotWritable {
        /// The sub-element.
        id: u8,
    },
}

impl SubElementError {
    /// The sub-element at fault, if its identifier could be read.
    pub fn id(self) -> Option<u8> {
        match self {
            Self::HeadTruncated | Self::HeadNotDigits => None,
            Self::DataTruncated { id } | Self::Duplicate { id } | Self::NotWritable { id } => Some(id),
        }
    }
}

impl fmt::Display for SubElementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeadTruncated => f.write_str("ends within an identifier or length"),
            Self::HeadNotDigits => f.write_str("has an identifier or length that is not two digits"),
            Self::DataTruncated { id } => write!(f, "ends within sub-element {id:02}"),
            Self::Duplicate { id } => write!(f, "has sub-element {id:02} twice"),
            Self::NotWritable { id } => {
                write!(f, "can't hold sub-element {id:02}: its id or its data are too long or not printable")
            }
        }
    }
}

impl std::error::Error for SubElementError {}

/// Iterates over the sub-elements of a content. After an error there is nothing more.
#[derive(Clone)]
pub struct SubElements<'a> {
    rest: &'a str,
    /// Bit n says that sub-element n has been seen.
    seen: u128,
}

impl<'a> SubElements<'a> {
    /// The sub-elements of this content.
    pub fn new(content: &'a str) -> Self {
        Self { rest: content, seen: 0 }
    }

    /// Says what is wrong with the content, if anything is.
    pub(crate) fn check(content: &'a str) -> Result<(), SubElementError> {
        Self::new(content).try_for_each(|sub_element| sub_element.map(|_| ()))
    }

    fn take(&mut self) -> Result<SubElement<'a>, SubElementError> {
        let (head, rest) = self.rest.split_at_checked(4).ok_or(SubElementError::HeadTruncated)?;
        let (id, len) = match head.as_bytes() {
            [a, b, c, d] => (two_digits(*a, *b), two_digits(*c, *d)),
            _ => (None, None),
        };
        let (Some(id), Some(len)) = (id, len) else { return Err(SubElementError::HeadNotDigits) };
        let Some((data, rest)) = rest.split_at_checked(usize::from(len)) else {
            return Err(SubElementError::DataTruncated { id });
        };
        if self.seen & (1 << id) != 0 {
            return Err(SubElementError::Duplicate { id });
        }
        self.seen |= 1 << id;
        self.rest = rest;
        Ok(SubElement { id, data })
    }
}

fn two_digits(tens: u8, ones: u8) -> Option<u8> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + (ones - b'0'))
}

impl<'a> Iterator for SubElements<'a> {
    type Item = Result<SubElement<'a>, SubElementError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let taken = self.take();
        if taken.is_err() {
            self.rest = "";
        }
        Some(taken)
    }
}

impl fmt::Debug for SubElements<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubElements({} characters left)", self.rest.len())
    }
}

/// Appends a sub-element to a content.
///
/// # Errors
///
/// [`SubElementError::NotWritable`] if the identifier is above 99, or the data are longer than 99 characters
/// or not printable ASCII. Then nothing is appended.
pub fn push_sub_element(content: &mut String, id: u8, data: &str) -> Result<(), SubElementError> {
    let printable = data.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if id > 99 || data.len() > 99 || !printable {
        return Err(SubElementError::NotWritable { id });
    }
    let len = data.len() as u8;
    content.extend([id / 10, id % 10, len / 10, len % 10].map(|digit| char::from(b'0' + digit)));
    content.push_str(data);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Result<Vec<(u8, &str)>, SubElementError> {
        SubElements::new(content).map(|found| found.map(|found| (found.id, found.data))).collect()
    }

    #[test]
    fn reads_what_it_wrote() {
        let mut content = String::new();
        push_sub_element(&mut content, 43, "abc=").unwrap();
        push_sub_element(&mut content, 92, "123").unwrap();
        push_sub_element(&mut content, 1, "").unwrap();
        assert_eq!(content, "4304abc=92031230100");
        assert_eq!(read(&content), Ok(vec![(43, "abc="), (92, "123"), (1, "")]));
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn every_error() {
        assert_eq!(read("92"), Err(SubElementError::HeadTruncated));
        assert_eq!(read("9203123920"), Err(SubElementError::HeadTruncated));
        assert_eq!(read("9x03123"), Err(SubElementError::HeadNotDigits));
        assert_eq!(read("92+3123"), Err(SubElementError::HeadNotDigits));
        assert_eq!(read("920312"), Err(SubElementError::DataTruncated { id: 92 }));
        assert_eq!(read("92011920121"), Err(SubElementError::Duplicate { id: 92 }));
        assert_eq!(read("éé01"), Err(SubElementError::HeadNotDigits));
        let mut content = String::new();
        for (id, data) in [(100, ""), (1, "é"), (2, "\n"), (3, &*"x".repeat(100))] {
            assert_eq!(push_sub_element(&mut content, id, data), Err(SubElementError::NotWritable { id }));
        }
        assert_eq!(content, "");
    }

    #[test]
    fn stops_after_an_error() {
        let mut found = SubElements::new("9x03123920312");
        assert_eq!(found.next(), Some(Err(SubElementError::HeadNotDigits)));
        assert_eq!(found.next(), None);
    }

    #[test]
    fn debug_does_not_show_data() {
        let found = SubElements::new("9203987").next().unwrap().unwrap();
        assert_eq!(format!("{found:?}"), "SubElement(92, 3 characters)");
        assert_eq!(format!("{:?}", SubElements::new("9203987")), "SubElements(7 characters left)");
    }
}
