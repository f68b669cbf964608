"""The payment gateway from outside: merchants, a payment provider, and cardholders whose shop got a universal number."""

import os
import signal
import threading
import time
import uuid
from urllib.parse import parse_qs, urlsplit

import pytest

from api import Api
from mayfly import check_digit
from test_api import Bank, Cardholder, card, operator  # noqa: F401: fixtures

OUTSIDE = {"account", "cardholder", "programme", "issuer", "reason", "number", "cvc2", "balance"}


def usd(minor):
    return {"minor": minor, "currency": "USD"}


class Merchant:
    """A merchant with a key of its own, and everything that it ever heard."""

    def __init__(self, bank, acceptor="BOOKSHOP-1", country="840"):
        self.bank = bank
        entered = bank.api.made(
            "/v1/merchants",
            {"name": f"Shop {acceptor}", "card_acceptor": acceptor, "mcc": "5942", "country": country},
        )
        self.id = entered["id"]
        made = bank.api.made("/v1/keys", {"role": "merchant", "merchant": self.id, "name": acceptor})
        assert made["key"]["merchant"] == self.id
        bank.server.secrets.append(made["secret"])
        self.api = Api(bank.server.api, made["secret"])

    def order(self, card, minor=1000, key=None, **more):
        return self.api.post("/v1/payments", order(card, minor, **more), key=key)

    def paid(self, card, minor=1000, state="authorised", **more):
        answer = self.order(card, minor, **more)
        assert answer.status == 201, answer
        assert answer.body["state"] == state, answer
        assert not OUTSIDE & set(answer.body), "nothing of the issuer's goes to a merchant"
        return answer.body

    def shown(self, payment):
        return self.api.found(f"/v1/payments/{payment['id']}")

    def then(self, payment, what, body=None, **more):
        return self.api.post(f"/v1/payments/{payment['id']}/{what}", body, **more)

    def done(self, payment, what, body=None, **more):
        answer = self.then(payment, what, body, **more)
        assert answer.status == 200, answer
        return answer.body


def typed(card, **more):
    sent = {
        "number": card.number,
        "expiration_date": f"{card.expiry[:2]}/{card.expiry[2:]}",
        "cvc2": card.cvc2,
    } | more
    return {name: value for name, value in sent.items() if value is not None}


def order(card, minor=1000, **more):
    return {"reference": "order 4711", "amount": usd(minor)} | typed(card, **more)


@pytest.fixture
def bank(server, operator, prefix):  # noqa: F811
    return lambda **more: Bank(server, operator, prefix(), **more)


@pytest.fixture
def universal_bank(server, operator, prefix):  # noqa: F811
    """A bank whose cardholders share a number; gives the bank and the number."""

    def make():
        digits = prefix()
        number = digits + "000000000"
        number += check_digit(number)
        server.numbers_issued.append(number)
        return Bank(server, operator, digits, universal=number), number

    return make


class Universal:
    """What stands on everybody's card."""

    def __init__(self, number):
        self.number, self.expiry, self.cvc2 = number, "1229", None


def number(bank, account, **more):
    return card(bank.server, bank.api.made("/v1/numbers", {"account": account, **more}))


def money(bank, account):
    found = bank.api.found(f"/v1/accounts/{account}")
    return found["balance"]["minor"], found["held"]["minor"]


