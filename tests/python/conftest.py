"""One server for all tests, an issuer with a programme for each that needs it."""

import itertools
import os

import pytest

import mayfly
import stores
from api import Api
from phone import Phone

# Six digits for each programme, none of which another one's numbers begin with.
prefixes = (f"40{count:04}" for count in itertools.count())


def pytest_addoption(parser):
    parser.addoption("--binary", default=os.environ.get("MAYFLY_BINARY"), help="the mayfly under test")
    parser.addoption("--store", choices=stores.KINDS, default="sqlite", help="where servers keep their data")


def pytest_configure(config):
    stores.use(config.getoption("--store"))


def pytest_unconfigure():
    stores.remove_all()


@pytest.fixture(scope="session")
def server(request, tmp_path_factory):
    binary = request.config.getoption("--binary")
    assert binary, "say which binary to test: --binary target/debug/mayfly"
    server = mayfly.Server(os.path.abspath(binary), tmp_path_factory.mktemp("mayfly"))
    server.start()
    yield server
    server.stop()
    server.run("journal", "verify", "--views")


@pytest.fixture
def network(server):
    with server.connect() as network:
        yield network


class Programme:
    """An issuer with one programme."""

    def __init__(self, server, *terms, prefix=None):
        self.server = server
        self.prefix = prefix or next(prefixes)
        name = f"Issuer of {self.prefix}"
        self.issuer = server.open_issuer(name)
        self.id = server.open_programme(self.issuer, name, self.prefix, *terms)

    def account(self, *args, **kwargs):
        return self.server.open_account(self.issuer, *args, **kwargs)


@pytest.fixture
def prefix():
    """Gives six digits with which no programme's numbers begin yet."""
    return lambda: next(prefixes)


@pytest.fixture
def programme(server):
    """Makes a programme with the terms that a test wants."""
    return lambda *terms, **kwargs: Programme(server, *terms, **kwargs)


@pytest.fixture(scope="session")
def shop(server):
    """A programme with the usual terms."""
    return Programme(server)


@pytest.fixture
def account(shop):
    """A fresh account with 1000.00 USD."""
    return shop.account()


class Cardholder:
    """Somebody with an account at an issuer of his own whose programme is on the check site; he has enrolled."""

    def __init__(self, server, programme, *terms, prefix=None):
        self.server = server
        self.cards = programme("--check-site", *terms, prefix=prefix)
        self.account = self.cards.account("100.00")
        made = server.json("key", "create", "--role", "issuer", "--issuer", self.cards.issuer, "bank")
        api = Api(server.api, made["token"])
        holder = api.made("/v1/cardholders", {"name": "Ada Lovelace"})["id"]
        api.made(f"/v1/cardholders/{holder}/accounts", {"account": self.account})
        invitation = api.made(f"/v1/cardholders/{holder}/invitations")["invitation"]
        self.login = {"issuer": self.cards.issuer, "login": "ada", "password": "the password of a wallet"}
        server.secrets += [made["token"], invitation, self.login["password"]]
        body = {"invitation": invitation, "login_name": "ada", "password": self.login["password"]}
        api.token = None
        assert api.post("/v1/enrolments", body).status == 201

    def card(self, directory, own, *words):
        """The operator enrols a card of his."""
        number = directory / "number"
        number.write_text(own)
        self.server.numbers_issued.append(own)
        whose = ["--account", self.account, "--programme", self.cards.id, "--expiry", "12/29"]
        return self.server.json("card", "enrol", *whose, "--number-file", str(number), *words)["id"]


@pytest.fixture
def cardholder(server, programme):
    """Somebody with the terms that a test wants."""
    return lambda *terms, **kwargs: Cardholder(server, programme, *terms, **kwargs)


@pytest.fixture
def enrolled(server, cardholder, tmp_path):
    """A card of the terms that a test wants, in its cardholder's wallet."""

    def enrol(own, *terms, prefix=None, address=None):
        ada = cardholder(*terms, prefix=prefix)
        card = ada.card(tmp_path, own)
        phone = Phone(server, tmp_path, ada.login, address)
        phone.run("enrol", card)
        return phone, card, ada.account

    return enrol
