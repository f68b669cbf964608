//! Where an event stands in the journal.

use std::fmt;

/// Where an event stands in the journal: in which entry, and where in it. Later events have greater places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventPlace {
    /// The number of its entry; the first has 1.
    pub sequence: u64,
    /// How many events of the entry stand before it, in all of its records.
    pub index: u32,
}

/// Before which sequence places end: a journal has no entries from there on.
const SEQUENCE_END: u64 = 1 << 48;

/// It is no place of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPlaceError;

impl EventPlace {
    /// The journal's first.
    pub const FIRST: Self = Self { sequence: 1, index: 0 };

    /// The first place after it. There may be no event: its entry may have ended.
    pub fn after(self) -> Self {
        match self.index.checked_add(1) {
            Some(index) => Self { index, ..self },
            None => Self { sequence: self.sequence + 1, index: 0 },
        }
    }

    /// From the text that [`Display`](fmt::Display) makes.
    ///
    /// # Errors
    /// If it is any other text.
    pub fn parse(text: &str) -> Result<Self, EventPlaceError> {
        let (sequence, index) =
            text.strip_prefix("evt_").and_then(|rest| rest.split_once('_')).ok_or(EventPlaceError)?;
        let sequence = sequence.parse().map_err(|_| EventPlaceError)?;
        let place = Self { sequence, index: index.parse().map_err(|_| EventPlaceError)? };
        // One place has one text.
        let is_place = (1..SEQUENCE_END).contains(&sequence) && place.to_string() == text;
        if is_place { Ok(place) } else { Err(EventPlaceError) }
    }
}

impl fmt::Display for EventPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt_{}_{}", self.sequence, self.index)
    }
}

impl fmt::Display for EventPlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event's place looks like evt_17_0")
    }
}

impl std::error::Error for EventPlaceError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_shown() {
        for place in [EventPlace::FIRST, EventPlace { sequence: SEQUENCE_END - 1, index: u32::MAX }] {
            assert_eq!(EventPlace::parse(&place.to_string()), Ok(place));
        }
        let wrong =
            ["", "evt_1", "evt_0_0", "evt_1_01", "evt_+1_0", "evt_281474976710656_0", "evt_1_4294967296"];
        for wrong in wrong {
            assert_eq!(EventPlace::parse(wrong), Err(EventPlaceError), "{wrong}");
        }
        assert_eq!(EventPlace::FIRST.after(), EventPlace { sequence: 1, index: 1 });
    }
}
