"""The HTTP API, from outside: an issuer, its auditor, and a cardholder who logs in and buys."""

import base64
import json
import socket
import threading
import time
import uuid

import pytest

from api import Api
from mayfly import Card, about, purchase


@pytest.fixture
def operator(server):
    made = server.json("key", "create", "The one who runs it", "--role", "operator")
    server.secrets.append(made["token"])
    return Api(server.api, made["token"])


class Bank:
    """An issuer with a programme, seen through the API only."""

    def __init__(self, server, operator, prefix, universal=None):
        self.server = server
        self.prefix = prefix
        self.id = operator.made("/v1/issuers", {"name": f"Bank {prefix}"})["id"]
        key = operator.made("/v1/keys", {"role": "issuer", "issuer": self.id, "name": "bank"})
        server.secrets.append(key["secret"])
        self.api = Api(server.api, key["secret"])
        auditor = self.api.made("/v1/keys", {"role": "auditor", "name": "auditor"})
        server.secrets.append(auditor["secret"])
        self.auditor = Api(server.api, auditor["secret"])
        terms = {"prefix": prefix}
        asked = {"name": "Everyday", "terms": terms}
        if universal:
            asked["universal_number"] = universal
        self.programme = self.api.made("/v1/programmes", asked)["id"]

    def account(self, minor=100_000):
        account = self.api.made("/v1/accounts", {"currency": "USD"})["id"]
        paid = self.api.post(f"/v1/accounts/{account}/funds", {"amount": {"minor": minor, "currency": "USD"}})
        assert paid.status == 200, paid
        return account

    def cardholder(self, name, login, account=None):
        """Somebody who has enrolled: his session."""
        made = self.api.made("/v1/cardholders", {"name": name})
        account = account or self.account()
        self.api.made(f"/v1/cardholders/{made['id']}/accounts", {"account": account})
        invitation = self.api.made(f"/v1/cardholders/{made['id']}/invitations")["invitation"]
        password = f"the password of {login}"
        self.server.secrets += [invitation, password]
        nobody = Api(self.server.api)
        enrolled = nobody.post(
            "/v1/enrolments", {"invitation": invitation, "login_name": login, "password": password}
        )
        assert enrolled.status == 201, enrolled
        return Cardholder(self, made["id"], account, login, password)

    def log_in(self, login, password):
        return Api(self.server.api).post(
            "/v1/logins", {"issuer": self.id, "login_name": login, "password": password}
        )


class Cardholder:
    def __init__(self, bank, id, account, login, password):
        self.bank, self.id, self.account = bank, id, account
        self.login, self.password = login, password
        answer = bank.log_in(login, password)
        assert (answer.status, answer.body["status"]) == (200, "session"), answer
        self.tokens = answer.body
        bank.server.secrets += [self.tokens["session"], self.tokens["refresh"]]
        self.api = Api(bank.server.api, self.tokens["session"])

    def number(self, **asked):
        return card(self.bank.server, self.api.made("/v1/me/numbers", asked))


def card(server, issued):
    month, year = issued["expiration_date"].split("/")
    found = Card(issued["id"], issued["number"], month + year, issued["cvc2"], issued["expires_at"])
    server.numbers_issued.append(found.number)
    return found


@pytest.fixture
def bank(server, operator, prefix):
    return lambda **more: Bank(server, operator, prefix(), **more)


def test_a51_a_logged_in_cardholder_gets_a_number_that_works_once_with_his_account(bank, network):
    """A51: what a log-in gives is a number of its own, good once, with his account."""

    bank = bank()
    ada, bob = bank.cardholder("Ada Lovelace", "ada"), bank.cardholder("Bob", "bob")
    first, second = ada.number(), ada.number()
    assert first.number != second.number
    assert network.buy(first, 2498) == "00"
    assert network.buy(first, 2498) == "05"
    balance = bank.api.found(f"/v1/accounts/{ada.account}")
    assert (balance["balance"]["minor"], balance["held"]["minor"]) == (97_502, 2_498)
    assert bank.api.found(f"/v1/accounts/{bob.account}")["held"]["minor"] == 0
    [bought, *_] = ada.api.found("/v1/me/authorisations")["items"]
    assert bought["account"] == ada.account
    # He sees his own things only: another's are not there.
    assert bob.api.get(f"/v1/me/numbers?account={ada.account}").code == "not_found"
    assert bob.api.post(f"/v1/me/numbers/{second.id}/cancel").code == "not_found"
    assert bob.api.post("/v1/me/numbers", {"account": ada.account}).code == "not_found"
    assert ada.api.post(f"/v1/me/numbers/{second.id}/cancel").body["state"] == "cancelled"
    assert network.buy(second, 100) == "05"


