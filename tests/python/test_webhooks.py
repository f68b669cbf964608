"""Webhooks, from outside: a receiver that checks what it gets with an independent implementation of the signature."""

import json
import os
import signal
import time
import urllib.request

import pytest
import standardwebhooks

import mayfly
from api import Api
from receiver import Receiver, until
from test_api import Bank, bank, operator  # noqa: F401: fixtures

USD = "USD"
PREFIXES = (f"41{count:04}" for count in range(10_000))

OUTBOUND = """
[outbound]
private_addresses = true
plain_http = true
"""


class Hooked(mayfly.Server):
    """A server whose webhooks may lead to this machine."""

    CONFIG = mayfly.CONFIG + OUTBOUND

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(mayfly.PATIENCE_S)


@pytest.fixture(scope="module")
def hooked(request, tmp_path_factory):
    binary = os.path.abspath(request.config.getoption("--binary"))
    server = Hooked(binary, tmp_path_factory.mktemp("hooked"))
    server.start()
    yield server
    # Whatever was shown once stands nowhere, and no number either.
    assert len(server.secrets) > 10
    server.holds_nothing_secret()
    server.stop()
    server.run("journal", "verify", "--views")
    server.holds_nothing_secret()


@pytest.fixture
def shop(hooked):
    """Makes an issuer with a programme."""
    made = hooked.json("key", "create", "The one who runs it", "--role", "operator")
    hooked.secrets.append(made["token"])
    banks = []

    def shop():
        banks.append(Bank(hooked, Api(hooked.api, made["token"]), next(PREFIXES)))
        return banks[-1]

    yield shop
    # Another test's receiver may get the port of this one's.
    for bank in banks:
        bank.api = Api(hooked.api, bank.api.token)
        for hook in bank.api.found("/v1/webhooks")["items"]:
            assert bank.api.post(f"/v1/webhooks/{hook['id']}/delete").status == 200


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.down()


@pytest.fixture
def other_receiver():
    receiver = Receiver()
    yield receiver
    receiver.down()


class Hook:
    """A webhook of an issuer's, at a receiver."""

    def __init__(self, bank, receiver, path="/hook", **more):
        self.bank, self.receiver = bank, receiver
        made = bank.api.made("/v1/webhooks", {"url": receiver.url(path)} | more)
        self.id, self.first = made["webhook"]["id"], made["webhook"]["next"]
        self.take(made)

    def take(self, made):
        self.secret = made["secret"]
        # Neither its text nor what is in it is to be found afterwards.
        self.bank.server.secrets += [self.secret, self.secret.removeprefix("whsec_")]
        return made

    def post(self, path="", body=None):
        answer = self.bank.api.post(f"/v1/webhooks/{self.id}{path}", body)
        assert answer.status == 200, answer
        return answer.body

    def shown(self):
        return self.bank.api.found(f"/v1/webhooks/{self.id}")

    def attempts(self):
        return self.bank.api.found(f"/v1/webhooks/{self.id}/attempts?limit=100")["items"]


def events(bank, after=None):
    """All events of an issuer, as it sees them itself."""
    found, query = [], f"?limit=100{f'&after={after}' if after else ''}"
    while True:
        page = bank.api.found(f"/v1/events{query}")
        found += page["items"]
        if not page["next_cursor"]:
            return found
        query = f"?limit=100&cursor={page['next_cursor']}"


def ids(bank, hook):
    """The ids of everything that happened since the webhook was made."""
    first = [int(part) for part in hook.first.split("_")[1:]]
    return [event["id"] for event in events(bank) if [int(part) for part in event["id"].split("_")[1:]] >= first]


def happen(bank, account, count):
    """So many events."""
    for _ in range(count):
        paid = bank.api.post(f"/v1/accounts/{account}/funds", {"amount": {"minor": 100, "currency": USD}})
        assert paid.status == 200, paid


def verified(secret, received):
    return standardwebhooks.Webhook(secret).verify(received.body, received.headers)


