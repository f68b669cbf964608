"""Runs last: everything that the other tests did was logged at the finest level."""


def test_no_number_that_was_issued_is_written_anywhere(server):
    """A25, A42: neither the log nor any file of the data directory holds a whole number, nor all but its check
    digit."""
    assert len(server.numbers_issued) > 100, "run together with the other tests"
    log = server.log()
    assert log
    written = {"the log": log.encode()}
    for path in server.directory.rglob("*"):
        if path.is_file():
            written[path.name] = path.read_bytes()
    assert "journal.db" in written and "views.db" in written
    for number in server.numbers_issued:
        for name, content in written.items():
            assert number[:-1].encode() not in content, f"{name} holds the number ending in {number[-4:]}"
