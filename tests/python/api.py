"""The HTTP API as a client sees it: nothing but the standard library."""

import http.client
import json
import uuid
from dataclasses import dataclass

ANSWER_S = 20


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict
    body: object

    @property
    def code(self):
        """The stable code of a problem document."""
        assert self.headers["content-type"] == "application/problem+json", self
        return self.body["code"]


class Api:
    """One caller of the API: a key, a session, or nobody."""

    def __init__(self, address, token=None):
        scheme, self.address = address.split("://")
        assert scheme == "http", address
        self.token = token

    def ask(self, method, path, body=None, key=None, headers=None):
        sent = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if method == "POST":
            sent |= {"Content-Type": "application/json", "Idempotency-Key": key or str(uuid.uuid4())}
        connection = http.client.HTTPConnection(self.address, timeout=ANSWER_S)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, sent | (headers or {}))
            answer = connection.getresponse()
            text = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, json.loads(text) if text else None)
        finally:
            connection.close()

    def get(self, path):
        return self.ask("GET", path)

    def post(self, path, body=None, **more):
        return self.ask("POST", path, {} if body is None else body, **more)

    def made(self, path, body=None, **more):
        """Posts, and gives what was made."""
        answer = self.post(path, body, **more)
        assert answer.status == 201, answer
        return answer.body

    def found(self, path):
        answer = self.get(path)
        assert answer.status == 200, answer
        return answer.body
