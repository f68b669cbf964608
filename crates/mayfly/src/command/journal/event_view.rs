//! An event of the journal as the command line prints it.

use mayfly_core::{Event, TimeMs};
use mayfly_office::events::{EventKind, Manner, fields, words};
use mayfly_server::protocol::Time;
use serde_json::{Map, Value};

/// As everywhere on the command line.
const MANNER: Manner = Manner { time: |at_ms| Time(at_ms).to_string(), name: str::to_owned };

/// An event with where and when it stands.
pub(crate) struct EventView<'a> {
    /// The number of its record.
    pub(crate) sequence: u64,
    /// The time of its record.
    pub(crate) at_ms: TimeMs,
    /// What happened.
    pub(crate) event: &'a Event,
}

impl EventView<'_> {
    /// For people: one line.
    pub(crate) fn line(&self) -> String {
        format!("{:>8}  {}  {}", self.sequence, Time(self.at_ms), words(self.event, &MANNER))
    }

    /// For scripts: one object.
    pub(crate) fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("record".into(), self.sequence.into());
        object.insert("time".into(), Time(self.at_ms).to_string().into());
        object.insert("event".into(), EventKind::of(self.event).name().into());
        object.append(&mut fields(self.event, &MANNER));
        Value::Object(object)
    }
}
