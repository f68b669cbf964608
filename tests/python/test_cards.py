"""Cards of the check site from end to end: an operator enrols one, its cardholder takes it into `mayfly wallet`, and pays at
a shop whose messages come over the payment network."""

import base64
import hashlib
import json
import time

import pytest

import mayfly
from phone import Phone

OWN = "5412345678901232"
SHOP = ["--form-has-mac-field", "--merchant", "BOOKSHOP-1", "--merchant-name", "The Bookshop"]


def other_date(card, by):
    month = (int(card.expiry[:2]) - 1 + by) % 12 + 1
    return mayfly.Card(card.id, card.number, f"{month:02}{card.expiry[2:]}", "", card.expires)


@pytest.mark.parametrize("processes", ["0", "1", "2", "3"])
def test_a30_a31_a41_a_date_of_the_wallet_pays_once(server, network, enrolled, processes):
    """A30, A31, A41: each date of the wallet pays for one purchase, and only while it is expected."""
    phone, card, account = enrolled(OWN, "pseudo", "--processes", processes)
    filled = phone.pay(card)
    assert filled.number[6] == processes
    assert network.buy(filled, 2499) == "05", "more than was asked for"
    assert server.reason() == "over-cap"
    assert network.buy(filled, 2498) == "00"
    assert network.buy(filled, 2498) == "05"
    assert server.money(account) == (10_000 - 2_498, 2_498)
    later = phone.pay(card, "1.00")
    assert network.buy(later, 100) == "00"


def test_a25_a_card_with_its_own_number_pays_with_a_key_that_its_wallet_made(server, network, enrolled, prefix):
    """A25: the number is the card's own; its real date pays for nothing."""
    digits = prefix() + "000000001"
    own = digits + mayfly.check_digit(digits)
    phone, card, _ = enrolled(own, "own", prefix=digits[:6])
    filled = phone.pay(card)
    assert filled.number == own
    real = mayfly.Card(card, own, "1229", "", "")
    assert network.buy(filled, 2498) == "00"
    assert network.buy(real, 2498) == "05"


def test_a40_wrong_dates_lock_and_the_cardholder_unlocks(server, network, enrolled):
    """A40: guesses lock the card while a purchase is expected, and only its cardholder unlocks it."""
    phone, card, _ = enrolled(OWN, "pseudo", "--lock-after", "3")
    filled = phone.pay(card)
    for by in (1, 2, 3):
        assert network.buy(other_date(filled, by), 2498) == "05"
    assert server.json("card", "show", card)["status"] == "locked"
    assert network.buy(filled, 2498) == "05"
    with pytest.raises(mayfly.Refused, match="locked"):
        phone.pay(card)
    phone.run("unlock", card)
    assert server.json("card", "show", card)["status"] == "active"
    assert network.buy(phone.pay(card), 2498) == "00"
    server.json("card", "close", card)
    with pytest.raises(mayfly.Refused):
        phone.pay(card)


def next_months(count):
    """The months that follow this one, as MMYY; and the one after those, since a month may end meanwhile."""
    now = time.gmtime()
    months = [now.tm_year * 12 + now.tm_mon + after for after in range(count + 1)]
    return [f"{month % 12 + 1:02}{month // 12 % 100:02}" for month in months]


def field(text):
    """A message's additional data (DE 48) with a MAC field."""
    return f"43{len(text):02}{text}"


def test_a22_the_mac_is_looked_at_before_the_funds(server, network, enrolled):
    """A22: whoever has no proof does not learn whether the money is there; who has one is told, and has used it up."""
    phone, card, account = enrolled(OWN, "pseudo")
    filled = phone.pay(card, "100.01")
    assert network.buy(other_date(filled, 1), 10_001) == "05"
    assert server.reason() == "mac-wrong"
    assert network.buy(filled, 10_001) == "51"
    server.run("account", "fund", account, "1.00")
    assert network.buy(filled, 10_001) == "05"
    assert server.money(account) == (10_100, 0)


