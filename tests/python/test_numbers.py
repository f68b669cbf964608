"""The numbers themselves: their digits, whose they are, how long and for what they are good."""

import collections
import time
from datetime import datetime, timezone

import pytest

from mayfly import PATIENCE_S, Refused, check_digit, luhn_holds, purchase


def test_each_number_charges_its_own_account_and_the_universal_number_nobodys(server, network, programme):
    """A50: several users share a universal number; alone it is declined."""
    universal = "420099123456789"
    universal += check_digit(universal)
    bank = programme("--universal", universal, prefix="420099")
    anna, ben = bank.account(), bank.account()
    cards = {account: server.issue(account) for account in (anna, ben)}
    assert universal not in (card.number for card in cards.values())
    for card in cards.values():
        assert network.buy(card, 100, de2=universal) == "05"
    assert server.reason() == "universal-alone"
    assert server.money(anna) == server.money(ben) == (100_000, 0)

    assert network.buy(cards[anna], 1000) == "00"
    assert network.buy(cards[ben], 2000) == "00"
    assert server.money(anna) == (99_000, 1000)
    assert server.money(ben) == (98_000, 2000)


def test_two_hundred_numbers_are_distinct_and_spread(server, programme):
    """A51: random: none is issued twice, every free digit takes every value, about equally often."""
    bank = programme("--active-max", "200")
    account = bank.account()
    numbers = [server.issue(account).number for _ in range(200)]
    assert len(set(numbers)) == 200
    with pytest.raises(Refused, match="200 active numbers"):
        server.issue(account)
    free = [number[6:15] for number in numbers]
    for place in range(9):
        counts = collections.Counter(digits[place] for digits in free)
        # Chi-square with 9 degrees of freedom: beyond 40 once in 140,000 places.
        chi2 = sum((counts[str(digit)] - 20) ** 2 / 20 for digit in range(10))
        assert chi2 < 40, (place, counts)
    # Neither counted up nor close to one another: neighbours differ by far more than a run would.
    gaps = [abs(int(one) - int(other)) for one, other in zip(free, free[1:])]
    assert sum(gap < 1_000_000 for gap in gaps) < 5


def test_nine_digits_of_prefix_are_kept(server, network, programme):
    """A52: prefix kept, check digit right."""
    bank = programme("--layout", "1+8+0+6+0", prefix="456940936")
    account = bank.account()
    cards = [server.issue(account) for _ in range(20)]
    for card in cards:
        assert card.number.startswith("456940936")
        assert len(card.number) == 16 and luhn_holds(card.number)
    assert network.buy(cards[0], 100) == "00"


def test_good_before_its_age_is_reached_and_not_after(server, network, programme):
    """A53: at age < T approved, at T or later declined, and the unused number is of no use any more."""
    bank = programme("--lifetime", "2s")
    account = bank.account()
    # Starting a command may take the two seconds on a busy machine: then it is tried again.
    for _ in range(20):
        young, old = server.issue(account), server.issue(account)
        answered = network.buy(young, 100)
        if datetime.now(timezone.utc) < datetime.fromisoformat(young.expires.replace("Z", "+00:00")):
            break
    else:
        raise AssertionError("no purchase within two seconds, twenty times over")
    assert answered == "00"

    end = datetime.fromisoformat(old.expires.replace("Z", "+00:00"))
    while datetime.now(timezone.utc) < end:
        time.sleep(0.01)
    assert network.buy(old, 100) == "05"
    assert server.reason() == "number-expired"
    assert wait_for(lambda: server.state(old) == "expired")
    assert network.buy(old, 100) == "05"


@pytest.mark.parametrize(
    "limit, outside, code",
    [
        (("--amount-max", "50.00"), {"amount": 5001}, "61"),
        (("--merchant", "BOOKSHOP-1"), {"merchant": "SOMEBODY-ELSE"}, "05"),
        (("--currency", "USD"), {"de49": "978"}, "05"),
        (("--mcc", "5942"), {"de18": "7995"}, "57"),
        (("--not-mcc", "7995"), {"de18": "7995"}, "57"),
        (("--country", "840"), {"de19": "276"}, "62"),
        (("--channel", "card-not-present"), {"de22": "051"}, "57"),
    ],
)
def test_outside_a_limit_declined_inside_approved(server, network, account, limit, outside, code):
    """A16: a number limited in value, merchant, currency, category, country or channel."""
    card = server.issue(account, *limit)
    assert network.code(purchase(card, **{"amount": 5000} | outside)) == code
    assert network.buy(card, 5000) == "00"


