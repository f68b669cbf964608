"""The decision hook, from outside: an issuer's own endpoint is asked before funds are touched."""

import concurrent.futures
import signal
import threading
import time

import pytest
import standardwebhooks

import mayfly
from receiver import until
from test_api import card
from test_webhooks import events, hooked, other_receiver, receiver, shop  # noqa: F401: fixtures


def answer(decision, status=200):
    return status, {"Content-Type": "application/json"}, b'{"decision": "%s"}' % decision.encode()


class Asked:
    """An issuer that is asked, and an account with 1000 dollars."""

    def __init__(self, bank, receiver, **more):
        self.bank, self.receiver, self.account = bank, receiver, bank.account()
        self.secret = None
        self.set(**more)

    def set(self, **more):
        body = {"url": self.receiver.url("/decide")} | more
        answer = self.bank.api.post("/v1/decision_hook", body)
        assert answer.status == 200, answer
        if answer.body["secret"]:
            self.secret = answer.body["secret"]
            self.bank.server.secrets += [self.secret, self.secret.removeprefix("whsec_")]
        return answer.body

    def number(self, **more):
        asked = {"account": self.account, "programme": self.bank.programme} | more
        return card(self.bank.server, self.bank.api.made("/v1/numbers", asked))

    def buy(self, card, minor=2_498, **elements):
        with self.bank.server.connect() as network:
            return network.buy(card, minor, **elements)

    def money(self):
        found = self.bank.api.found(f"/v1/accounts/{self.account}")
        return found["balance"]["minor"], found["held"]["minor"]

    def last(self):
        return self.bank.api.found(f"/v1/authorisations?account={self.account}")["items"][0]

    def kinds(self):
        return [event["kind"] for event in events(self.bank)]


@pytest.fixture
def asked(shop, receiver):  # noqa: F811
    return lambda **more: Asked(shop(), receiver, **more)


def test_a_yes_is_asked_for_before_funds_are_touched_and_signed(asked):
    one = asked()
    seen = []

    def decide(received):
        seen.append(one.money())
        return answer("approve")

    one.receiver.answer = decide
    bought = one.number()
    assert one.buy(bought) == "00"
    assert (seen, one.money()) == ([(100_000, 0)], (97_502, 2_498))
    [received] = one.receiver.all()
    # An independent implementation checks the signature.
    standardwebhooks.Webhook(one.secret).verify(received.body, received.headers)
    question = received.json
    assert (received.path, question["type"], question["id"]) == (
        "/decide",
        "authorisation.requested",
        received.id,
    )
    data = question["data"]
    assert (data["kind"], data["account"], data["number"]) == ("purchase", one.account, bought.id)
    assert data["amount"] == {"minor": 2_498, "currency": "USD"}
    assert (data["merchant"], data["last_four"]) == ("BOOKSHOP-1", bought.number[-4:])
    assert bought.number not in received.body.decode() and bought.cvc2 not in data.values()
    assert one.kinds()[-3:] == ["asked", "resolved", "transacted"]
    assert one.buy(bought) == "05"


def test_a_no_is_declined_and_leaves_two_more_tries(asked):
    one = asked()
    one.receiver.answer = lambda received: answer("decline")
    bought = one.number()
    for _ in range(3):
        assert one.buy(bought) == "05"
    assert one.last()["reason"] == "hook_declined"
    one.receiver.answer = lambda received: answer("approve")
    assert one.buy(bought) == "05"
    assert (len(one.receiver.all()), one.money()) == (3, (100_000, 0))


@pytest.mark.parametrize(
    "when_late, code, reason", [("decline", "91", "hook_late"), ("approve", "00", "stood_in")]
)
def test_a_late_answer_is_on_record_and_the_issuer_says_what_counts(asked, when_late, code, reason):
    one = asked(time_limit_ms=300, when_late=when_late)
    go_on = threading.Event()

    def decide(received):
        go_on.wait(10)
        return answer("decline" if when_late == "approve" else "approve")

    one.receiver.answer = decide
    begun = time.monotonic()
    assert one.buy(one.number()) == code
    assert 0.3 <= time.monotonic() - begun < 5
    assert one.last()["reason"] == reason
    money = one.money()
    go_on.set()
    until(lambda: "answered_late" in one.kinds())
    late = events(one.bank)[-1]["data"]
    failure = lambda: one.bank.api.found("/v1/decision_hook")["last_failure"]  # noqa: E731
    until(lambda: failure() and failure()["why"] == "the answer came too late")
    assert (late["word"], one.money()) == ("decline" if when_late == "approve" else "approve", money)


