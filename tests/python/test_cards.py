"""Cards of the check site from end to end: an operator enrols one, its cardholder takes it into `mayfly wallet`, and pays at
a shop whose messages come over the payment network."""

import json
import os
import subprocess

import pytest

import mayfly
from api import Api


class Phone:
    """`mayfly wallet`, with a file and a passphrase of its own."""

    def __init__(self, server, directory, cardholder):
        self.server, self.directory = server, directory
        self.environment = {
            "PATH": os.environ["PATH"],
            "MAYFLY_WALLET": str(directory / "wallet"),
            "MAYFLY_WALLET_PASSPHRASE": "four words are enough",
            "MAYFLY_WALLET_PASSWORD": cardholder["password"],
        }
        words = ["login", server.api, "--issuer", cardholder["issuer"], "--login-name", cardholder["login"]]
        self.run(*words)

    def run(self, *words):
        command = [str(self.server.binary), "--json", "wallet", *words]
        done = subprocess.run(
            command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
        if done.returncode != 0:
            raise mayfly.Refused(done.stderr)
        return json.loads(done.stdout) if done.stdout else None

    def pay(self, card, amount="24.98"):
        """What stands in the shop's form."""
        filled = self.run("pay", "--card", card, "--amount", amount, "--currency", "USD")
        month, year = filled["expiration_date"].split("/")
        self.server.numbers_issued.append(filled["number"])
        return mayfly.Card(card, filled["number"], month + year, "", filled["expires_at"])


@pytest.fixture
def enrolled(server, programme, tmp_path):
    """A card of the terms that a test wants, in its cardholder's wallet."""

    def enrol(own, *terms, prefix=None):
        cards = programme("--check-site", *terms, prefix=prefix)
        account = cards.account("100.00")
        made = server.json("key", "create", "--role", "issuer", "--issuer", cards.issuer, "bank")
        api = Api(server.api, made["token"])
        holder = api.made("/v1/cardholders", {"name": "Ada Lovelace"})["id"]
        api.made(f"/v1/cardholders/{holder}/accounts", {"account": account})
        invitation = api.made(f"/v1/cardholders/{holder}/invitations")["invitation"]
        ada = {"issuer": cards.issuer, "login": "ada", "password": "the password of a wallet"}
        server.secrets += [made["token"], invitation, ada["password"]]
        body = {"invitation": invitation, "login_name": ada["login"], "password": ada["password"]}
        assert Api(server.api).post("/v1/enrolments", body).status == 201
        number = tmp_path / "number"
        number.write_text(own)
        words = ["--account", account, "--programme", cards.id, "--expiry", "12/29"]
        card = server.json("card", "enrol", *words, "--number-file", str(number))
        server.numbers_issued.append(own)
        phone = Phone(server, tmp_path, ada)
        phone.run("enrol", card["id"])
        return phone, card["id"], account

    return enrol


def other_date(card, by):
    month = (int(card.expiry[:2]) - 1 + by) % 12 + 1
    return mayfly.Card(card.id, card.number, f"{month:02}{card.expiry[2:]}", "", card.expires)


@pytest.mark.parametrize("processes", ["0", "1", "2", "3"])
def test_a30_a31_a41_a_date_of_the_wallet_pays_once(server, network, enrolled, processes):
    """A30, A31, A41: each date of the wallet pays for one purchase, and only while it is expected."""
    phone, card, account = enrolled("5412345678901232", "pseudo", "--processes", processes)
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
    phone, card, _ = enrolled("5412345678901232", "pseudo", "--lock-after", "3")
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