def test_a59_without_a_log_in_nothing_is_issued_and_nothing_drawn(bank, server):
    """A59: nobody who has not shown who he is draws anything."""

    bank = bank()
    ada = bank.cardholder("Ada", "ada")
    before = server.json("status")["counts"]
    for token in [None, "mfs_" + "A" * 43, ada.tokens["refresh"], ada.tokens["session"][:-1] + "!"]:
        answer = Api(server.api, token).post("/v1/me/numbers")
        assert (answer.status, answer.code) == (401, "session_unknown")
    assert server.json("status")["counts"]["active_numbers"] == before["active_numbers"]
    assert bank.api.found(f"/v1/numbers?account={ada.account}")["items"] == []


def test_a53_an_unused_number_is_over_after_its_time(bank, network):
    """A53, as far as a number's lifetime goes: a number that was not used in time is useless."""

    ada = bank().cardholder("Ada", "ada")
    good, late = ada.number(), ada.number(lifetime_seconds=1)
    time.sleep(1.2)
    assert network.buy(late, 100) == "05"
    assert network.buy(good, 100) == "00"


def test_a81_a_log_in_is_good_at_ones_own_universal_number_only(server, operator, prefix):
    """A81: each issuer has its own universal number, and a log-in is good there only."""

    banks = []
    for _ in range(2):
        digits = prefix()
        banks.append((Bank(server, operator, digits, universal=luhn(digits + "000000000")), digits))
    (north, north_digits), (south, south_digits) = banks
    ada = north.cardholder("Ada", "ada")

    def log_in(digits, password):
        number = luhn(digits + "000000000")
        body = {"universal_number": number, "login_name": "ada", "password": password}
        return Api(server.api).post("/v1/logins", body)

    assert log_in(north_digits, ada.password).status == 200
    # The same person with the same name, at the other bank: unknown.
    assert log_in(south_digits, ada.password).code == "not_let_in"
    south.cardholder("Ada, too", "ada")
    assert log_in(south_digits, ada.password).status == 200, "each has his own, with the same words"


def luhn(digits):
    doubled = [int(digit) * (2 - at % 2) for at, digit in enumerate(reversed(digits))]
    return digits + str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def test_a58_numbers_include_a_part_of_ones_own_or_of_the_universal_number(bank, network, prefix):
    """A58: as the programme says; the universal one is the institution's, or a merchant's."""
    bank = bank()
    ada, bob = bank.cardholder("Ada Lovelace", "ada"), bank.cardholder("Bob", "bob")
    own = "5555555555554444"
    bank.server.secrets.append(own)
    link = {"account": ada.account, "funding_number": own}
    bank.api.made(f"/v1/cardholders/{ada.id}/accounts", link)

    def programme(name, includes, universal=None, layout="1+5+3+6+0"):
        digits = prefix()
        terms = {"prefix": digits, "includes": includes}
        asked = {"name": name, "terms": terms | ({"layout": layout} if layout else {})}
        if universal:
            asked["universal_number"] = luhn(digits + universal)
        answer = bank.api.post("/v1/programmes", asked)
        return answer.body["id"] if answer.status == 201 else answer

    def numbers(cardholder, programme):
        cards = [cardholder.number(programme=programme) for _ in range(6)]
        assert len({card.number[9:15] for card in cards}) == 6
        assert {network.buy(card, 100) for card in cards} == {"00"}
        return {card.number[6:9] for card in cards}

    of_own = programme("Own", "own_number")
    assert numbers(ada, of_own) == {"444"}
    shown = bank.api.found(f"/v1/programmes/{of_own}")["terms"]
    assert (shown["includes"], shown["sandbox"]) == ("own_number", False)
    # Of whom no number is known, none can have a part.
    refused = bob.api.post("/v1/me/numbers", {"programme": of_own})
    assert (refused.status, refused.code) == (409, "own_number_missing")
    for name, universal, part in [("Institution", "123000000", "123"), ("Merchant", "987000000", "987")]:
        common = programme(name, "universal_number", universal)
        assert numbers(bob, common) == {part} == numbers(ada, common)
    # There must be digits for it, enough others, and a universal number to have a part of.
    for includes, universal, layout in [
        ("own_number", None, None),
        ("own_number", None, "1+5+4+5+0"),
        ("universal_number", None, "1+5+3+6+0"),
    ]:
        refused = programme("Wrong", includes, universal, layout)
        assert (refused.status, refused.code) == (422, "out_of_bounds"), refused


