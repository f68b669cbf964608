"""Purchases that nobody makes: what an issuer's developer tries on a sandbox, as if the network had sent it."""

import pytest

from test_api import bank, operator  # noqa: F401: fixtures


def usd(minor):
    return {"minor": minor, "currency": "USD"}


class Sandbox:
    """An issuer with a sandbox beside its programme, and an account with 1000 dollars."""

    def __init__(self, bank, digits):
        self.bank, self.api = bank, bank.api
        terms = {"prefix": digits, "sandbox": True}
        self.programme = self.api.made("/v1/programmes", {"name": "Sandbox", "terms": terms})["id"]
        self.account = bank.account()

    def number(self, **more):
        asked = {"account": self.account, "programme": self.programme} | more
        made = self.api.made("/v1/numbers", asked)
        self.bank.server.numbers_issued.append(made["number"])
        return {name: made[name] for name in ("number", "expiration_date", "cvc2")}

    def sale(self, number, minor, **more):
        key = more.pop("key", None)
        answer = self.api.post("/v1/simulate/sales", number | {"amount": usd(minor)} | more, key=key)
        assert answer.status == 200, answer
        return answer.body

    def after(self, what, sale, body=None, **more):
        path = f"/v1/simulate/authorisations/{sale['authorisation']['id']}/{what}"
        answer = self.api.post(path, body, **more)
        assert answer.status == 200, answer
        return answer.body

    def money(self):
        found = self.api.found(f"/v1/accounts/{self.account}")
        return found["balance"]["minor"], found["held"]["minor"]


@pytest.fixture
def sandbox(bank, prefix):  # noqa: F811
    return Sandbox(bank(), prefix())


def test_a_purchase_several_completions_and_a_refund(sandbox):
    bought = sandbox.sale(sandbox.number(), 10_000, merchant="BOOKSHOP", mcc="5942", country="840")
    assert (bought["response_code"], bought["reason"]) == ("00", "approved")
    origin = bought["authorisation"]["origin"]
    assert (origin["merchant"], origin["mcc"], origin["entry_mode"]) == ("BOOKSHOP", "5942", "810")
    assert sandbox.money() == (90_000, 10_000)
    for minor in (2_000, 3_000):
        part = sandbox.after("completions", bought, {"amount": usd(minor)})
        assert (part["response_code"], part["authorisation"]["kind"]) == ("00", "completion")
    assert sandbox.money() == (90_000, 5_000)
    too_much = sandbox.after("completions", bought, {"amount": usd(5_001)})
    assert (too_much["response_code"], too_much["reason"]) == ("13", "more_than_left")
    more = sandbox.after("refunds", bought, {"amount": usd(5_001)})
    assert more["reason"] == "more_than_captured"
    back = sandbox.after("refunds", bought, {"amount": usd(4_000)})
    assert (back["response_code"], sandbox.money()) == ("00", (94_000, 5_000))
    standing = sandbox.api.found(f"/v1/authorisations/{bought['authorisation']['id']}")["standing"]
    assert {name: of["minor"] for name, of in standing.items()} == {
        "authorised": 10_000,
        "held": 5_000,
        "captured": 5_000,
        "refunded": 4_000,
    }


def test_increments_and_reversals(sandbox):
    bought = sandbox.sale(sandbox.number(), 10_000)
    more = sandbox.after("increments", bought, {"amount": usd(500)})
    assert (more["response_code"], sandbox.money()) == ("00", (89_500, 10_500))
    sandbox.after("reversals", more)
    assert sandbox.money() == (90_000, 10_000)
    partly = sandbox.after("reversals", bought, {"stays": usd(4_000)})
    assert (partly["response_code"], sandbox.money()) == ("00", (96_000, 4_000))
    sandbox.after("reversals", bought)
    assert sandbox.money() == (100_000, 0)
    charged = sandbox.sale(sandbox.number(), 700, kind="financial")
    assert sandbox.money() == (99_300, 0)
    assert sandbox.after("reversals", charged)["response_code"] == "00"
    assert sandbox.money() == (100_000, 0)


