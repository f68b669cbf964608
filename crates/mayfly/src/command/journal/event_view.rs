//! An event of the journal as the command line prints it.

use mayfly_core::{Event, PartitionId, TimeMs};
use mayfly_office::events::{EventKind, Manner, fields, words};
use mayfly_server::protocol::Time;
use serde_json::{Map, Value};

/// As everywhere on the command line.
const MANNER: Manner = Manner { time: |at_ms| Time(at_ms).to_string(), name: str::to_owned };

/// An event with where and when it stands.
pub(crate) struct EventView<'a> {
    /// The number of its entry.
    pub(crate) number: u64,
    /// Its partition, and the number of its record there, if there are several partitions.
    pub(crate) of: Option<(PartitionId, u64)>,
    /// The time of its record.
    pub(crate) at_ms: TimeMs,
    /// What happened.
    pub(crate) event: &'a Event,
}

impl EventView<'_> {
    /// For people: one line.
    pub(crate) fn line(&self) -> String {
        let of =
            self.of.map_or(String::new(), |(partition, record)| format!("  {:>3}/{record:<8}", partition.0));
        format!("{:>8}{of}  {}  {}", self.number, Time(self.at_ms), words(self.event, &MANNER))
    }

    /// For scripts: one object.
    pub(crate) fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("entry".into(), self.number.into());
        if let Some((partition, record)) = self.of {
            object.insert("partition".into(), partition.0.into());
            object.insert("record".into(), record.into());
        }
        object.insert("time".into(), Time(self.at_ms).to_string().into());
        object.insert("event".into(), EventKind::of(self.event).name().into());
        object.append(&mut fields(self.event, &MANNER));
        Value::Object(object)
    }
}