def test_accounts_and_programmes_are_closed_and_opened_again(bank, network):
    bank = bank()
    ada = bank.cardholder("Ada Lovelace", "ada")
    first, second, third = ada.number(), ada.number(uses=2), ada.number()
    message = purchase(second, 1_000)
    assert network.code(message) == "00"

    def switch(what, closed):
        answer = bank.api.post(f"/v1/{what}/state", {"closed": closed})
        assert (answer.status, answer.body["closed"]) == (200, closed), answer

    switch(f"accounts/{ada.account}", True)
    assert network.buy(first, 100) == "57"
    [declined, *_] = ada.api.found("/v1/me/authorisations")["items"]
    assert declined["reason"] == "account_closed"
    refused = ada.api.post("/v1/me/numbers", {})
    assert (refused.status, refused.code) == (409, "account_closed")
    # What was bought goes on.
    assert network.code(about(message, "0220", amount=1_000)) == "00"
    switch(f"accounts/{ada.account}", False)
    assert network.buy(first, 100) == "00"
    switch(f"programmes/{bank.programme}", True)
    refused = ada.api.post("/v1/me/numbers", {})
    assert (refused.status, refused.code) == (409, "programme_closed")
    assert network.buy(third, 100) == "00"
    switch(f"programmes/{bank.programme}", False)
    assert network.buy(ada.number(), 100) == "00"
    kinds = {event["kind"] for event in bank.api.found("/v1/events?limit=100")["items"]}
    assert {"account_closed", "programme_closed"} <= kinds


def test_one_answer_for_whatever_is_wrong_with_a_log_in(bank, server):
    bank = bank()
    ada = bank.cardholder("Ada", "ada")
    blocked = bank.cardholder("Bob", "bob")
    assert bank.api.post(f"/v1/cardholders/{blocked.id}/state", {"state": "blocked"}).status == 200
    assert blocked.api.get("/v1/me").code == "session_unknown", "his session has ended"
    told = set()
    for issuer, login, password in [
        (bank.id, "ada", "not the password"),
        (bank.id, "nobody", ada.password),
        (bank.id, "\u0000", ada.password),
        (bank.id, "bob", blocked.password),
        ("iss_999999", "ada", ada.password),
    ]:
        answer = Api(server.api).post(
            "/v1/logins", {"issuer": issuer, "login_name": login, "password": password}
        )
        body = {name: value for name, value in answer.body.items() if name != "request_id"}
        told.add((answer.status, json.dumps(body, sort_keys=True)))
    assert len(told) == 1 and "not_let_in" in told.pop()[1]
    assert bank.log_in("ADA", ada.password).status == 200, "capitals don't count"


def test_a_name_that_fails_often_has_to_wait_and_others_not(bank):
    bank = bank()
    ada, bob = bank.cardholder("Ada", "ada"), bank.cardholder("Bob", "bob")
    answers = [bank.log_in("ada", "wrong " * 3) for _ in range(8)]
    waits = [answer for answer in answers if answer.status == 429]
    assert waits and waits[0].code == "too_many_failures" and int(waits[0].headers["retry-after"]) >= 1
    assert bank.log_in("ada", ada.password).status == 429, "the right password does not help now"
    assert bank.log_in("bob", bob.password).status == 200


def test_a_session_goes_on_by_refreshing_and_ends_when_a_token_comes_twice(bank, server):
    bank = bank()
    ada = bank.cardholder("Ada", "ada")
    nobody = Api(server.api)
    key = str(uuid.uuid4())
    next_ = nobody.post("/v1/sessions/refresh", {"refresh": ada.tokens["refresh"]}, key=key)
    assert next_.status == 200, next_
    server.secrets += [next_.body["session"], next_.body["refresh"]]
    assert ada.api.get("/v1/me").code == "session_unknown", "the old token is not good any more"
    # The answer was lost: the same again.
    again = nobody.post("/v1/sessions/refresh", {"refresh": ada.tokens["refresh"]}, key=key)
    assert again.body == next_.body
    renewed = Api(server.api, next_.body["session"])
    assert renewed.found("/v1/me")["login_name"] == "ada"
    # Somebody else has the first refresh token.
    stolen = nobody.post("/v1/sessions/refresh", {"refresh": ada.tokens["refresh"]})
    assert stolen.code == "not_let_in"
    assert renewed.get("/v1/me").code == "session_unknown"
    # And logging out ends a session.
    later = Cardholder(bank, ada.id, ada.account, "ada", ada.password)
    assert later.api.post("/v1/sessions/end").status == 200
    assert later.api.get("/v1/me").code == "session_unknown"