def test_every_event_comes_once_signed_and_as_the_list_of_events_has_it(shop, receiver):
    bank = shop()
    hook = Hook(bank, receiver)
    account = bank.account()
    bank.api.made("/v1/numbers", {"account": account})
    happen(bank, account, 20)
    expected = ids(bank, hook)
    assert len(expected) >= 23
    until(lambda: len(receiver.all()) >= len(expected))
    time.sleep(0.5)
    received = receiver.all()
    assert [each.id for each in received] == expected, "in order, and none twice"
    listed = {event["id"]: event for event in events(bank)}
    for each in received:
        told, event = verified(hook.secret, each), listed[each.id]
        assert told == {
            "type": event["kind"],
            "id": event["id"],
            "timestamp": event["recorded_at"],
            "data": event["data"],
        }
        assert each.headers["content-type"] == "application/json"
    # A signature is of one body and one secret.
    forged = receiver.all()[0]
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(hook.secret).verify(forged.body + b" ", forged.headers)
    shown = until(lambda: hook.shown()["delivered_at"] and hook.shown())
    assert (shown["state"], shown["last_error"]) == ("active", None)
    assert "secret" not in shown
    attempts = until(lambda: len(hook.attempts()) == len(expected) and hook.attempts())
    assert [attempt["event"] for attempt in attempts] == expected[::-1], "the latest first"
    assert {(attempt["status"], attempt["error"], attempt["attempt"]) for attempt in attempts} == {(204, None, 1)}


def test_a_receiver_that_was_down_misses_nothing_even_if_the_server_is_killed(hooked, shop, receiver):
    bank = shop()
    hook = Hook(bank, receiver)
    account = bank.account()
    until(lambda: len(receiver.ids()) == 3 or len(receiver.ids()) == len(ids(bank, hook)))
    receiver.down()
    happen(bank, account, 30)
    failing = until(lambda: hook.shown()["state"] == "failing" and hook.shown())
    assert failing["last_error"].startswith("no connection could be made") and failing["failing_since"]
    hooked.kill()
    hooked.start()
    bank.api = Api(hooked.api, bank.api.token)
    happen(bank, account, 30)
    receiver.up()
    expected = ids(bank, hook)
    until(lambda: len(receiver.ids()) >= len(expected), 60)
    assert receiver.ids() == expected, "in order, by when each came first"
    for each in receiver.all():
        verified(hook.secret, each)
    assert until(lambda: hook.shown()["state"] == "active" and hook.shown())["failing_since"] is None
    # Killed while it delivers: what was not written comes again, and nothing is missing.
    receiver.answer = lambda received: (time.sleep(0.005), 204)[1]
    happen(bank, account, 100)
    hooked.kill()
    hooked.start()
    bank.api = Api(hooked.api, bank.api.token)
    happen(bank, account, 5)
    expected = ids(bank, hook)
    until(lambda: len(receiver.ids()) >= len(expected), 60)
    assert receiver.ids() == expected


def test_nobody_is_told_of_anothers_things(hooked, shop, receiver, other_receiver):
    north, south = shop(), shop()
    hooks = [Hook(north, receiver), Hook(south, other_receiver)]
    accounts = [north.account(), south.account()]
    for _ in range(10):
        happen(north, accounts[0], 1)
        happen(south, accounts[1], 1)
    # Numbers that are over together are one event: each is told its own of them.
    for bank, account in zip((north, south), accounts):
        bank.api.made("/v1/numbers", {"account": account, "lifetime_seconds": 1})
    for bank, hook, own in ((north, hooks[0], receiver), (south, hooks[1], other_receiver)):
        retired = lambda: any(each.json["type"] == "numbers_retired" for each in own.all())
        until(retired, 90)
        listed = {event["id"]: event for event in events(bank)}
        until(lambda: own.ids() == ids(bank, hook))
        for each in own.all():
            assert verified(hook.secret, each)["data"] == listed[each.id]["data"]
            assert "iss_" not in each.body.decode() or f'"{bank.id}"' in each.body.decode()


