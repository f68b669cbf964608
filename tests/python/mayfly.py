"""A Mayfly server as its operators and its network meet it: the command line, and ISO 8583 over TCP.

Messages are written and read by pyiso8583, an implementation of ISO 8583 that has nothing in common with the
one under test.
"""

import itertools
import json
import os
import signal
import socket
import struct
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import iso8583
from iso8583.specs import default_ascii as SPEC

import stores

PATIENCE_S = 60
ANSWER_S = 10

CONFIG = """
[iso8583]
listeners = [{ address = "127.0.0.1:0", dialect = "ascii87" }]

[admin]
http_address = "127.0.0.1:0"

[api]
address = "127.0.0.1:0"

[log]
level = "trace"
"""


class Refused(Exception):
    """The command line said no; the text is what it said on standard error."""


@dataclass(frozen=True)
class Card:
    """A number as its cardholder gets it."""

    id: str
    number: str
    expiry: str  # MMYY, as printed
    cvc2: str
    expires: str

    @property
    def yymm(self):
        return self.expiry[2:] + self.expiry[:2]


class Server:
    """`mayfly serve` in a directory of its own, on free ports; its data are in a store of its own."""

    # What its configuration says, whatever the store.
    CONFIG = CONFIG

    def __init__(self, binary, directory):
        self.binary = Path(binary)
        self.directory = Path(directory) / "data"
        self.log_path = Path(directory) / "server.log"
        self.numbers_issued = []
        # Keys, tokens and passwords: nowhere to be found afterwards.
        self.secrets = []
        self.process = None
        self.address = None
        self.api = None
        self.metrics = None
        self.store = stores.make(self.directory)
        self.run("init", *self.store.options)
        (self.directory / "mayfly.toml").write_text(self.CONFIG + self.store.config)

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command("serve"), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the server did not start:\n{self.log()}"
            try:
                run = json.loads((self.directory / "run.json").read_text())
            except (OSError, ValueError):
                run = {}
            if run.get("pid") == self.process.pid:
                host, port = run["addresses"]["iso8583"][0]["address"].rsplit(":", 1)
                self.address = (host, int(port))
                self.api = run["addresses"]["api"]
                self.metrics = run["addresses"]["admin_http"]
                return
            time.sleep(0.01)
        raise AssertionError(f"the server was not ready in {PATIENCE_S} s:\n{self.log()}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
        assert code == 0, f"the server ended with {code}:\n{self.log()}"

    def written(self):
        """Everything that it has written, by where: the log, every file of its directory, what is stored elsewhere, and its
        metrics if it runs."""
        found = {"the log": self.log().encode()}
        found |= {path.name: path.read_bytes() for path in self.directory.rglob("*") if path.is_file()}
        found |= self.store.written()
        if self.process is not None and self.process.poll() is None:
            with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=ANSWER_S) as metrics:
                found["the metrics"] = metrics.read()
        assert found["the log"] and self.store.names <= found.keys()
        return found

    def holds_nothing_secret(self):
        """No number that was issued, nor all of it but its check digit, no password, key or token is written anywhere."""
        written = self.written()
        for number in self.numbers_issued:
            for name, content in written.items():
                assert number[:-1].encode() not in content, f"{name} holds the number ending in {number[-4:]}"
        for secret in self.secrets:
            for name, content in written.items():
                assert secret.encode() not in content, f"{name} holds a secret that begins with {secret[:6]}"
        return written

    def log(self):
        return self.log_path.read_text(errors="replace")

    def command(self, *words):
        return [str(self.binary), "--data-dir", str(self.directory), *words]

    def run(self, *words):
        """Runs a command; gives what it printed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAYFLY_")}
        done = subprocess.run(
            self.command(*words),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        if done.returncode != 0:
            raise Refused(done.stderr)
        return done.stdout

    def json(self, *words):
        return json.loads(self.run("--json", *words))

    # What an operator does.

    def open_issuer(self, name):
        return self.json("issuer", "open", name)["id"]

    def open_programme(self, issuer, name, prefix, *terms):
        return self.json("programme", "open", name, "--issuer", issuer, "--prefix", prefix, *terms)["id"]

    def open_account(self, issuer, funds="1000.00", currency="USD"):
        account = self.json("account", "open", "--issuer", issuer, "--currency", currency)["id"]
        if funds:
            self.json("account", "fund", account, funds)
        return account

    def issue(self, account, *terms):
        issued = self.json("number", "issue", "--account", account, *terms)
        card = Card(*(issued[name] for name in ("id", "number", "expiry", "cvc2", "expires")))
        self.numbers_issued.append(card.number)
        return card

    def money(self, account):
        """What an account has and what of it is held, in minor units."""
        shown = self.json("account", "show", account)
        return shown["balance"]["minor"], shown["held"]["minor"]

    def state(self, card):
        return self.json("number", "show", card.id)["state"]

    def reason(self):
        """Exactly why the latest message was answered as it was."""
        events = (json.loads(line) for line in self.run("--json", "journal", "read").splitlines())
        return [event for event in events if event["event"] == "transacted"][-1]["reason"]

    def connect(self):
        return Network(self.address)


class Network:
    """A connection of the payment network."""

    counter = itertools.count(1)

    def __init__(self, address):
        self.socket = socket.create_connection(address, ANSWER_S)
        self.socket.settimeout(ANSWER_S)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_raw(self, body):
        self.socket.sendall(struct.pack(">H", len(body)) + body)

    def receive_raw(self):
        (length,) = struct.unpack(">H", self._exactly(2))
        return self._exactly(length)

    def _exactly(self, count):
        received = b""
        while len(received) < count:
            part = self.socket.recv(count - len(received))
            if not part:
                raise ConnectionError("closed by the server")
            received += part
        return received

    def ask(self, message):
        """Sends a message and gives its answer, both as pyiso8583 has them."""
        raw, _ = iso8583.encode(dict(message), SPEC)
        self.send_raw(bytes(raw))
        answer, _ = iso8583.decode(self.receive_raw(), SPEC)
        return answer

    def code(self, message):
        """Sends a message and gives DE 39."""
        return self.ask(message)["39"]

    def buy(self, card, amount, **elements):
        """A purchase (0100), answered by DE 39."""
        return self.code(purchase(card, amount, **elements))


def purchase(card, amount, mti="0100", processing="000000", merchant="BOOKSHOP-1", **elements):
    """A purchase of so many minor units. Elements are given as `de18="5411"`; None leaves one out."""
    count = next(Network.counter)
    now = time.gmtime()
    message = {
        "t": mti,
        "2": card.number,
        "3": processing,
        "4": f"{amount:012}",
        "7": time.strftime("%m%d%H%M%S", now),
        "11": f"{count % 1_000_000:06}",
        "12": time.strftime("%H%M%S", now),
        "13": time.strftime("%m%d", now),
        "14": card.yymm,
        "18": "5942",
        "19": "840",
        "22": "812",
        "32": "400001",
        "37": f"{count:012}",
        "41": "TERM0001",
        "42": f"{merchant:<15}",
        "49": "840",
    }
    for name, value in elements.items():
        assert name.startswith("de")
        if value is None:
            message.pop(name[2:], None)
        else:
            message[name[2:]] = value
    return message


def repeat(message):
    """The same message, sent again."""
    return message | {"t": message["t"][:3] + "1"}


def about(original, mti, amount=None, remaining=None, **elements):
    """A later message about a purchase: same reference, DE 90 names it; DE 95 says what stays."""
    later = {number: value for number, value in original.items() if number not in ("p", "1")}
    later |= {
        "t": mti,
        "11": f"{next(Network.counter) % 1_000_000:06}",
        "90": original["t"] + original["11"] + original["7"] + original["32"].zfill(11) + "0" * 11,
    }
    if amount is not None:
        later["4"] = f"{amount:012}"
    if remaining is not None:
        later["95"] = f"{remaining:012}" + "0" * 12 + "C00000000" + "C00000000"
    return later | {name[2:]: value for name, value in elements.items()}


def luhn_holds(number):
    digits = [int(digit) for digit in reversed(number)]
    doubled = (digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def check_digit(digits):
    return next(str(check) for check in range(10) if luhn_holds(digits + str(check)))