def test_an_invitation_is_good_once_and_the_last_one_only(bank, server):
    bank = bank()
    ada = bank.api.made("/v1/cardholders", {"name": "Ada"})["id"]
    first, second = (
        bank.api.made(f"/v1/cardholders/{ada}/invitations")["invitation"] for _ in range(2)
    )
    server.secrets += [first, second, "a fine password"]

    def enrol(invitation, login="ada"):
        asked = {"invitation": invitation, "login_name": login, "password": "a fine password"}
        return Api(server.api).post("/v1/enrolments", asked)

    assert enrol(first).code == "not_let_in"
    assert enrol(second).status == 201
    assert enrol(second, "other").code == "not_let_in"
    assert enrol("mfi_" + "A" * 43).code == "not_let_in"
    assert bank.log_in("ada", "a fine password").status == 200


def test_a_repeat_with_its_key_gets_the_same_number(bank, network):
    bank = bank()
    account, key = bank.account(), str(uuid.uuid4())
    first = bank.api.post("/v1/numbers", {"account": account}, key=key)
    again = bank.api.post("/v1/numbers", {"account": account}, key=key)
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    other = bank.api.post("/v1/numbers", {"account": account, "uses": 2}, key=key)
    assert (other.status, other.code) == (409, "idempotency_key_reused")
    assert len(bank.api.found(f"/v1/numbers?account={account}")["items"]) == 1
    assert network.buy(card(bank.server, first.body), 100) == "00"


def test_the_key_is_remembered_across_a_restart(bank, server):
    bank = bank()
    account, keys = bank.account(), [str(uuid.uuid4()) for _ in range(3)]
    asked = [
        ("/v1/numbers", {"account": account}),
        ("/v1/keys", {"role": "auditor", "name": "second"}),
        (f"/v1/accounts/{account}/funds", {"amount": {"minor": 500, "currency": "USD"}}),
    ]
    before = [bank.api.post(path, body, key=key) for (path, body), key in zip(asked, keys)]
    server.numbers_issued.append(before[0].body["number"])
    server.secrets.append(before[1].body["secret"])
    server.stop()
    server.start()
    bank.api = Api(server.api, bank.api.token)
    after = [bank.api.post(path, body, key=key) for (path, body), key in zip(asked, keys)]
    assert [answer.body for answer in after[:2]] == [answer.body for answer in before[:2]]
    assert bank.api.found(f"/v1/accounts/{account}")["balance"]["minor"] == 100_500


def test_a89_neither_issuer_sees_or_touches_what_is_the_others(bank):
    """A89: the answers are the same as for what does not exist."""

    north, south = bank(), bank()
    ada = north.cardholder("Ada", "ada")
    number = card(north.server, north.api.made("/v1/numbers", {"account": ada.account}))
    for path in [
        f"/v1/accounts/{ada.account}",
        f"/v1/numbers/{number.id}",
        f"/v1/programmes/{north.programme}",
        f"/v1/cardholders/{ada.id}",
        f"/v1/cardholders/{ada.id}/accounts",
    ]:
        for reader in (north.api, north.auditor):
            assert reader.get(path).status == 200, path
        nothing = path.replace(ada.account, "acct_999999").replace(number.id, "num_999999")
        nothing = nothing.replace(north.programme, "prog_999999").replace(ada.id, "chd_999999")
        for reader in (south.api, south.auditor):
            others, none = reader.get(path), reader.get(nothing)
            assert others.code == none.code == "not_found"
            assert others.body | {"request_id": ""} == none.body | {"request_id": ""}
    for path, body in [
        (f"/v1/accounts/{ada.account}/funds", {"amount": {"minor": 1, "currency": "USD"}}),
        (f"/v1/numbers/{number.id}/cancel", {}),
        ("/v1/numbers", {"account": ada.account}),
        (f"/v1/cardholders/{ada.id}/state", {"state": "blocked"}),
        (f"/v1/cardholders/{ada.id}/invitations", {}),
    ]:
        assert south.api.post(path, body).code == "not_found", path
        assert north.auditor.post(path, body).code == "role_not_allowed", path
    assert ada.api.get("/v1/me").status == 200