def test_a_replay_tells_again_and_a_skip_leaves_out(shop, receiver):
    bank = shop()
    hook = Hook(bank, receiver)
    account = bank.account()
    happen(bank, account, 10)
    expected = ids(bank, hook)
    until(lambda: len(receiver.all()) == len(expected))
    hook.post("/replay", {"after": expected[4]})
    until(lambda: len(receiver.all()) == len(expected) + len(expected[5:]))
    assert [each.id for each in receiver.all()] == expected + expected[5:], "the same ids again"
    begun = {event["id"]: event["recorded_at"] for event in events(bank)}[expected[0]]
    count = len(receiver.all())
    hook.post("/replay", {"from": begun})
    until(lambda: len(receiver.all()) >= count + len(expected))
    assert [each.id for each in receiver.all()[count:]][: len(expected)] == expected
    # An event that a receiver can't take holds up what comes after it, until it is left out.
    poison = {}
    receiver.answer = lambda received: 500 if received.id == poison.get("id") else 204
    poison["id"] = f"evt_{int(expected[-1].split('_')[1]) + 1}_0"
    count = len(receiver.all())
    happen(bank, account, 3)
    later = ids(bank, hook)[len(expected) :]
    assert later[0] == poison["id"]
    until(lambda: len(receiver.all()) >= count + 2)
    assert {each.id for each in receiver.all()[count:]} == {later[0]}, "nothing overtakes it"
    until(lambda: hook.shown()["last_error"] == "answered 500, not 2xx")
    hook.post("/replay", {"after": later[0]})
    until(lambda: receiver.ids()[-2:] == later[1:])
    for body in ({}, {"from": begun, "after": later[0]}, {"after": "evt_99999999_0"}):
        answer = bank.api.post(f"/v1/webhooks/{hook.id}/replay", body)
        assert (answer.status, answer.code) == (422, "body_invalid")


def test_while_secrets_overlap_everything_is_signed_with_both(shop, receiver):
    bank = shop()
    hook = Hook(bank, receiver)
    old = hook.secret
    account = bank.account()
    until(lambda: receiver.ids() == ids(bank, hook))
    made = hook.take(hook.post("/secret"))
    assert hook.secret != old and made["webhook"]["overlap_until"]

    def next_one():
        count = len(receiver.all())
        time.sleep(0.5)
        happen(bank, account, 1)
        return until(lambda: receiver.all()[count:])[-1]

    both = next_one()
    assert len(both.signatures) == 2
    verified(old, both), verified(hook.secret, both)
    middle = hook.secret
    assert hook.take(hook.post("/secret", {"overlap_seconds": 0}))["webhook"]["overlap_until"] is None
    alone = next_one()
    assert len(alone.signatures) == 1
    verified(hook.secret, alone)
    for secret in (old, middle):
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            verified(secret, alone)
    hook.take(hook.post("/secret", {"overlap_seconds": 1}))
    time.sleep(1.2)
    assert len(next_one().signatures) == 1, "the overlap is over"


def test_a_paused_one_is_told_later_and_one_that_is_gone_is_paused(shop, receiver):
    bank = shop()
    hook = Hook(bank, receiver)
    account = bank.account()
    until(lambda: receiver.ids() == ids(bank, hook))
    assert hook.post("", {"state": "paused"})["state"] == "paused"
    time.sleep(0.5)
    count = len(receiver.all())
    happen(bank, account, 5)
    time.sleep(1)
    assert len(receiver.all()) == count
    hook.post("", {"state": "active"})
    until(lambda: receiver.ids() == ids(bank, hook))
    receiver.answer = lambda received: 410
    happen(bank, account, 2)
    gone = until(lambda: hook.shown()["state"] == "paused" and hook.shown())
    assert gone["last_error"] == "answered 410: the receiver is gone"
    count = len(receiver.all())
    receiver.answer = lambda received: 204
    time.sleep(1.5)
    assert len(receiver.all()) == count, "nothing more is sent"
    hook.post("", {"state": "active"})
    until(lambda: receiver.ids() == ids(bank, hook))


