"""A cardholder with `mayfly wallet`, and somebody on the way between the wallet and its server."""

import http.client
import json
import os
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import mayfly

PATIENCE_S = 60
PASSPHRASE = "four words are enough"


class Phone:
    """`mayfly wallet`, with a file and a passphrase of its own."""

    def __init__(self, server, directory, cardholder, address=None):
        self.server, self.file = server, directory / "wallet"
        self.environment = {
            "PATH": os.environ["PATH"],
            "MAYFLY_WALLET": str(self.file),
            "MAYFLY_WALLET_PASSPHRASE": PASSPHRASE,
            "MAYFLY_WALLET_PASSWORD": cardholder["password"],
        }
        self.cardholder, self.address = cardholder, address or server.api
        self.log_in()

    def log_in(self):
        who = ["--issuer", self.cardholder["issuer"], "--login-name", self.cardholder["login"]]
        self.run("login", self.address, *who)

    def start(self, *words, **environment):
        """Starts a command."""
        return subprocess.Popen(
            [str(self.server.binary), "--json", "wallet", *words],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process):
        """What a command printed."""
        said, complained = process.communicate(timeout=PATIENCE_S)
        if process.returncode != 0:
            raise mayfly.Refused(f"{process.returncode}: {complained}")
        return json.loads(said)

    def run(self, *words, **environment):
        return self.end(self.start(*words, **environment))

    @staticmethod
    def purchase(card, amount="24.98", *words):
        """The words that ask for a purchase."""
        return ["pay", "--card", card, "--amount", amount, "--currency", "USD", *words]

    def ask(self, card, amount="24.98", *words):
        """What `pay` says."""
        return self.run(*self.purchase(card, amount, *words))

    def pay(self, card, amount="24.98", *words):
        """What stands in the shop's form."""
        return self.form(self.ask(card, amount, *words))

    def form(self, filled):
        month, year = filled["expiration_date"].split("/")
        self.server.numbers_issued.append(filled["number"])
        return mayfly.Card(filled["id"], filled["number"], month + year, "", filled["expires_at"])

    def counter(self, card):
        """How far the wallet has counted."""
        [found] = [one for one in self.run("list", "--offline")["cards"] if one["id"] == card]
        return found["tsn"]

    def copy(self):
        """A copy of the wallet's file."""
        return shutil.copy2(self.file, self.file.with_name("copy"))

    def put_back(self, copy):
        os.replace(copy, self.file)


class Relay:
    """Stands between wallets and their server, and sees what each purchase is asked for with."""

    def __init__(self, api):
        self.host = api.split("://")[1]
        self.lock = threading.Lock()
        # The TSNs that came, in the order in which they did.
        self.tsns = []
        # What is done with a request, as it comes and when its answer is there; False: nothing goes on from here.
        self.before = self.after = lambda tsn: True
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                relay.pass_on(self)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def pass_on(self, handler):
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        tsn = None
        if handler.path == "/v1/verifications":
            tsn = json.loads(body)["tsn"]
            with self.lock:
                self.tsns.append(tsn)
        handler.close_connection = True
        if tsn is not None and not self.before(tsn):
            return
        names = ("authorization", "content-type", "idempotency-key")
        headers = {name: handler.headers[name] for name in names if handler.headers[name]}
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE_S)
        try:
            connection.request(handler.command, handler.path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if tsn is not None and not self.after(tsn):
            return
        try:
            handler.send_response(answer.status)
            for name in ("content-type", "retry-after"):
                if answer.getheader(name):
                    handler.send_header(name, answer.getheader(name))
            handler.send_header("content-length", str(len(content)))
            handler.send_header("connection", "close")
            handler.end_headers()
            handler.wfile.write(content)
        except OSError:
            pass  # Whoever asked is gone.