def test_a24_the_special_bin_is_the_check_sites_and_others_are_not(server, network, enrolled):
    """A24, A42: what begins with the special BIN is looked for in the conversion table; all else is nobody's here. What
    is answered has the number that was asked with."""
    phone, card, _ = enrolled(OWN, "pseudo")
    filled = phone.pay(card)
    bin, rest = filled.number[:6], filled.number[6:15]
    with_check_digit = lambda digits: digits + mayfly.check_digit(digits)  # noqa: E731
    for other, code in [
        (OWN, "14"),
        (with_check_digit("599999" + rest), "14"),
        (with_check_digit(bin + rest[0] + f"{(int(rest[1:]) + 1) % 10**8:08}"), "05"),
    ]:
        message = mayfly.purchase(mayfly.Card("", other, filled.expiry, "", ""), 2498)
        answer = network.ask(message)
        assert (answer["39"], answer["2"]) == (code, other), other
    message = mayfly.purchase(filled, 2498)
    answer = network.ask(message)
    assert (answer["39"], answer["2"]) == ("00", filled.number)
    assert OWN not in "".join(value for value in answer.values() if isinstance(value, str))


def test_a27_the_date_alone_carries_the_mac(server, network, enrolled, tmp_path):
    """A27: in mode E the message has four digits of date and nothing else that would come of a key."""
    phone, card, _ = enrolled(OWN, "pseudo")
    asked = phone.ask(card)
    filled = phone.form(asked)
    assert (asked["mode"], asked["mac_field"]) == ("expiry", None)
    assert filled.expiry in next_months(96)
    form = tmp_path / "form.json"
    form.write_text(json.dumps(asked))
    sent = server.json("send", "--card", str(form), "--amount", "24.98")
    elements = {element["de"] for element in sent["request"]["elements"]}
    # Number and date; what the purchase is; who sends it.
    assert elements == {2, 14} | {3, 4, 18, 19, 22, 49} | {7, 11, 12, 13, 32, 37, 41, 42}
    answered = {element["de"]: element.get("value") for element in sent["answer"]["elements"]}
    assert answered[39] == "00"


def test_a33_a34_dates_are_of_the_window_and_of_a_calendar(enrolled, server, network):
    """A33, A34: each date is one of the M months after this one, whatever year they end in."""
    phone, card, _ = enrolled(OWN, "pseudo", "--months", "12", "--open-max", "8")
    # An open date is never given twice, so these are different ones.
    filled = [phone.pay(card, "0.10") for _ in range(6)]
    dates = [one.expiry for one in filled]
    assert len(set(dates)) == 6 and set(dates) <= set(next_months(12)), dates
    for one in filled:
        assert network.buy(one, 10) == "00"


def test_a38_a_wallet_of_another_version_is_refused(server, cardholder, tmp_path):
    """A38: an issuer that has taken this program's version out of service is not paid from with it."""
    ada = cardholder("pseudo", "--wallet-versions", "2-3")
    card = ada.card(tmp_path, OWN)
    phone = Phone(server, tmp_path, ada.login)
    with pytest.raises(mayfly.Refused, match="version"):
        phone.run("enrol", card)


def test_a39_the_second_of_three_dates_pays_first(server, network, enrolled):
    """A39: it alone is used up; what was asked for with the others stays good, in whatever order."""
    phone, card, account = enrolled(OWN, "pseudo")
    first, second, third = (phone.pay(card, amount) for amount in ("1.00", "2.00", "3.00"))
    with pytest.raises(mayfly.Refused, match="open"):
        phone.pay(card, "4.00")
    assert network.buy(second, 200) == "00"
    assert network.buy(second, 200) == "05"
    assert server.json("card", "show", card)["open_etsns"] == 2
    # Each amount is that of the one ETSN whose date it came with.
    assert network.buy(first, 101) == "05" and server.reason() == "over-cap"
    assert network.buy(third, 300) == "00"
    assert network.buy(first, 100) == "00"
    assert server.money(account)[1] == 600