def test_what_can_not_be_understood_or_reached_is_not_waited_for(asked):
    one = asked(time_limit_ms=20_000)
    for wrong in (answer("maybe"), (500, {}, b""), answer("approve", 201), (302, {"Location": "/yes"}, b"")):
        one.receiver.answer = lambda received, wrong=wrong: wrong
        assert one.buy(one.number()) == "91"
    # The issuer can see why.
    failure = one.bank.api.found("/v1/decision_hook")["last_failure"]
    assert (failure["why"], failure["question"][:4]) == ("answered 302, not 200", "ask_")
    one.receiver.down()
    assert one.buy(one.number()) == "91"
    assert one.bank.api.found("/v1/decision_hook")["last_failure"]["why"] != failure["why"]
    one.receiver.up()
    one.receiver.answer = lambda received: answer("approve")
    assert one.buy(one.number()) == "00"


def test_while_one_waits_its_number_is_nobody_elses_and_a_repeat_joins(asked):
    one = asked(time_limit_ms=10_000)
    go_on = threading.Event()

    def decide(received):
        go_on.wait(10)
        return answer("approve")

    one.receiver.answer = decide
    bought = one.number()
    first = mayfly.purchase(bought, 100)
    with concurrent.futures.ThreadPoolExecutor() as pool:

        def send(message):
            with one.bank.server.connect() as network:
                return network.ask(message)

        waits = pool.submit(send, first)
        until(lambda: len(one.receiver.all()) == 0 and "asked" in one.kinds())
        joins = pool.submit(send, first | {"t": "0101"})
        assert one.buy(bought, 100) == "05"
        assert one.last()["reason"] == "number_used"
        time.sleep(0.2)
        go_on.set()
        waits, joins = waits.result(), joins.result()
    assert (waits["39"], waits["38"]) == (joins["39"], joins["38"]) == ("00", joins["38"])
    assert (len(one.receiver.all()), one.money()) == (1, (99_900, 100))


def test_a_reversal_overtakes_the_answer(asked):
    one = asked(time_limit_ms=10_000)
    go_on = threading.Event()

    def decide(received):
        go_on.wait(10)
        return answer("approve")

    one.receiver.answer = decide
    first = mayfly.purchase(one.number(), 100)
    with concurrent.futures.ThreadPoolExecutor() as pool, one.bank.server.connect() as network:

        def send():
            with one.bank.server.connect() as other:
                return other.code(first)

        waits = pool.submit(send)
        until(lambda: "asked" in one.kinds())
        assert network.code(first | {"t": "0400", "90": f"0100{first['11']}{first['7']}{'0' * 22}"}) == "00"
        go_on.set()
        assert waits.result() == "05"
    assert one.money() == (100_000, 0)


def test_a_server_that_was_killed_ends_what_it_had_asked(asked, hooked):  # noqa: F811
    one = asked(time_limit_ms=10_000, when_late="approve")
    go_on = threading.Event()

    def decide(received):
        go_on.wait(10)
        return answer("approve")

    one.receiver.answer = decide
    bought = one.number()
    with one.bank.server.connect() as network:
        message = mayfly.purchase(bought, 100)
        raw, _ = mayfly.iso8583.encode(dict(message), mayfly.SPEC)
        network.send_raw(bytes(raw))
        until(lambda: "asked" in one.kinds())
        hooked.process.send_signal(signal.SIGKILL)
        hooked.process.wait(mayfly.PATIENCE_S)
        go_on.set()
    hooked.start()
    one.bank.api.address = hooked.api.split("://")[1]
    resolved = until(lambda: [event for event in events(one.bank) if event["kind"] == "resolved"])
    assert resolved[0]["data"]["word"] == "unfinished"
    assert one.money() == (100_000, 0)
    # The number is as it was, and whoever repeats is told that nothing came of it.
    with one.bank.server.connect() as network:
        assert network.code(message | {"t": "0101"}) == "96"
    assert one.buy(bought, 100) == "00"
    assert one.money() == (99_900, 100)