def test_a_slow_receiver_holds_up_nobody_else(shop, receiver, other_receiver):
    bank = shop()
    slow, fast = Hook(bank, receiver), Hook(bank, other_receiver)
    receiver.answer = lambda received: (time.sleep(2), 200)[1]
    account = bank.account()
    happen(bank, account, 10)
    until(lambda: other_receiver.ids() == ids(bank, fast), 5)
    assert len(receiver.all()) < 5
    receiver.answer = lambda received: 200
    until(lambda: receiver.ids() == ids(bank, slow))


def test_a_redirect_is_a_refusal_and_is_not_followed(shop, receiver, other_receiver):
    bank = shop()
    hook = Hook(bank, receiver)
    receiver.answer = lambda received: (307, {"Location": other_receiver.url()})
    bank.account()
    until(lambda: hook.shown()["last_error"] == "answered 307; redirects are not followed")
    assert other_receiver.all() == []
    receiver.answer = lambda received: 204
    until(lambda: receiver.ids() == ids(bank, hook))


def test_a_receiver_that_asks_for_time_gets_it(shop, receiver):
    bank = shop()
    times = []

    def answer(received):
        times.append(time.monotonic())
        return (503, {"Retry-After": "3"}) if len(times) == 1 else 204

    receiver.answer = answer
    hook = Hook(bank, receiver)
    bank.account()
    until(lambda: receiver.ids() == ids(bank, hook))
    assert times[1] - times[0] >= 3
    failed = [attempt for attempt in until(hook.attempts) if attempt["status"] == 503]
    assert failed[0]["error"] == "answered 503, not 2xx"


def test_only_the_wanted_kinds_are_told(shop, receiver):
    bank = shop()
    hook = Hook(bank, receiver, kinds=["number_issued"], description="Numbers only")
    account = bank.account()
    for _ in range(3):
        happen(bank, account, 3)
        bank.api.made("/v1/numbers", {"account": account})
    until(lambda: len(receiver.all()) == 3)
    assert {each.json["type"] for each in receiver.all()} == {"number_issued"}
    shown = hook.shown()
    assert (shown["kinds"], shown["description"]) == (["number_issued"], "Numbers only")
    hook.post("", {"kinds": []})
    time.sleep(0.5)
    happen(bank, account, 1)
    until(lambda: receiver.all()[-1].json["type"] == "transacted")


def test_a_webhook_can_be_tried(shop, receiver):
    bank = shop()
    hook = Hook(bank, receiver)
    tried = hook.post("/test", {})
    assert (tried["delivered"], tried["status"], tried["error"]) == (True, 204, None)
    [ping] = receiver.all()
    assert verified(hook.secret, ping)["type"] == "ping" and ping.id.startswith("ping_")
    receiver.answer = lambda received: (500, {}, b"what the receiver says is its own affair")
    tried = hook.post("/test", {})
    assert (tried["delivered"], tried["status"], tried["error"]) == (False, 500, "answered 500, not 2xx")
    receiver.down()
    tried = hook.post("/test", {})
    assert (tried["delivered"], tried["status"]) == (False, None) and "no connection" in tried["error"]
    receiver.up()


def test_an_issuer_has_sixteen_and_one_that_is_deleted_is_told_nothing(shop, receiver):
    bank, other = shop(), shop()
    hooks = [Hook(bank, receiver, f"/{count}") for count in range(16)]
    answer = bank.api.post("/v1/webhooks", {"url": receiver.url()})
    assert (answer.status, answer.code) == (409, "webhooks_max")
    assert other.api.get(f"/v1/webhooks/{hooks[0].id}").code == "not_found"
    assert other.api.post(f"/v1/webhooks/{hooks[0].id}/delete").code == "not_found"
    for hook in hooks[1:]:
        hook.post("/delete")
    assert bank.api.get(f"/v1/webhooks/{hooks[1].id}").code == "not_found"
    assert [hook["id"] for hook in bank.api.found("/v1/webhooks")["items"]] == [hooks[0].id]
    time.sleep(0.5)
    bank.account()
    until(lambda: receiver.ids() == ids(bank, hooks[0]))
    assert {each.path for each in receiver.all()} == {"/0"}
    assert Hook(bank, receiver).id not in {hook.id for hook in hooks}, "no id comes twice"


