"""A receiver of webhooks: nothing but the standard library, and it does as it is told."""

import json
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE_S = 30


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict
    body: bytes

    @property
    def id(self):
        return self.headers["webhook-id"]

    @property
    def signatures(self):
        return self.headers["webhook-signature"].split(" ")

    @property
    def json(self):
        return json.loads(self.body)


class Receiver:
    """Listens on a port of its own, which it keeps when it goes down and comes up again."""

    def __init__(self):
        self.received = []
        self.lock = threading.Lock()
        # What it does with a request: gives the status, perhaps with headers.
        self.answer = lambda received: 204
        self.port = 0
        self.server = None
        self.up()

    def up(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                with receiver.lock:
                    receiver.connections.append(self.connection)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                received = Received(self.path, headers, body)
                answer = receiver.answer(received)
                status, more, text = (*answer, b"") if isinstance(answer, tuple) else (answer, {}, b"")
                with receiver.lock:
                    receiver.received.append(received)
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            request_queue_size = 64

            def handle_error(self, *_):
                pass

        self.connections = []
        self.server = Quiet(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self):
        self.server.shutdown()
        self.server.server_close()
        with self.lock:
            for connection in self.connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def url(self, path="/hook"):
        return f"http://127.0.0.1:{self.port}{path}"

    def all(self):
        with self.lock:
            return list(self.received)

    def ids(self):
        """Each id once, in the order in which they came first."""
        return list(dict.fromkeys(received.id for received in self.all()))


def until(what, patience_s=PATIENCE_S):
    """Waits until something is true, and gives it."""
    deadline = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)
    return found
