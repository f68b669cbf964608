//! The views that were in service all the time, beside those that are built from archive and journal.

use mayfly_testing::TestDatabase;

use crate::harness::Gateway;

/// Tables that nothing was dropped from.
const WHOLE: &[&str] = &[
    "issuers",
    "programmes",
    "issuer_books",
    "accounts",
    "number_state",
    "aliases",
    "pending",
    "kept_answers",
];
/// Tables that rows were dropped from: those that are left are what they would be if none had been.
const CUT: &[&str] = &["transactions", "numbers", "retired_numbers"];
/// But for their place in the list of a number, and of what was done to a purchase, when that was dropped before they came.
const LISTED: &str =
    "SELECT here.id FROM in_service.transactions here JOIN mayfly_views.transactions anew USING (id)
    WHERE (here.previous_by_number IS DISTINCT FROM anew.previous_by_number
        AND here.number IN (SELECT id FROM in_service.numbers))
    OR (here.previous_follow_up IS DISTINCT FROM anew.previous_follow_up
        AND here.target IN (SELECT id FROM in_service.transactions))";
/// Up to where they are folded. With which entry a partition's row was written last is a matter of how many were folded together.
const CURSOR: &str =
    "SELECT partition, sequence, hash, at_ms, next_transaction, next_number, last_question, next_kept FROM SCHEMA.cursor
    UNION ALL SELECT NULL, max(number), NULL, NULL, NULL, NULL, NULL, NULL FROM SCHEMA.cursor";
/// The ledger, in sum: what was dropped is in it.
const LEDGER: &str =
    "SELECT partition, issuer, account, currency, book, sum(amount) AS amount FROM SCHEMA.ledger_entries
    GROUP BY partition, issuer, account, currency, book HAVING sum(amount) <> 0";

/// Takes the views out of service, has new ones built, and compares the two.
pub(crate) fn are_those_that_are_built_anew(gateway: &mut Gateway, database: &TestDatabase) {
    database.psql("ALTER SCHEMA mayfly_views RENAME TO in_service");
    gateway.start();
    gateway.await_active();
    gateway.stop();
    assert!(gateway.log().contains("the views are built again from the journal"));
    gateway.home.verify();

    let rows = |table: &str| format!("SELECT * FROM SCHEMA.{table}");
    let whole = WHOLE.iter().map(|table| (*table, rows(table)));
    for (what, query) in whole.chain([("cursor", CURSOR.to_owned()), ("ledger", LEDGER.to_owned())]) {
        assert_eq!(beyond(database, &query, IN_SERVICE), "", "{what}: only in service");
        assert_eq!(beyond(database, &query, ANEW), "", "{what}: only when built anew");
    }
    for table in CUT {
        let rows = format!(
            "SELECT to_jsonb(one) - 'previous_by_number' - 'previous_follow_up' FROM SCHEMA.{table} AS one"
        );
        assert_eq!(beyond(database, &rows, IN_SERVICE), "", "{table}: only in service");
        let count = |schema| -> u64 {
            database.psql(&format!("SELECT count(*) FROM {schema}.{table}")).parse().unwrap()
        };
        let (left, all) = (count("in_service"), count("mayfly_views"));
        assert!(left < all, "{table}: nothing was dropped");
        println!("{table}: {left} of {all} were left");
    }
    assert_eq!(database.psql(LISTED), "", "transactions that are in another place of a list");
}

/// The two schemas, the one that is looked at first.
const IN_SERVICE: [&str; 2] = ["in_service", "mayfly_views"];
const ANEW: [&str; 2] = ["mayfly_views", "in_service"];

/// What a query finds in one schema and not in the other.
fn beyond(database: &TestDatabase, query: &str, [here, there]: [&str; 2]) -> String {
    let of = |schema| query.replace("SCHEMA", schema);
    database.psql(&format!("({}) EXCEPT ALL ({})", of(here), of(there)))
}