def test_a_payment_from_its_order_to_its_refund(bank):
    bank = bank()
    account, shop = bank.account(), Merchant(bank)
    paid = shop.paid(number(bank, account), 1000, name="Ada Lovelace", address="34 Moon Avenue")
    assert (paid["response_code"], paid["detail"]) == ("00", "approved")
    assert paid["approval_code"] and paid["authorised"] == usd(1000)
    assert (paid["captured"], paid["refunded"], paid["reference"]) == (usd(0), usd(0), "order 4711")
    assert shop.shown(paid) == paid
    assert money(bank, account) == (99_000, 1000)

    part = shop.done(paid, "capture", {"amount": usd(300)})
    assert (part["state"], part["captured"]) == ("partially_captured", usd(300))
    assert shop.then(paid, "capture", {"amount": usd(701)}).code == "amount_too_large"
    assert shop.then(paid, "capture", {"amount": {"minor": 1, "currency": "EUR"}}).code == "currency_mismatch"
    for wrong in (0, -1):
        assert shop.then(paid, "capture", {"amount": usd(wrong)}).code == "body_invalid"
    more = shop.done(paid, "capture", {"amount": usd(200)})
    assert (more["state"], more["captured"]) == ("partially_captured", usd(500))
    rest = shop.done(paid, "cancel")
    assert (rest["state"], rest["captured"]) == ("captured", usd(500))
    assert shop.then(paid, "cancel").code == "payment_state"
    assert shop.then(paid, "capture").code == "payment_state"
    assert money(bank, account) == (99_500, 0)

    back = shop.done(paid, "refund", {"amount": usd(100)})
    assert (back["state"], back["refunded"]) == ("partially_refunded", usd(100))
    assert shop.then(paid, "refund", {"amount": usd(401)}).code == "amount_too_large"
    back = shop.done(paid, "refund")
    assert (back["state"], back["refunded"]) == ("refunded", usd(500))
    assert shop.then(paid, "refund").code == "payment_state"
    assert money(bank, account) == (100_000, 0)

    # The issuer sees where the money went, by the name that the network knows and the start of the order's.
    bought = bank.api.found(f"/v1/authorisations?account={account}")["items"]
    told = {(it["origin"]["merchant"], it["origin"]["rrn"]) for it in bought if it["kind"] != "funding"}
    assert told == {("BOOKSHOP-1", "order 4711")}


def test_a_payment_that_is_captured_at_once(bank):
    bank = bank()
    account, shop = bank.account(), Merchant(bank)
    paid = shop.paid(number(bank, account), 700, state="captured", capture=True)
    assert (paid["authorised"], paid["captured"]) == (usd(700), usd(700))
    assert money(bank, account) == (99_300, 0)
    assert shop.then(paid, "cancel").code == "payment_state", "what is captured can only be refunded"
    assert shop.done(paid, "refund")["state"] == "refunded"
    assert money(bank, account) == (100_000, 0)


def test_a_payment_that_is_given_up(bank):
    bank = bank()
    account, shop = bank.account(), Merchant(bank)
    used = number(bank, account)
    paid = shop.paid(used)
    assert shop.done(paid, "cancel")["state"] == "cancelled"
    assert money(bank, account) == (100_000, 0)
    for what in ("capture", "cancel", "refund"):
        assert shop.then(paid, what).code == "payment_state"
    assert shop.then(paid, "number", typed(number(bank, account))).code == "payment_state"
    # Giving it up gives the use of the number back to nobody.
    shop.paid(used, state="declined")

    # One that was declined is given up, so that no other number can pay it.
    declined = shop.paid(used, state="declined")
    assert shop.done(declined, "cancel")["state"] == "cancelled"
    assert shop.then(declined, "number", typed(number(bank, account))).code == "payment_state"
    assert money(bank, account) == (100_000, 0)


def test_what_can_not_be_captured_takes_no_room_from_what_can_be_given_back(bank):
    made = bank()
    ada, shop = made.cardholder("Ada Lovelace", "ada"), Merchant(made)
    paid = shop.paid(ada.number(), 1_000)
    for _ in range(70):
        answer = shop.then(paid, "capture", {"amount": usd(1_001)})
        assert (answer.status, answer.code) == (422, "amount_too_large"), answer
    shop.done(paid, "capture", {"amount": usd(1_000)})
    assert shop.then(paid, "capture").code == "payment_state"
    assert shop.then(paid, "refund", {"amount": usd(1_001)}).code == "amount_too_large"
    assert shop.done(paid, "refund", {"amount": usd(400)})["state"] == "partially_refunded"
    # Nothing of it is in the cardholder's account, but what was done.
    kinds = [row["kind"] for row in ada.api.found("/v1/me/authorisations")["items"]]
    assert kinds[:3] == ["refund", "completion", "purchase"]


