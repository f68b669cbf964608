//! What PostgreSQL is told instead of what is written for both.

use std::fmt::Write;

/// A statement with its values numbered.
pub(crate) fn statement(sql: &str) -> String {
    let mut told = String::with_capacity(sql.len() + 16);
    let mut count = 0;
    let mut quoted = false;
    for character in sql.chars() {
        match character {
            '?' if !quoted => {
                count += 1;
                // Writing to a string does not fail.
                let _ = write!(told, "${count}");
            }
            character => {
                quoted ^= character == '\'';
                told.push(character);
            }
        }
    }
    told
}

/// A time in milliseconds as people read it, in UTC whatever the reader's own zone is.
const TIME_SQLITE: &str = "strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch')";
const TIME_POSTGRES: &str =
    "to_char(to_timestamp(at_ms / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";

/// A schema: `INTEGER` has 64 bits, `BLOB` is called otherwise, tables need not be told that they are strict, and times are shown
/// by another function. A table of rows with ids that belong to partitions is keyed by both, the partition first.
pub(crate) fn schema(sql: &str) -> String {
    let sql = sql.replace(
        "    id INTEGER PRIMARY KEY,\n    partition INTEGER NOT NULL,\n",
        "    partition INTEGER NOT NULL,\n    id INTEGER NOT NULL,\n    PRIMARY KEY (partition, id),\n",
    );
    let mut told = String::with_capacity(sql.len());
    for line in sql.lines() {
        // What is said about it, and perhaps with its words, stays as it is.
        let (code, comment) = line.find("--").map_or((line, ""), |at| line.split_at(at));
        let code = code
            .replace("INTEGER", "BIGINT")
            .replace("BLOB", "BYTEA")
            .replace(TIME_SQLITE, TIME_POSTGRES)
            .replace(" AUTOINCREMENT", "")
            .replace(") STRICT, WITHOUT ROWID;", ");")
            .replace(") STRICT;", ");");
        told.push_str(&code);
        told.push_str(comment);
        told.push('\n');
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_and_texts_left_alone() {
        assert_eq!(statement("SELECT '?' WHERE a = ? AND b = ?"), "SELECT '?' WHERE a = $1 AND b = $2");
    }

    #[test]
    fn a_schema_keeps_its_comments() {
        let written = "-- INTEGER of a BLOB\nCREATE TABLE a (\n    x INTEGER PRIMARY KEY, -- an INTEGER\n    y BLOB\n) STRICT, WITHOUT ROWID;";
        let of_partitions = schema("    id INTEGER PRIMARY KEY,\n    partition INTEGER NOT NULL,\n");
        assert!(of_partitions.contains("PRIMARY KEY (partition, id)"), "{of_partitions}");
        let told = "-- INTEGER of a BLOB\nCREATE TABLE a (\n    x BIGINT PRIMARY KEY, -- an INTEGER\n    y BYTEA\n);\n";
        assert_eq!(schema(written), told);
    }
}
