"""The API keeps to its own description: schemathesis makes requests of it, good ones and bad ones, and holds every
answer against it, with all its checks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from test_api import Bank, bank, operator  # noqa: F401: fixtures
from test_payments import Merchant

# What the run must not do to itself: end its own key or session.
ENDS_ITSELF = "revoke|rotate|sessions/end|/state"
MINUTES_MAX = 10


def run(server, token, only, leave_out=ENDS_ITSELF, examples=15):
    words = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        str(Path(__file__).with_name("schemathesis.toml")),
        "run",
        f"{server.api}/v1/openapi.json",
        "--header",
        f"Authorization: Bearer {token}",
        "--include-path-regex",
        only,
        "--exclude-path-regex",
        leave_out,
        "--checks",
        "all",
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        str(examples),
        "--no-color",
    ]
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60 * MINUTES_MAX,
        env=os.environ | {"HYPOTHESIS_STORAGE_DIRECTORY": str(server.directory.parent / "hypothesis")},
        cwd=server.directory.parent,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    # It says how it would be run again: the seed is in there.
    print(done.stdout[-1500:])


def test_an_issuers_routes_keep_to_the_description(bank, server):
    kinds = "programmes|accounts|numbers|authorisations|holds|keys|cardholders|merchants|webhooks|decision_hook|simulate"
    run(server, bank().api.token, f"^/v1/({kinds})")


def test_a_merchants_and_a_gateways_routes_keep_to_the_description(bank, server):
    made = bank()
    run(server, Merchant(made).api.token, "^/v1/payments")
    run(server, made.api.made("/v1/keys", {"role": "gateway", "name": "provider"})["secret"], "^/v1/payments", examples=5)


def test_an_operators_routes_keep_to_the_description(operator, server):
    run(server, operator.token, "^/v1/(issuers|status|health|openapi)")


def test_a_cardholders_routes_keep_to_the_description(bank, server):
    run(server, bank().cardholder("Ada", "ada").api.token, "^/v1/me")


@pytest.mark.parametrize("path", ["enrolments", "logins", "sessions/refresh"])
def test_a_strangers_routes_keep_to_the_description(server, path):
    run(server, "nothing", f"^/v1/{path}$", examples=5)