def test_no_number_stands_in_what_is_kept_readably(bank):
    made = bank()
    ada, shop = made.cardholder("Ada Lovelace", "ada"), Merchant(made)
    mine, other = ada.number(), ada.number().number
    spaced = " ".join(other[at : at + 4] for at in range(0, 16, 4))
    for reference in (other, spaced, spaced.replace(" ", "-"), f"order {mine.number} x"):
        answer = shop.order(mine, reference=reference)
        assert (answer.status, answer.code) == (422, "body_invalid"), answer
    for hidden in (spaced.replace(" ", "%20"), "%3" + other[0] + other[1:], spaced.replace(" ", "+")):
        answer = shop.order(mine, return_url=f"https://shop.example/?card={hidden}")
        assert (answer.status, answer.code) == (422, "body_invalid"), answer
    # Sixteen digits that are nobody's number are an order's number.
    shop.paid(mine, reference="9999 0000 0000 0000")


def test_what_is_sent_again_is_done_once(bank):
    bank = bank()
    account, shop, other = bank.account(), Merchant(bank), Merchant(bank, "OTHER-1")
    used, key = number(bank, account), str(uuid.uuid4())
    first = shop.order(used, key=key)
    assert shop.order(used, key=key).body == first.body
    # The CVC2 is not kept, so it does not count; everything else does.
    assert shop.order(used, key=key, cvc2=None).body == first.body
    for changed in (
        shop.order(used, 1001, key=key),
        shop.order(used, key=key, reference="order 4712"),
        shop.order(used, key=key, capture=True),
        shop.order(used, key=key, name="Ada Lovelace"),
        shop.order(used, key=key, address="34 Moon Avenue"),
        shop.order(used, key=key, return_url="https://shop.example/"),
        shop.order(used, key=key, expiration_date="01/31"),
        shop.order(number(bank, account), key=key),
    ):
        assert (changed.status, changed.code) == (409, "idempotency_key_reused")
    # The same key of another merchant is another key.
    assert other.order(used, key=key).body["state"] == "declined"
    assert money(bank, account) == (99_000, 1000)

    for what, body, otherwise in (
        ("capture", {"amount": usd(400)}, {"amount": usd(500)}),
        ("capture", {}, {"amount": usd(600)}),
        ("refund", {"amount": usd(300)}, {}),
        ("refund", {}, {"amount": usd(1)}),
    ):
        key = str(uuid.uuid4())
        done = shop.done(first.body, what, body, key=key)
        assert shop.done(first.body, what, body, key=key) == done
        assert shop.then(first.body, what, otherwise, key=key).code == "idempotency_key_reused"
    assert shop.shown(first.body)["state"] == "refunded"
    assert money(bank, account) == (100_000, 0)


def test_what_was_done_before_a_crash_is_not_done_again(bank, server):
    """A payment, its capture and its refund, each sent again after the server was killed."""
    bank = bank()
    account, shop = bank.account(), Merchant(bank)
    used = number(bank, account)
    keys = [str(uuid.uuid4()) for _ in range(4)]
    orders = [number(bank, account) for _ in range(20)]

    def crash():
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        server.start()
        for caller in (bank.api, bank.auditor, shop.api):
            caller.address = server.api.split("://")[1]

    paid = shop.order(used, key=keys[0]).body
    crash()
    assert shop.order(used, key=keys[0]).body == paid
    captured = shop.done(paid, "capture", {"amount": usd(600)}, key=keys[1])
    crash()
    assert shop.done(paid, "capture", {"amount": usd(600)}, key=keys[1]) == captured
    assert shop.done(paid, "cancel", key=keys[2])["state"] == "captured"
    refunded = shop.done(paid, "refund", key=keys[3])
    crash()
    assert shop.done(paid, "refund", key=keys[3]) == refunded
    assert shop.done(paid, "cancel", key=keys[2]) == refunded
    assert money(bank, account) == (100_000, 0)

    # Killed in the middle of many: whoever did not hear asks again, and each is paid once.
    keys, answers = [str(uuid.uuid4()) for _ in orders], {}

    def buy(at):
        try:
            answers[at] = shop.order(orders[at], 10, key=keys[at]).body
        except OSError:
            pass

    threads = [threading.Thread(target=buy, args=(at,)) for at in range(len(orders))]
    [thread.start() for thread in threads]
    time.sleep(0.01)
    crash()
    [thread.join() for thread in threads]
    for at, used in enumerate(orders):
        again = shop.order(used, 10, key=keys[at]).body
        assert again["state"] == "authorised"
        assert answers.get(at, again) == again
    assert money(bank, account) == (100_000 - 200, 200)