def test_what_the_network_tells_and_what_nobody_authorised(sandbox):
    told = sandbox.sale(sandbox.number(), 1_000, kind="advice")
    assert (told["authorisation"]["message"], sandbox.money()) == ("0120", (99_000, 1_000))
    forced = sandbox.sale(sandbox.number(), 500, kind="force_post")
    assert (forced["authorisation"]["kind"], sandbox.money()) == ("force_post", (98_500, 1_000))
    number = sandbox.number()
    sandbox.sale(number, 300, kind="financial")
    back = sandbox.sale(number, 200, kind="refund")
    assert (back["response_code"], sandbox.money()) == ("00", (98_400, 1_000))


def test_an_answer_that_comes_too_late_is_taken_back(sandbox):
    late = sandbox.sale(sandbox.number(), 1_000, answered_late=True, key="late-one")
    assert (late["response_code"], late["approval_code"], late["reason"]) == ("96", None, "approved")
    assert late["authorisation"]["standing"]["held"]["minor"] == 0
    assert sandbox.money() == (100_000, 0)


def test_a_wrong_proof_is_declined_as_the_network_would_be(sandbox):
    number = sandbox.number()
    wrong = sandbox.sale(number | {"cvc2": f"{(int(number['cvc2']) + 1) % 1000:03}"}, 100)
    assert (wrong["response_code"], wrong["reason"]) == ("05", "cvc2_wrong")
    silent = sandbox.sale({"number": number["number"]}, 100)
    assert (silent["response_code"], silent["reason"]) == ("05", "date_missing")
    assert sandbox.sale(number, 0)["authorisation"]["kind"] == "check"
    assert sandbox.sale(number, 100)["response_code"] == "00"
    assert sandbox.sale(number, 100)["reason"] == "number_used"


def test_the_same_key_is_the_same_message_sent_again(sandbox):
    number = sandbox.number()
    first = sandbox.sale(number, 100, key="once")
    again = sandbox.sale(number, 100, key="once")
    assert (first["repeat"], again["repeat"]) == (False, True)
    assert first["approval_code"] == again["approval_code"]
    other = sandbox.sale(number, 101, key="once")
    assert (other["response_code"], other["reason"], other["authorisation"]) == ("94", "other_content", None)
    assert sandbox.money() == (99_900, 100)


def test_only_sandboxes_are_played_with_and_only_ones_own(sandbox, bank, network):  # noqa: F811
    other = bank()
    real = sandbox.api.made("/v1/numbers", {"account": sandbox.account, "programme": sandbox.bank.programme})
    foreign = Sandbox(other, "59" + sandbox.bank.prefix[2:])
    theirs = foreign.number()
    unknown = {"number": "4000000000000002", "expiration_date": "12/30"}
    fields = ("number", "expiration_date", "cvc2")
    refused = [
        sandbox.api.post("/v1/simulate/sales", number | {"amount": usd(100)})
        for number in ({name: real[name] for name in fields}, theirs, unknown)
    ]
    for answer in refused:
        assert (answer.status, answer.code, answer.body["detail"]) == (
            409,
            "not_sandbox",
            refused[0].body["detail"],
        )
    # What was bought in earnest is not played with either, and what is another's is not there.
    from test_api import card

    bought = card(sandbox.bank.server, real)
    assert network.buy(bought, 100) == "00"
    [row, *_] = sandbox.api.found(f"/v1/authorisations?number={bought.id}")["items"]
    answer = sandbox.api.post(f"/v1/simulate/authorisations/{row['id']}/reversals")
    assert (answer.status, answer.code) == (409, "not_sandbox")
    sale = foreign.sale(theirs, 100)
    path = f"/v1/simulate/authorisations/{sale['authorisation']['id']}/reversals"
    assert sandbox.api.post(path).code == "not_found"
