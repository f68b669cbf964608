"""Purchases as the network sends them, and every way in which they are declined."""

import pytest

from mayfly import about, check_digit, purchase, repeat


def test_a_number_is_approved_once_and_then_declined(server, network, account):
    """A51, A9: works once with that user's account; the second time it looks like any failed proof."""
    card = server.issue(account)
    answer = network.ask(purchase(card, 2498))
    assert (answer["t"], answer["39"]) == ("0110", "00")
    assert answer["38"].isdigit() and len(answer["38"]) == 6
    assert server.money(account) == (97502, 2498)

    again = network.ask(purchase(card, 2498))
    assert again["39"] == "05"
    assert "38" not in again
    assert server.reason() == "number-used"
    assert server.money(account) == (97502, 2498)


def test_a_merchant_reads_his_own_references_in_the_answer(server, network, account):
    """A16: the answer goes back by way of the acquirer, under the identifiers of the request."""
    message = purchase(server.issue(account), 100)
    answer = network.ask(message)
    for element in ("2", "3", "4", "7", "11", "12", "13", "32", "37", "41", "42", "49"):
        assert answer[element] == message[element], element


def test_a_request_that_books_at_once(server, network, account):
    """A51: 0200 instead of 0100: nothing is held, it is paid."""
    answer = network.ask(purchase(server.issue(account), 2498, mti="0200"))
    assert (answer["t"], answer["39"]) == ("0210", "00")
    assert server.money(account) == (97502, 0)


@pytest.mark.parametrize(
    "element, value, reason",
    [
        ("de14", "3001", "date-wrong"),
        ("de14", None, "date-missing"),
        ("de48", "9203000", "cvc2-wrong"),
    ],
)
def test_failed_proofs_all_look_alike(server, network, account, element, value, reason):
    """A51: wrong or missing date, wrong CVC2: always 05, and the reason is known inside only."""
    card = server.issue(account)
    if value == "9203000" and card.cvc2 == "000":
        value = "9203001"
    assert network.buy(card, 100, **{element: value}) == "05"
    assert server.reason() == reason
    assert network.buy(card, 100) == "00"


def test_the_right_cvc2_holds(server, network, account):
    """A51: a CVC2 in DE 48 is checked where it is sent."""
    card = server.issue(account)
    assert network.buy(card, 100, de48=f"9203{card.cvc2}") == "00"


def test_a_date_in_the_past(server, network, account):
    """A53: a printed date that is over is 54, whatever else is right."""
    assert network.buy(server.issue(account), 100, de14="2001") == "54"


def test_more_than_there_is(server, network, account):
    """A20: no funds is 51, and leaves the number usable."""
    card = server.issue(account)
    assert network.buy(card, 100_001) == "51"
    assert network.buy(card, 100_000) == "00"


def test_over_the_programmes_limit(server, network, programme):
    """A16: an amount over the programme's own limit is 61."""
    account = programme("--amount-max", "5000").account()
    card = server.issue(account)
    assert network.buy(card, 5001) == "61"
    assert network.buy(card, 5000) == "00"


def test_not_a_number_and_nobodys_number(server, network, account):
    """A9: check digit or prefix wrong is 14, a number that was never issued 05."""
    card = server.issue(account)
    last = str((int(card.number[-1]) + 1) % 10)
    assert network.buy(card, 100, de2=card.number[:-1] + last) == "14"
    assert network.buy(card, 100, de2="6666666666666664") == "14"
    middle = str((int(card.number[-6]) + 1) % 10)
    other = card.number[:-6] + middle + card.number[-5:-1]
    assert network.buy(card, 100, de2=other + check_digit(other)) == "05"
    assert network.buy(card, 100) == "00"


def test_a_check_of_the_number_uses_nothing_up(server, network, account):
    """A51: three checks with no amount, then 65, and the purchase is still there."""
    card = server.issue(account)
    for _ in range(3):
        answer = network.ask(purchase(card, 0))
        assert answer["39"] == "00" and "38" not in answer
    assert network.buy(card, 0) == "65"
    assert network.buy(card, 100) == "00"
    assert server.money(account) == (99_900, 100)


def test_a_repeat_gets_the_same_answer(server, network, account):
    """A51: 0101 after 0100, and after a decline: nothing changes."""
    card = server.issue(account)
    message = purchase(card, 2498)
    first = network.ask(message)
    for sent in (repeat(message), message, repeat(message)):
        again = network.ask(sent)
        assert (again["39"], again["38"]) == ("00", first["38"])
    declined = purchase(card, 2498)
    assert [network.code(declined), network.code(repeat(declined))] == ["05", "05"]
    assert server.money(account) == (97502, 2498)
    # The same reference with another amount is no repeat.
    assert network.code(repeat(message) | {"4": "000000002499"}) == "94"


def test_echo_sign_on_sign_off(network):
    """A16: network management is answered, and an unknown code refused."""
    def management(code):
        message = {"t": "0800", "7": "0301120000", "11": "000001", "70": code}
        return network.ask(message)

    for code in ("301", "001", "002"):
        answer = management(code)
        assert (answer["t"], answer["39"], answer["70"]) == ("0810", "00", code)
    assert management("999")["39"] == "12"


def test_what_is_malformed(server, network, account):
    """A16: what can't be read is 30, the connection stays usable, and the number too."""
    card = server.issue(account)
    assert network.buy(card, 100, de4=None) == "30"
    assert network.buy(card, 100, de49=None) == "30"
    assert network.buy(card, 100, de3=None) == "30"
    assert network.buy(card, 100, de49="000") == "12"
    assert network.buy(card, 100, de3="990000") == "12"
    # A letter in the amount: pyiso8583 would not care, the answer is 30.
    assert network.buy(card, 100, de4="00000000010X") == "30"
    assert network.buy(card, 100) == "00"


def test_a_reversal_that_comes_first_wins(server, network, account):
    """A16: the purchase that it names is declined when it comes."""
    card = server.issue(account)
    message = purchase(card, 2498)
    assert network.ask(about(message, "0420"))["t"] == "0430"
    assert network.code(message) == "05"
    assert server.money(account) == (100_000, 0)
