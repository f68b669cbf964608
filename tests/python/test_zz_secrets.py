"""Runs last: everything that the other tests did was logged at the finest level."""


def test_no_number_that_was_issued_is_written_anywhere(server):
    """A25, A42: neither the log nor any file of the data directory nor the metrics hold a whole number, nor all but
    its check digit; nor a password, a key or a token."""
    assert len(server.numbers_issued) > 100 and len(server.secrets) > 50, "run together with the other tests"
    written = server.holds_nothing_secret()
    assert "the metrics" in written
    # What a cardholder typed as his address goes no further than the order that it came with.
    for name, content in written.items():
        assert b"Moon Avenue" not in content, f"{name} holds an address"