def test_declined_payments_look_alike(bank, network):
    bank = bank()
    account, shop = bank.account(), Merchant(bank)
    used, cancelled, bound = number(bank, account), number(bank, account), None
    shop.paid(used)
    assert bank.api.post(f"/v1/numbers/{cancelled.id}/cancel").status == 200
    bound = number(bank, account, controls={"merchant": {"fixed": "ELSEWHERE"}})
    digits = bank.prefix + "999999999"
    never = number(bank, account)
    unknown = typed(never, number=digits + check_digit(digits))
    right = number(bank, account)
    told = [
        shop.order(used).body,
        shop.order(cancelled).body,
        shop.order(bound).body,
        shop.api.post("/v1/payments", order(never) | unknown).body,
        shop.order(right, cvc2=f"{(int(right.cvc2) + 1) % 1000:03}").body,
        shop.order(number(bank, account), expiration_date="12/98").body,
    ]
    same = {"state": "declined", "response_code": "05", "detail": "declined", "approval_code": None}
    for payment in told:
        assert {name: payment[name] for name in same} == same, payment
    varying = {"id", "created_at", "last_four"}
    assert all(
        {name: value for name, value in payment.items() if name not in varying}
        == {name: value for name, value in told[0].items() if name not in varying}
        for payment in told
    )
    # What is told once the number has proven itself: the code of ISO 8583, and nothing of the account.
    poor = bank.account(minor=5)
    assert shop.paid(number(bank, poor), state="declined")["response_code"] == "51"


def test_numbers_of_others_and_no_numbers_look_alike(bank):
    """A89: another issuer's number, an unknown one and a mistyped one are answered the same."""
    bank, other = bank(), bank()
    shop = Merchant(bank)
    theirs = number(other, other.account())
    ours = number(bank, bank.account())
    unknown = "999999" + "0" * 9
    wrong = ours.number[:-1] + str((int(ours.number[-1]) + 1) % 10)
    answers = [
        shop.order(ours, number=sent)
        for sent in (theirs.number, unknown + check_digit(unknown), wrong, "1", "", "no number")
    ]
    for answer in answers:
        assert (answer.status, answer.code) == (422, "number_not_accepted")
        assert answer.body | {"request_id": ""} == answers[0].body | {"request_id": ""}
    assert shop.api.found("/v1/payments")["items"] == []
    # It still works where it belongs.
    assert Merchant(other).paid(theirs)


