"""Runs last: everything that the other tests did was logged at the finest level."""

import urllib.request


def test_no_number_that_was_issued_is_written_anywhere(server):
    """A25, A42: neither the log nor any file of the data directory nor the metrics hold a whole number, nor all but
    its check digit; nor a password, a key or a token."""
    assert len(server.numbers_issued) > 100, "run together with the other tests"
    log = server.log()
    assert log
    written = {"the log": log.encode()}
    for path in server.directory.rglob("*"):
        if path.is_file():
            written[path.name] = path.read_bytes()
    assert "journal.db" in written and "views.db" in written
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as metrics:
        written["the metrics"] = metrics.read()
    assert "directory.db" in written and len(server.secrets) > 50
    for number in server.numbers_issued:
        for name, content in written.items():
            assert number[:-1].encode() not in content, f"{name} holds the number ending in {number[-4:]}"
    for secret in server.secrets:
        for name, content in written.items():
            assert secret.encode() not in content, f"{name} holds a secret that begins with {secret[:6]}"
    # What a cardholder typed as his address goes no further than the order that it came with.
    for name, content in written.items():
        assert b"Moon Avenue" not in content, f"{name} holds an address"