def test_a_key_is_replaced_with_an_overlap_and_revoked_at_once(bank, server):
    bank = bank()
    made = bank.api.made("/v1/keys", {"role": "auditor", "name": "audit"})
    old = Api(server.api, made["secret"])
    rotated = bank.api.made(f"/v1/keys/{made['key']['id']}/rotate", {"overlap_seconds": 1})
    server.secrets += [made["secret"], rotated["secret"]]
    new = Api(server.api, rotated["secret"])
    assert (old.get("/v1/accounts").status, new.get("/v1/accounts").status) == (200, 200)
    time.sleep(1.2)
    assert (old.get("/v1/accounts").code, new.get("/v1/accounts").status) == ("unauthenticated", 200)
    assert bank.api.post(f"/v1/keys/{rotated['key']['id']}/revoke").status == 200
    assert new.get("/v1/accounts").code == "unauthenticated"
    listed = bank.api.found("/v1/keys")["items"]
    assert all("secret" not in key for key in listed)


def test_a_changed_password_lets_nobody_in_with_the_old_one(bank, server):
    """Also not whoever was just being let in when it was changed."""
    bank = bank()
    ada = bank.cardholder("Ada", "ada")
    for round_ in range(3):
        old, new = ada.password, f"the password of round {round_}"
        server.secrets.append(new)
        invitation = bank.api.made(f"/v1/cardholders/{ada.id}/invitations")["invitation"]
        server.secrets.append(invitation)
        sessions, stop = [], threading.Event()

        def log_in():
            while not stop.is_set():
                answer = bank.log_in("ada", old)
                if answer.status == 200:
                    sessions.append(answer.body["session"])

        threads = [threading.Thread(target=log_in) for _ in range(3)]
        for thread in threads:
            thread.start()
        while not sessions:
            time.sleep(0.01)
        asked = {"invitation": invitation, "login_name": "ada", "password": new}
        while (enrolled := Api(server.api).post("/v1/enrolments", asked)).status == 429:
            time.sleep(0.05)
        assert enrolled.status == 201, enrolled
        stop.set()
        for thread in threads:
            thread.join()
        server.secrets += sessions
        for token in sessions:
            assert Api(server.api, token).get("/v1/me").code == "session_unknown"
        ada.password = new
    assert bank.log_in("ada", ada.password).status == 200


def test_whoever_hangs_up_has_tried_nevertheless(bank, server):
    bank = bank()
    bank.cardholder("Ada", "ada")
    body = json.dumps({"issuer": bank.id, "login_name": "ada", "password": "wrong wrong"})
    head = f"POST /v1/logins HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    host, port = server.api.split("://")[1].rsplit(":", 1)
    for _ in range(12):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall((head + body).encode())
            time.sleep(0.03)
    answer = bank.log_in("ada", "wrong wrong")
    assert (answer.status, answer.code) == (429, "too_many_failures")


def test_a_token_that_was_never_given_out_writes_nothing(server, bank):
    bank()

    def kept():
        return server.store.number("directory", "SELECT count(*) FROM answers")

    before = kept()
    for count in range(20):
        answer = Api(server.api).post("/v1/sessions/refresh", {"refresh": f"mfr_{count:043}"})
        assert answer.code == "not_let_in"
    assert kept() == before


def test_a_cursor_beyond_everything_shows_nothing(bank):
    bank = bank()
    cursor = base64.urlsafe_b64encode(b"acct_fzzzzzzzzzzzz").decode().rstrip("=")
    assert bank.api.found(f"/v1/accounts?cursor={cursor}") == {"items": [], "next_cursor": None}
    bank.account()


def test_a_repeat_is_the_same_when_more_has_come(bank):
    bank = bank()
    account, key = bank.account(), str(uuid.uuid4())
    first = bank.api.post("/v1/numbers", {"account": account}, key=key)
    bank.server.numbers_issued.append(first.body["number"])
    bank.api.made("/v1/programmes", {"name": "Second", "terms": {"prefix": "7" + bank.prefix[1:]}})
    assert bank.api.post("/v1/numbers", {"account": account}, key=key).body == first.body
    assert bank.api.post("/v1/numbers", {"account": account}).code == "programme_unclear"


def test_a_rotated_key_ends_when_the_old_one_was_to_end(bank, server):
    bank = bank()
    made = bank.api.made("/v1/keys", {"role": "auditor", "name": "audit", "lifetime_seconds": 600})
    rotated = bank.api.made(f"/v1/keys/{made['key']['id']}/rotate", {"overlap_seconds": 1})
    server.secrets += [made["secret"], rotated["secret"]]
    assert rotated["key"]["expires_at"] == made["key"]["expires_at"]