def test_who_is_not_asked_any_more_is_not(asked):
    one = asked(time_limit_ms=500)
    shown = one.bank.api.found("/v1/decision_hook")
    assert (shown["time_limit_ms"], shown["when_late"]) == (500, "decline")
    assert one.bank.auditor.found("/v1/decision_hook") == shown
    assert one.bank.auditor.post("/v1/decision_hook/remove").code == "role_not_allowed"
    old = one.secret
    again = one.set(time_limit_ms=700)
    assert (again["secret"], again["hook"]["time_limit_ms"]) == (None, 700)
    one.set(new_secret=True)
    assert one.secret != old
    one.receiver.answer = lambda received: answer("approve")
    assert one.buy(one.number()) == "00"
    standardwebhooks.Webhook(one.secret).verify(one.receiver.all()[-1].body, one.receiver.all()[-1].headers)
    assert one.bank.api.post("/v1/decision_hook/remove").status == 200
    assert one.bank.api.get("/v1/decision_hook").code == "not_found"
    count = len(one.receiver.all())
    assert one.buy(one.number()) == "00"
    assert len(one.receiver.all()) == count


def test_another_issuers_purchases_are_not_told(asked, shop, other_receiver):  # noqa: F811
    one, other = asked(), Asked(shop(), other_receiver)
    for each in (one, other):
        each.receiver.answer = lambda received: answer("approve")
    assert one.buy(one.number()) == "00"
    assert (len(one.receiver.all()), other.receiver.all()) == (1, [])


def test_many_at_once_are_each_answered_once(asked):
    one = asked(time_limit_ms=10_000)

    def decide(received):
        return answer("approve" if received.json["data"]["amount"]["minor"] % 2 else "decline")

    one.receiver.answer = decide
    numbers = [one.number() for _ in range(40)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(lambda at: one.buy(numbers[at], 100 + at), range(40)))
    assert codes == ["00" if at % 2 else "05" for at in range(40)]
    assert len(one.receiver.ids()) == len(one.receiver.all()) == 40


def test_set_and_removed_at_once_it_is_one_or_the_other(asked):
    """Where an issuer is asked and that it is asked stand in two places: never in one of them only."""
    one = asked(time_limit_ms=200, when_late="decline")
    one.receiver.answer = lambda received: answer("approve")
    body = {"url": one.receiver.url("/decide"), "time_limit_ms": 200}
    for _ in range(8):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            done = [
                pool.submit(one.bank.api.post, "/v1/decision_hook", body | {"new_secret": True}),
                pool.submit(one.bank.api.post, "/v1/decision_hook/remove"),
            ]
            answers = [each.result() for each in done]
        one.bank.server.secrets += [a.body["secret"] for a in answers if a.status == 200 and a.body.get("secret")]
        before = len(one.receiver.all())
        assert one.buy(one.number()) == "00"
        is_set = one.bank.api.get("/v1/decision_hook").status == 200
        assert len(one.receiver.all()) - before == int(is_set)


def test_a_repeat_does_not_bring_back_what_was_removed_since(asked):
    one = asked()
    body = {"url": one.receiver.url("/decide"), "time_limit_ms": 300}
    assert one.bank.api.post("/v1/decision_hook", body, key="set-1").status == 200
    assert one.bank.api.post("/v1/decision_hook/remove", key="remove-1").status == 200
    again = one.bank.api.post("/v1/decision_hook", body, key="set-1")
    assert (again.status, again.code) == (409, "hook_changed")
    assert one.buy(one.number()) == "00"
    one.set()
    again = one.bank.api.post("/v1/decision_hook/remove", key="remove-1")
    assert (again.status, again.code) == (409, "hook_changed")
    assert one.bank.api.get("/v1/decision_hook").status == 200
