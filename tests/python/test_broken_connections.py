"""All connections to the database break, again and again: whoever sends again what was not answered has it done once. Only
for PostgreSQL."""

import threading
import time
import uuid

import pytest

from mayfly import ANSWER_S
from stores import psql
from test_api import card, operator  # noqa: F401: fixtures
from test_payments import Merchant, bank, money, order  # noqa: F401: fixtures

ROUNDS = 20
EVERY_S = 0.01
END_ALL = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@pytest.fixture
def broken(request, server):
    """Breaks all connections every now and then while it is entered; counts them."""
    if request.config.getoption("--store") != "postgres":
        pytest.skip("a file has no connections")

    class Broken:
        count = 0

        def __enter__(self):
            self.over = threading.Event()
            self.thread = threading.Thread(target=self.run)
            self.thread.start()
            return self

        def run(self):
            while not self.over.wait(EVERY_S):
                self.count += int(psql(server.store.url, END_ALL))

        def __exit__(self, *_):
            self.over.set()
            self.thread.join()

    return Broken()


class Stubborn:
    """Sends everything again with the same key until it is done."""

    def __init__(self, api):
        self.api = api
        self.again = 0

    def post(self, path, body=None):
        key = str(uuid.uuid4())
        until = time.monotonic() + ANSWER_S
        while True:
            answer = self.api.post(path, body, key=key)
            if answer.status in (200, 201):
                return answer.body
            # It is not known, or can't be done now: nothing else is ever said.
            assert answer.status == 503, answer
            assert time.monotonic() < until, answer
            self.again += 1
            time.sleep(0.02)


def test_what_is_sent_again_is_done_once(bank, broken):  # noqa: F811
    bank = bank()
    account, shop = bank.account(), Merchant(bank)
    before = money(bank, account)
    # The key for what is told again is looked up once a day.
    first = card(bank.server, bank.api.made("/v1/numbers", {"account": account}))
    issuer, merchant = Stubborn(bank.api), Stubborn(shop.api)
    paid, numbers = [], [first.id]
    with broken:
        for count in range(ROUNDS):
            issued = card(bank.server, issuer.post("/v1/numbers", {"account": account}))
            numbers.append(issued.id)
            payment = merchant.post("/v1/payments", order(issued, 100))
            assert payment["state"] == "authorised", payment
            captured = merchant.post(f"/v1/payments/{payment['id']}/capture", {})
            assert captured["state"] == "captured", captured
            issuer.post(
                "/v1/merchants",
                {"name": f"Stall {count}", "card_acceptor": f"STALL-{count}", "mcc": "5942", "country": "840"},
            )
            paid.append(payment["id"])
    assert broken.count > 20
    print(f"{broken.count} connections broke, {issuer.again + merchant.again} requests were sent again")
    assert len(set(numbers)) - 1 == len(set(paid)) == ROUNDS
    listed = shop.api.found("/v1/payments?limit=100")["items"]
    assert sorted(payment["id"] for payment in listed) == sorted(paid)
    entered = bank.api.found("/v1/merchants?limit=100")["items"]
    stalls = sorted(merchant["name"] for merchant in entered if merchant["name"].startswith("Stall"))
    assert stalls == sorted(f"Stall {count}" for count in range(ROUNDS))
    assert money(bank, account) == (before[0] - ROUNDS * 100, 0)
    used = bank.api.found(f"/v1/numbers?account={account}&limit=100")["items"]
    assert sorted(number["id"] for number in used) == sorted(numbers)