def test_a_payment_is_seen_by_its_merchant_and_by_its_issuers_gateway(bank):
    bank, other = bank(), bank()
    account, shop, neighbour = bank.account(), Merchant(bank), Merchant(bank, "NEIGHBOUR")
    stranger = Merchant(other)
    made = bank.api.made("/v1/keys", {"role": "gateway", "name": "provider"})
    bank.server.secrets.append(made["secret"])
    gateway = Api(bank.server.api, made["secret"])

    paid = shop.paid(number(bank, account), reference="A-1")
    for who in (neighbour.api, stranger.api):
        assert who.get(f"/v1/payments/{paid['id']}").code == "not_found"
        for what in ("capture", "cancel", "refund"):
            assert who.post(f"/v1/payments/{paid['id']}/{what}").code == "not_found"
    assert neighbour.api.found("/v1/payments")["items"] == []
    assert gateway.found(f"/v1/payments/{paid['id']}") == paid

    # A gateway names the merchant, a merchant does not.
    sent = order(number(bank, account), reference="A-2")
    assert gateway.post("/v1/payments", sent).code == "body_invalid"
    assert shop.api.post("/v1/payments", sent | {"merchant": shop.id}).code == "body_invalid"
    assert gateway.post("/v1/payments", sent | {"merchant": stranger.id}).code == "not_found"
    ordered = gateway.made("/v1/payments", sent | {"merchant": shop.id})
    assert (ordered["state"], ordered["merchant"]) == ("authorised", shop.id)
    assert gateway.post(f"/v1/payments/{ordered['id']}/capture").body["state"] == "captured"

    # Lists: the latest first, page by page, by reference.
    more = [shop.paid(number(bank, account), reference="A-2") for _ in range(3)]
    seen, cursor = [], ""
    while cursor is not None:
        page = shop.api.found(f"/v1/payments?limit=2{cursor}")
        seen += [it["id"] for it in page["items"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert seen == [it["id"] for it in reversed([paid, ordered, *more])]
    named = shop.api.found("/v1/payments?reference=A-2")["items"]
    assert [it["id"] for it in named] == seen[:-1]
    assert [it["id"] for it in gateway.found(f"/v1/payments?merchant={shop.id}&reference=A-1")["items"]] == [
        paid["id"]
    ]
    assert gateway.get("/v1/payments").code == "body_invalid"
    assert gateway.get(f"/v1/payments?merchant={stranger.id}").code == "not_found"
    page = shop.api.found("/v1/payments?limit=1")
    assert neighbour.api.get(f"/v1/payments?cursor={page['next_cursor']}").code == "cursor_invalid"

    # Keys: a merchant's names its merchant, others name none.
    for body, code in (
        ({"role": "merchant", "name": "x"}, "body_invalid"),
        ({"role": "gateway", "name": "x", "merchant": shop.id}, "body_invalid"),
        ({"role": "merchant", "name": "x", "merchant": stranger.id}, "not_found"),
    ):
        assert bank.api.post("/v1/keys", body).code == code
    made = bank.server.json(
        "key", "create", "Till", "--role", "merchant", "--issuer", bank.id, "--merchant", shop.id
    )
    bank.server.secrets.append(made["token"])
    assert Api(bank.server.api, made["token"]).found(f"/v1/payments/{paid['id']}") == paid
    assert bank.api.get("/v1/payments").code == "role_not_allowed"


def test_a_closed_merchant_sells_nothing_and_gives_back_what_it_sold(bank):
    bank = bank()
    account, shop = bank.account(), Merchant(bank)
    used, key = number(bank, account), str(uuid.uuid4())
    paid, given_up = shop.order(used, key=key).body, shop.paid(number(bank, account))
    declined = shop.paid(used, state="declined")
    shop.done(paid, "capture")
    closed = bank.api.post(f"/v1/merchants/{shop.id}/state", {"state": "closed"})
    assert closed.body["state"] == "closed"
    answer = shop.order(number(bank, account))
    assert (answer.status, answer.code) == (409, "merchant_closed")
    assert shop.then(declined, "number", typed(number(bank, account))).code == "merchant_closed"
    assert shop.order(used, key=key).body["state"] == "captured", "what it asked before is answered"
    assert shop.done(paid, "refund")["state"] == "refunded"
    assert shop.done(given_up, "cancel")["state"] == "cancelled"
    bank.api.post(f"/v1/merchants/{shop.id}/state", {"state": "active"})
    shop.paid(number(bank, account))


def test_a_number_is_used_once_whichever_way_it_comes(bank, network):
    bank = bank()
    account, shop = bank.account(), Merchant(bank)
    over_iso, over_http = number(bank, account), number(bank, account)
    assert network.buy(over_iso, 100) == "00"
    assert shop.paid(over_iso, state="declined")["response_code"] == "05"
    shop.paid(over_http)
    assert network.buy(over_http, 100) == "05"
    # A number bound to this merchant is bound to it on both ways.
    bound = number(bank, account, controls={"merchant": {"fixed": "BOOKSHOP-1"}})
    assert network.buy(bound, 100, merchant="ELSEWHERE") == "05"
    shop.paid(bound)
    # What the programme says of channels and categories is looked at, too.
    grocers = number(bank, account, controls={"mcc_allowed": ["5411"]})
    assert shop.paid(grocers, state="declined")["response_code"] == "57"
    abroad = number(bank, account, controls={"countries": ["250"]})
    assert shop.paid(abroad, state="declined")["response_code"] == "62"


def at_once(count, work):
    """Does the same thing from many sides at once; gives what came of it."""
    barrier, answers = threading.Barrier(count), []

    def one(at):
        barrier.wait()
        answers.append(work(at))

    threads = [threading.Thread(target=one, args=(at,)) for at in range(count)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(answers) == count
    return answers


def test_of_many_at_once_exactly_one_is_authorised(bank):
    bank = bank()
    account, shop = bank.account(), Merchant(bank)
    # Many orders with one number.
    used = number(bank, account)
    states = [answer.body["state"] for answer in at_once(12, lambda _: shop.order(used))]
    assert sorted(states) == ["authorised"] + ["declined"] * 11
    # One order with many numbers: three may be tried, and one of them pays.
    waiting = shop.paid(used, state="declined")
    numbers = [number(bank, account) for _ in range(8)]
    answers = at_once(8, lambda at: shop.then(waiting, "number", typed(numbers[at])))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    # One order, sent many times: it is one.
    key, used = str(uuid.uuid4()), number(bank, account)
    ids = {answer.body["id"] for answer in at_once(8, lambda _: shop.order(used, key=key))}
    assert len(ids) == 1
    # One payment, captured many times: never more than it came to.
    paid = shop.paid(number(bank, account), 1000)
    at_once(8, lambda _: shop.then(paid, "capture", {"amount": usd(300)}))
    assert shop.shown(paid)["captured"] == usd(900)
    assert sum(money(bank, account)) == 100_000 - 900


def test_a53_a_number_that_nobody_used_ends_with_its_lifetime(bank):
    """A53: at T an unused number is unusable."""
    bank = bank()
    account, shop = bank.account(), Merchant(bank)
    short = number(bank, account, lifetime_seconds=1)
    time.sleep(1.05)
    assert shop.paid(short, state="declined")["response_code"] == "05"
    assert money(bank, account) == (100_000, 0)


def test_orders_that_are_none(bank):
    bank = bank()
    account, shop = bank.account(), Merchant(bank)
    good = number(bank, account)
    for more, pointer in (
        ({"amount": usd(0)}, "/amount/minor"),
        ({"amount": usd(-5)}, "/amount/minor"),
        ({"amount": usd(10**12)}, "/amount/minor"),
        ({"reference": ""}, "/reference"),
        ({"reference": "x" * 65}, "/reference"),
        ({"reference": " x"}, "/reference"),
        ({"reference": f"for {good.number}"}, "/reference"),
        ({"return_url": "http://shop.example/"}, "/return_url"),
        ({"return_url": "javascript:alert(1)"}, "/return_url"),
        ({"return_url": f"https://shop.example/{good.number}"}, "/return_url"),
        ({"expiration_date": "13/30"}, "/expiration_date"),
        ({"expiration_date": "0530"}, "/expiration_date"),
        ({"cvc2": "12"}, "/cvc2"),
        ({"cvc2": "1234"}, "/cvc2"),
        ({"name": "x" * 101}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"address": "x" * 401}, "/address"),
        ({"number": 4569409360110520}, "/number"),
    ):
        answer = shop.order(good, **more)
        assert (answer.status, answer.code) == (422, "body_invalid"), (more, answer)
        assert answer.body["errors"][0]["pointer"] == pointer, answer
        assert good.number not in str(answer.body)
    shop.paid(good, name="Ada Lovelace", address="34 Moon Avenue, The Moon", cvc2=None)


CONSOLE = "https://bank.example/console"


def test_a84_a_universal_number_opens_the_console_and_a_number_from_it_pays(universal_bank):
    """A84: the shop recognises the universal number, opens the console, and sends the number that came from there."""
    bank, universal = universal_bank()
    shop, ada = Merchant(bank), bank.cardholder("Ada Lovelace", "ada")
    waiting = shop.paid(Universal(universal), state="console_required")
    assert waiting["console"] is None and "no console" in waiting["detail"]
    url = {"url": f"{CONSOLE}?lang=en"}
    assert bank.api.post(f"/v1/programmes/{bank.programme}/console", url).body == url
    assert bank.auditor.found(f"/v1/programmes/{bank.programme}/console") == url
    for wrong in ("http://bank.example/", "bank.example", "https://bank.example/#x", 5):
        answer = bank.api.post(f"/v1/programmes/{bank.programme}/console", {"url": wrong})
        assert answer.code == "body_invalid", wrong

    key = str(uuid.uuid4())
    waiting = shop.order(Universal(universal), 2498, key=key).body
    opened = urlsplit(waiting["console"]["url"])
    assert waiting["console"]["url"].startswith(f"{CONSOLE}?")
    assert parse_qs(opened.query) == {"lang": ["en"], "payment": [waiting["id"]]}
    assert (waiting["state"], waiting["last_four"]) == ("console_required", universal[-4:])
    assert (waiting["response_code"], waiting["authorised"]) == (None, usd(0))
    assert shop.order(Universal(universal), 2498, key=key).body == waiting
    # By itself it authorises nothing, however often it is sent, and takes no try.
    for _ in range(4):
        assert shop.then(waiting, "number", typed(Universal(universal))).code == "number_not_accepted"
    assert money(bank, ada.account) == (100_000, 0)

    mine, key = ada.number(), str(uuid.uuid4())
    paid = shop.done(waiting, "number", typed(mine), key=key)
    assert (paid["state"], paid["last_four"], paid["console"]) == ("authorised", mine.number[-4:], None)
    assert shop.done(waiting, "number", typed(mine), key=key) == paid
    assert shop.then(waiting, "number", typed(ada.number()), key=key).code == "idempotency_key_reused"
    assert shop.shown(waiting) == paid
    assert shop.order(Universal(universal), 2498, key=key).body["id"] != paid["id"]
    assert shop.done(paid, "capture")["state"] == "captured"
    assert money(bank, ada.account) == (100_000 - 2498, 0)


def test_a55_and_a84_a_cardholder_pays_at_his_issuers_page_and_the_merchant_gets_it_to_file(universal_bank):
    """A55, A84: the number is made and joined to the order on the server; the purchase completes at the issuer's page."""
    bank, universal = universal_bank()
    other, _ = universal_bank()
    shop, ada = Merchant(bank), bank.cardholder("Ada Lovelace", "ada")
    eve = other.cardholder("Eve", "eve")
    back = "https://shop.example/order/4711"
    waiting = shop.paid(Universal(universal), 2498, state="console_required", return_url=back)
    path = f"/v1/me/payments/{waiting['id']}"
    seen = ada.api.found(path)
    assert (seen["merchant"], seen["amount"], seen["return_url"]) == ("Shop BOOKSHOP-1", usd(2498), back)
    assert seen["reference"] == "order 4711"
    # Another issuer's cardholder has nothing to do with it.
    assert eve.api.get(path).code == eve.api.post(f"{path}/pay").code == "not_found"

    key = str(uuid.uuid4())
    paid = ada.api.post(f"{path}/pay", key=key)
    assert (paid.status, paid.body["state"], paid.body["return_url"]) == (200, "authorised", back)
    assert ada.api.post(f"{path}/pay", key=key).body == paid.body
    assert ada.api.post(f"{path}/pay", {"account": ada.account}, key=key).body == paid.body
    assert ada.api.get(path).code == "not_found", "it does not wait any more"
    assert ada.api.post(f"{path}/pay").code == "payment_state"
    [made] = ada.api.found("/v1/me/numbers")["items"]
    filed = shop.shown(waiting)
    assert (filed["state"], filed["last_four"]) == ("authorised", made["last_four"])
    assert filed["last_four"] != universal[-4:] or made["last_four"] == universal[-4:]
    assert (made["state"], made["controls"]["merchant"]) == ("used", {"fixed": "BOOKSHOP-1"})
    assert made["controls"]["amount_max"] == usd(2498)
    assert money(bank, ada.account) == (100_000 - 2498, 2498)
    assert shop.done(filed, "capture")["state"] == "captured"


def test_a_payment_at_the_issuers_page_that_is_declined_can_be_paid_otherwise(universal_bank):
    bank, universal = universal_bank()
    shop, bob = Merchant(bank), bank.cardholder("Bob", "bob", account=bank.account(minor=5))
    rich = bank.account()
    bank.api.made(f"/v1/cardholders/{bob.id}/accounts", {"account": rich})
    waiting = shop.paid(Universal(universal), state="console_required")
    path = f"/v1/me/payments/{waiting['id']}"
    assert bob.api.post(f"{path}/pay").code == "body_invalid", "he has several accounts, and must say which"
    poor = bob.api.post(f"{path}/pay", {"account": bob.account}).body
    assert (poor["state"], poor["response_code"], poor["detail"]) == ("declined", "51", "not enough funds")
    assert shop.shown(waiting)["state"] == "declined"
    # The number that did not pay is of no use to anybody.
    [made] = bob.api.found(f"/v1/me/numbers?account={bob.account}")["items"]
    assert made["state"] == "cancelled"
    assert bob.api.found(path)["id"] == waiting["id"], "it still waits for him"
    assert bob.api.post(f"{path}/pay", {"account": rich}).body["state"] == "authorised"
    assert money(bank, rich) == (99_000, 1000)
    # Cancelled: neither he nor another number pays it any more.
    given_up = shop.paid(Universal(universal), state="console_required")
    assert shop.done(given_up, "cancel")["state"] == "cancelled"
    path = f"/v1/me/payments/{given_up['id']}"
    assert bob.api.get(path).code == "not_found"
    assert bob.api.post(f"{path}/pay", {"account": rich}).code == "payment_state"
    assert shop.then(given_up, "number", typed(number(bank, rich))).code == "payment_state"


def test_two_consoles_for_one_order_pay_once(universal_bank):
    bank, universal = universal_bank()
    shop = Merchant(bank)
    ada, bob = bank.cardholder("Ada Lovelace", "ada"), bank.cardholder("Bob", "bob")
    waiting = shop.paid(Universal(universal), state="console_required")
    mine = ada.number()

    def pay(at):
        if at % 3 == 2:
            return shop.then(waiting, "number", typed(mine))
        return (ada, bob)[at % 3].api.post(f"/v1/me/payments/{waiting['id']}/pay")

    answers = at_once(9, pay)
    paid = [answer for answer in answers if answer.status == 200]
    assert [answer.body["state"] for answer in paid] == ["authorised"]
    assert {answer.code for answer in answers if answer.status != 200} == {"payment_state"}
    assert sum(money(bank, it.account)[1] for it in (ada, bob)) == 1000


def test_a85_a_shop_that_issues_its_own_numbers(universal_bank):
    """A85: a merchant who is the issuer of its own universal number works as a bank does."""
    shop_bank, universal = universal_bank()
    shop, ada = Merchant(shop_bank, "SHOP-ITSELF"), shop_bank.cardholder("Ada Lovelace", "ada")
    waiting = shop.paid(Universal(universal), state="console_required")
    assert ada.api.post(f"/v1/me/payments/{waiting['id']}/pay").body["state"] == "authorised"
    assert shop.done(waiting, "capture")["state"] == "captured"
    shop.paid(ada.number())