def test_a_secret_is_shown_once_and_again_for_the_same_key_only(shop, receiver):
    bank = shop()
    body = {"url": receiver.url()}
    first, second = (bank.api.made("/v1/webhooks", body, key="the-same") for _ in range(2))
    assert first == second
    bank.server.secrets += [first["secret"]]
    assert len(bank.api.found("/v1/webhooks")["items"]) == 1
    assert first["secret"] not in json.dumps(bank.api.found("/v1/webhooks"))


def test_the_metrics_tell_how_it_goes_and_name_nobody(hooked, shop, receiver):
    bank = shop()
    hook = Hook(bank, receiver, "/a-path-that-is-secret")
    receiver.answer = lambda received: 500
    bank.account()

    def metrics():
        with urllib.request.urlopen(f"http://{hooked.metrics}/metrics", timeout=10) as page:
            return page.read().decode()

    def value(name):
        [line] = [line for line in metrics().splitlines() if line.startswith(f"{name} ")]
        return float(line.split()[-1])

    until(lambda: value("mayfly_webhooks_failing") >= 1)
    until(lambda: value("mayfly_webhook_lag_seconds") > 1)
    assert value('mayfly_webhook_attempts_total{outcome="refused"}') > 0
    assert value('mayfly_webhook_attempts_total{outcome="delivered"}') > 0
    receiver.answer = lambda received: 204
    until(lambda: receiver.ids() == ids(bank, hook))
    until(lambda: hook.shown()["state"] == "active")
    for word in ("127.0.0.1", "a-path-that-is-secret", hook.id):
        assert word not in metrics()
    assert "a-path-that-is-secret" not in hooked.log(), "a URL can be a secret by itself"
    assert all(
        b"a-path-that-is-secret" not in path.read_bytes()
        for path in hooked.directory.rglob("*")
        if path.is_file()
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/hook",
        "https://10.0.0.1/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/hook",
        "https://[::ffff:127.0.0.1]/hook",
        "https://2130706433/hook",
        "http://shop.example/hook",
        "ftp://shop.example/hook",
        "https://user:word@shop.example/hook",
        "https://shop.example/hook#part",
        "shop.example",
        "https://shop.example/" + "x" * 2048,
    ],
)
def test_a_url_that_leads_where_it_must_not_is_refused(bank, url):
    answer = bank().api.post("/v1/webhooks", {"url": url})
    assert (answer.status, answer.code) == (422, "body_invalid")
    assert answer.body["errors"][0]["pointer"] == "/url"


def test_a_name_that_leads_to_this_machine_is_not_connected_to(bank, server, receiver):
    """Unless the operator allows it; a name is looked up when it is connected to."""
    bank = bank()
    made = bank.api.made("/v1/webhooks", {"url": f"https://localhost:{receiver.port}/hook"})
    server.secrets.append(made["secret"])
    id = made["webhook"]["id"]
    tried = bank.api.post(f"/v1/webhooks/{id}/test").body
    assert tried["error"] == "the host has no address on the public internet, and others are not allowed"
    bank.account()
    shown = lambda: bank.api.found(f"/v1/webhooks/{id}")
    assert until(lambda: shown()["state"] == "failing" and shown())["last_error"] == tried["error"]
    assert receiver.connections == []
    assert bank.api.post(f"/v1/webhooks/{id}/delete").status == 200


def test_an_auditor_reads_and_changes_nothing(shop, receiver):
    bank = shop()
    hook = Hook(bank, receiver)
    auditor = Api(bank.server.api, bank.auditor.token)
    assert auditor.found(f"/v1/webhooks/{hook.id}")["url"] == receiver.url()
    for path in ("", "/secret", "/replay", "/test", "/delete"):
        assert auditor.post(f"/v1/webhooks/{hook.id}{path}").code == "role_not_allowed"