def test_a41_a_repeat_is_answered_as_before_and_a_replay_declined(server, network, enrolled):
    """A41: under the same reference the first answer is repeated, under a new one the date is worth nothing."""
    phone, card, account = enrolled(OWN, "pseudo")
    filled = phone.pay(card)
    message = mayfly.purchase(filled, 2498)
    first, again = network.ask(message), network.ask(mayfly.repeat(message))
    assert (first["39"], again["39"], again["38"]) == ("00", "00", first["38"])
    phone.pay(card)
    assert network.buy(filled, 2498) == "05"
    assert server.money(account)[1] == 2_498


def test_a43_only_the_processes_that_are_enabled_make_keys(server, cardholder, tmp_path):
    """A43: the control digit is one of the programme's processes; the reserved ones are nobody's."""
    ada = cardholder("pseudo", "--processes", "0,3")
    for process in ("2", "4"):
        with pytest.raises(mayfly.Refused):
            ada.card(tmp_path, OWN, "--process", process)
    with pytest.raises(mayfly.Refused):
        cardholder("pseudo", "--processes", "0,4")
    phone = Phone(server, tmp_path, ada.login)
    for process in ("0", "3"):
        card = ada.card(tmp_path, OWN[:8] + process * 7 + mayfly.check_digit(OWN[:8] + process * 7), "--process", process)
        phone.run("enrol", card)
        assert phone.pay(card).number[6] == process


def test_a46_a47_one_card_pays_by_field_and_by_date(server, network, enrolled):
    """A46, A47: where the shop's form has a field for the MAC it gets it, and the date is the card's own; where it has none
    the date carries the MAC. Each is verified by its own rule."""
    phone, card, account = enrolled(OWN, "pseudo", "--lock-after", "8")
    asked = phone.ask(card, "24.98", *SHOP)
    aav = base64.b64decode(asked["mac_field"])
    assert asked["mode"] == "field" and asked["expiration_date"] == "12/29"
    assert (len(asked["mac_field"]), aav[0]) == (28, 0x8C)
    assert aav[1:9] == hashlib.sha1(b"The Bookshop").digest()[:8]
    assert int.from_bytes(aav[11:15], "big") == phone.counter(card)
    by_field, by_date = phone.form(asked), phone.pay(card, "1.00")

    # What was asked for as a field is no date, and what is in the field is this one purchase.
    assert network.buy(by_field, 2498) == "05", "without its field"
    for changed in ({"amount": 2497}, {"merchant": "ANOTHER"}):
        asked_for = {"amount": 2498, "merchant": "BOOKSHOP-1"} | changed
        assert network.buy(by_field, **asked_for, de48=field(asked["mac_field"])) == "05", changed
    assert network.buy(by_date, 100) == "00"
    assert network.buy(by_field, 2498, de48=field(asked["mac_field"])) == "00"
    assert network.buy(by_field, 2498, de48=field(asked["mac_field"])) == "05"
    assert server.money(account)[1] == 2_598


def test_a47_a_card_without_a_field_pays_by_date_whatever_the_form_has(server, network, enrolled):
    """A47: its issuer takes no MAC fields."""
    phone, card, _ = enrolled(OWN, "pseudo", "--mac-field", "none")
    asked = phone.ask(card, "24.98", *SHOP)
    assert (asked["mode"], asked["mac_field"]) == ("expiry", None)
    assert network.buy(phone.form(asked), 2498) == "00"


def test_a48_a_bad_field_is_not_made_good_by_a_date(server, network, enrolled):
    """A48: with a field that is wrong in any part a purchase is declined, even if its date would pay."""
    phone, card, _ = enrolled(OWN, "pseudo", "--lock-after", "8")
    asked = phone.ask(card, "24.98", *SHOP)
    by_date = phone.pay(card)
    aav = base64.b64decode(asked["mac_field"])
    for place in (0, 12, 14, 15, 19):
        changed = aav[:place] + bytes([aav[place] ^ 1]) + aav[place + 1 :]
        assert network.buy(by_date, 2498, de48=field(base64.b64encode(changed).decode())) == "05", place
    assert network.buy(by_date, 2498, de48=field("A" * 28)) == "05"
    assert server.reason() == "field-wrong"
    assert network.buy(by_date, 2498) == "00"
