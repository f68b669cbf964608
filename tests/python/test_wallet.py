"""`mayfly wallet` under what happens to phones: several purchases at once, sudden ends, lost answers, old copies, wrong
passphrases. What was asked for with is seen by a relay on the way to a real server."""

import random
import stat
import threading
import time

import pytest

import mayfly
from phone import PASSPHRASE, PATIENCE_S, Relay

OWN = "5412345678901232"
SEED = 20261123


@pytest.fixture
def relay(server):
    relay = Relay(server.api)
    yield relay
    relay.close()


@pytest.fixture
def through(enrolled, relay):
    """A card, in the wallet of somebody who reaches the server through the relay."""
    return lambda *terms: enrolled(OWN, "pseudo", *terms, address=relay.address)


def never_twice(tsns):
    assert tsns == sorted(set(tsns)), tsns


def kill(process):
    process.kill()
    process.communicate()


def test_six_purchases_at_once_are_asked_for_with_six_numbers(server, network, relay, through):
    """Six commands on one file: none loses what another has counted."""
    phone, card, account = through("--open-max", "8")
    started = [phone.start(*phone.purchase(card, f"1.0{at}")) for at in range(6)]
    filled = [phone.form(phone.end(process)) for process in started]
    assert len(relay.tsns) == 6
    never_twice(relay.tsns)
    assert server.json("card", "show", card)["open_etsns"] == 6
    # Open dates of a card differ, so each is that of its own purchase.
    for at, one in enumerate(filled):
        assert network.buy(one, 100 + at) == "00"
    assert server.money(account)[1] == 615


def test_a_killed_wallet_never_counts_back(server, network, relay, through):
    """Killed at the moments that matter, and at any: no TSN leaves twice, the file still opens, and the next purchase is
    paid for."""
    phone, card, _ = through("--open-max", "8")
    chance = random.Random(SEED)
    begun = time.monotonic()
    assert network.buy(phone.pay(card), 2498) == "00"
    takes_s = time.monotonic() - begun

    for place in ("before", "after"):
        reached, gone = threading.Event(), threading.Event()

        def hold(_, reached=reached, gone=gone):
            """The wallet waits for as long as it lives."""
            reached.set()
            gone.wait(PATIENCE_S)
            return False

        setattr(relay, place, hold)
        process = phone.start(*phone.purchase(card))
        assert reached.wait(PATIENCE_S)
        kill(process)
        relay.before = relay.after = lambda _: True
        gone.set()
    for _ in range(4):
        process = phone.start(*phone.purchase(card))
        time.sleep(chance.uniform(0, takes_s))
        kill(process)
    assert network.buy(phone.pay(card), 2498) == "00", f"seed {SEED}"
    never_twice(relay.tsns)
    assert len(relay.tsns) >= 4 and relay.tsns[-1] <= phone.counter(card)


def test_a_lost_answer_is_not_asked_for_again(server, network, relay, through):
    """The wallet asks anew, with the next number; nothing has to be found out about the lost one."""
    phone, card, _ = through()
    lost = []
    relay.after = lambda tsn: bool(lost) or lost.append(tsn)
    filled = phone.pay(card)
    assert len(relay.tsns) == 2
    never_twice(relay.tsns)
    assert server.json("card", "show", card)["open_etsns"] == 2
    assert network.buy(filled, 2498) == "00"


def test_while_nobody_answers_a_few_requests_are_made_and_no_more(relay, through):
    """Each may have opened a purchase; the exit code is that of a server that is not reached."""
    phone, card, _ = through()
    relay.before = lambda tsn: False
    with pytest.raises(mayfly.Refused, match="^3: "):
        phone.pay(card)
    assert len(relay.tsns) == 3
    never_twice(relay.tsns)


def test_a_wallet_from_an_old_copy_is_refused_until_it_has_learnt_how_far_the_card_is(network, relay, through):
    """Its numbers were used before; `restore` tells it the last one."""
    phone, card, _ = through()
    old = phone.copy()
    for _ in range(2):
        assert network.buy(phone.pay(card), 2498) == "00"
    used = len(relay.tsns)
    phone.put_back(old)
    with pytest.raises(mayfly.Refused, match="mayfly wallet restore"):
        phone.pay(card)
    del relay.tsns[used:]
    assert phone.run("restore", card)["tsn"] == relay.tsns[-1]
    assert network.buy(phone.pay(card), 2498) == "00"
    never_twice(relay.tsns)
    # Who asks although he knows is not set back.
    far = phone.counter(card)
    assert phone.run("restore", card)["tsn"] == phone.counter(card) == far


def test_a_locked_card_says_so_and_is_unlocked_by_whoever_is_logged_in(server, network, through):
    """What was open is void; a purchase after that is asked for anew."""
    phone, card, _ = through("--lock-after", "1")
    filled = phone.pay(card)
    month = f"{int(filled.expiry[:2]) % 12 + 1:02}"
    assert network.buy(mayfly.Card(card, filled.number, month + filled.expiry[2:], "", ""), 2498) == "05"
    with pytest.raises(mayfly.Refused, match="^1: .*locked"):
        phone.pay(card)
    [shown] = phone.run("list")["cards"]
    assert shown["server"]["status"] == "locked" and shown["server"]["locked_at"]
    phone.run("logout")
    with pytest.raises(mayfly.Refused, match="mayfly wallet login"):
        phone.run("unlock", card)
    phone.log_in()
    assert phone.run("unlock", card)["status"] == "active"
    assert network.buy(filled, 2498) == "05"
    assert network.buy(phone.pay(card), 2498) == "00"


def test_a_wallet_opens_with_its_passphrase_only(server, relay, through):
    """With a wrong one nothing is asked, nothing is written, and no secret is said; another one can be set."""
    phone, card, _ = through()
    before = phone.file.read_bytes()
    for wrong in ("four words are not enough", PASSPHRASE + " ", PASSPHRASE[:-1], "short"):
        process = phone.start(*phone.purchase(card), MAYFLY_WALLET_PASSPHRASE=wrong)
        said, complained = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, said) == (1, "")
        assert "passphrase" in complained and wrong not in complained
    assert phone.file.read_bytes() == before and relay.tsns == []
    assert stat.S_IMODE(phone.file.stat().st_mode) == 0o600
    other = "other words, as good as these"
    server.secrets += [PASSPHRASE, other]
    phone.run("change-passphrase", MAYFLY_WALLET_NEW_PASSPHRASE=other)
    with pytest.raises(mayfly.Refused, match="passphrase"):
        phone.pay(card)
    phone.environment["MAYFLY_WALLET_PASSPHRASE"] = other
    filled = phone.pay(card)
    content = phone.file.read_bytes()
    for secret in (filled.number, OWN, other, phone.environment["MAYFLY_WALLET_PASSWORD"]):
        assert secret.encode() not in content
