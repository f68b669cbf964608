"""What comes after a purchase: reversals, completions, refunds, increments."""

import pytest

from mayfly import about, purchase, repeat


@pytest.fixture
def bought(server, network, account):
    """A purchase of 24.98 that was approved: the card, and the message."""
    card = server.issue(account)
    message = purchase(card, 2498)
    assert network.code(message) == "00"
    return card, message


@pytest.mark.parametrize("mti, answered, second", [("0400", "0410", "12"), ("0420", "0430", "00")])
def test_a_full_reversal_gives_the_money_back_and_not_the_use(
    server, network, account, bought, mti, answered, second
):
    """A16: as a request or as an advice, which can't be refused; once, however often it comes."""
    card, message = bought
    reversal = about(message, mti)
    answer = network.ask(reversal)
    assert (answer["t"], answer["39"]) == (answered, "00")
    assert answer["90"] == reversal["90"]
    assert network.code(repeat(reversal)) == "00"
    assert server.money(account) == (100_000, 0)
    assert network.buy(card, 100) == "05"
    assert network.code(about(message, mti)) == second
    assert server.money(account) == (100_000, 0)


def test_a_small_purchase_that_is_reversed_soon_gives_its_use_back_once(server, network, account):
    """A20: up to one unit is how merchants test a number."""
    card = server.issue(account)
    tested = purchase(card, 100)
    assert [network.code(tested), network.code(about(tested, "0400"))] == ["00", "00"]
    assert network.buy(card, 2498) == "00"
    assert network.code(about(tested, "0400")) == "12"
    assert network.buy(card, 2498) == "05"
    assert server.money(account) == (97502, 2498)


def test_a_purchase_of_more_than_a_unit_keeps_its_use(server, network, account):
    """A20: 1.01 is no test any more."""
    card = server.issue(account)
    message = purchase(card, 101)
    assert [network.code(message), network.code(about(message, "0400"))] == ["00", "00"]
    assert network.buy(card, 100) == "05"


def test_a_partial_reversal(server, network, account, bought):
    """A16: DE 95 says what stays."""
    _, message = bought
    answer = network.ask(about(message, "0420", remaining=1000))
    assert (answer["39"], answer["95"][:12]) == ("00", "000000001000")
    assert server.money(account) == (99_000, 1000)


def test_completions_up_to_what_was_authorised(server, network, account, bought):
    """A16: 0220, in parts, and not more than there was."""
    _, message = bought
    first = about(message, "0220", amount=1000)
    assert network.ask(first)["t"] == "0230"
    assert network.code(repeat(first)) == "00"
    assert server.money(account) == (97502, 1498)
    assert network.code(about(message, "0220", amount=1499)) == "13"
    assert network.code(about(message, "0220", amount=1498)) == "00"
    assert server.money(account) == (97502, 0)
    assert network.code(about(message, "0220", amount=1)) == "12"


def test_more_for_the_same_purchase(server, network, account, bought):
    """A16: an incremental authorisation belongs to its original; the number is not used again."""
    _, message = bought
    assert network.code(about(message, "0100", amount=500)) == "00"
    assert server.money(account) == (97002, 2998)


def test_another_merchant_can_touch_nothing(server, network, account, bought):
    """A16: reversal, completion and increment are the merchant's own."""
    _, message = bought
    for mti in ("0400", "0220", "0100"):
        assert network.code(about(message, mti, de42="SOMEBODY-ELSE  ")) == "12"
    assert server.money(account) == (97502, 2498)


def test_a_refund_by_reference(server, network, account, bought):
    """A51: never more than was captured; the number is long used."""
    _, message = bought
    assert network.code(about(message, "0220", amount=2498)) == "00"
    refund = about(message, "0200", amount=1500, de3="200000")
    answer = network.ask(refund)
    assert (answer["t"], answer["39"]) == ("0210", "00")
    assert network.code(repeat(refund)) == "00"
    assert server.money(account) == (99_002, 0)
    assert network.code(about(message, "0200", amount=999, de3="200000")) == "13"
    assert network.code(about(message, "0200", amount=998, de3="200000")) == "00"
    assert server.money(account) == (100_000, 0)


def test_a_refund_without_reference_goes_to_the_number_and_merchant(server, network, account):
    """A51: also to a number that was used up; another merchant's is declined."""
    card = server.issue(account)
    assert network.code(purchase(card, 2498, mti="0200")) == "00"
    elsewhere = purchase(card, 2498, mti="0200", processing="200000", merchant="SOMEBODY-ELSE")
    assert network.code(elsewhere) == "12"
    assert network.code(purchase(card, 2498, mti="0200", processing="200000")) == "00"
    assert server.money(account) == (100_000, 0)


def test_a_refund_before_anything_was_captured(network, bought):
    """A51: what is only held can't be refunded."""
    _, message = bought
    assert network.code(about(message, "0200", amount=2498, de3="200000")) in ("12", "13")