def test_all_purchases_together_stay_below_the_total(server, network, account):
    """A16: a number for several purchases with a largest sum."""
    card = server.issue(account, "--uses", "3", "--total-max", "50.00")
    assert [network.buy(card, amount) for amount in (3000, 2001, 2000)] == ["00", "61", "00"]


def test_the_first_merchant_keeps_the_number(server, network, account):
    """A16: bound to whoever is approved first."""
    card = server.issue(account, "--uses", "2", "--first-merchant")
    assert network.buy(card, 100) == "00"
    assert network.code(purchase(card, 100, merchant="SOMEBODY-ELSE")) == "05"
    assert network.buy(card, 100) == "00"


def test_a_cancelled_number_is_declined(server, network, account):
    """A16: its cardholder does not want it any more."""
    card = server.issue(account)
    assert server.json("number", "cancel", card.id)["state"] == "cancelled"
    assert network.buy(card, 100) == "05"


@pytest.mark.parametrize(
    "layout, prefix, length, radix",
    [
        pytest.param("1+4+0+10+0", "51001", 16, 10, id="A17"),
        pytest.param("1+6+0+11+0", "2200001", 19, 10, id="A18 longer"),
        pytest.param("1+3+0+8+0", "2300", 13, 10, id="A18 shorter, narrow issuer"),
        pytest.param("1+5+0+9+0/8", "240001", 16, 8, id="A18 radix 8"),
        pytest.param("1+5+3+6+0", "250001", 16, 10, id="A18 with holder digits"),
    ],
)
def test_any_layout_generates_parses_and_routes(server, network, programme, layout, prefix, length, radix):
    """A17, A18: prefix kept, check digit right, the free digits vary, purchases find their account."""
    account = programme("--layout", layout, prefix=prefix).account()
    cards = [server.issue(account) for _ in range(30)]
    for card in cards:
        assert len(card.number) == length
        assert card.number.startswith(prefix)
        assert luhn_holds(card.number)
        assert all(int(digit) < radix for digit in card.number[len(prefix) : -1])
    for place in range(len(prefix), length - 1):
        assert len({card.number[place] for card in cards}) > 2, f"digit {place} hardly varies"
    assert [network.buy(card, 100) for card in cards[:3]] == ["00"] * 3
    assert server.money(account) == (99_700, 300)


def test_the_prefix_chooses_network_and_issuer(server, network, programme):
    """A19: digit 1 selects the network, digits 2 to 5 the issuer: each number charges its own issuer's account."""
    banks = [programme("--layout", "1+4+0+10+0", prefix=prefix) for prefix in ("31001", "31002", "61001")]
    accounts = [bank.account() for bank in banks]
    cards = [server.issue(account) for account in accounts]
    for at, card in enumerate(cards):
        assert network.buy(card, 1000 * (at + 1)) == "00"
    assert [server.money(account) for account in accounts] == [(99_000, 1000), (98_000, 2000), (97_000, 3000)]
    # Nobody's issuer, in a network that is known.
    nobodys = "310030000000000"
    assert network.buy(cards[0], 100, de2=nobodys + check_digit(nobodys)) == "14"
    # Another issuer's programme can't be used, nor its prefix taken.
    with pytest.raises(Refused, match="different issuers"):
        server.issue(accounts[0], "--programme", banks[1].id)
    with pytest.raises(Refused, match="choose another prefix"):
        server.open_programme(banks[0].issuer, "Mine", "31002", "--layout", "1+4+0+10+0")


def test_over_the_limit_leaves_two_more_tries(server, network, account):
    """A20: declined on the same path; usable for at most two more tries."""
    card = server.issue(account, "--amount-max", "50.00")
    assert [network.buy(card, amount) for amount in (5001, 5001, 5000)] == ["61", "61", "00"]
    card = server.issue(account, "--amount-max", "50.00")
    assert [network.buy(card, amount) for amount in (5001, 5001, 5001, 5000)] == ["61", "61", "61", "05"]
    assert server.reason() == "number-blocked"


def test_over_the_limit_uses_the_number_up_where_the_programme_says_so(server, network, programme):
    """A20: consumed at once."""
    account = programme("--failed-control", "use-up").account()
    card = server.issue(account, "--amount-max", "50.00")
    assert [network.buy(card, amount) for amount in (5001, 5000)] == ["61", "05"]
    assert server.reason() == "number-used"


def test_a_blocked_channel(server, network, account):
    """A20: the cardholder switches card-not-present off and on."""
    card = server.issue(account)
    server.json("account", "block", account, "card-not-present")
    assert network.buy(card, 100) == "57"
    server.json("account", "unblock", account, "card-not-present")
    assert network.buy(card, 100) == "00"


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
