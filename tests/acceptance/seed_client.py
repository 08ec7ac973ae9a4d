"""A relay client of the old kind: it polls, with the paths, headers and fields it always had.

Standard library only, and nothing of this project: what it can do against our hub is what a
client that was written for the former hub can do. It tells what happens as JSON lines on its
stdout. What it sends where:

* `POST /api/agents` with id, name, label, machine, rig, tags, capabilities, status, instanceId and
  meta; the answer's `epoch` goes, with `instanceId`, into heartbeats, status, ready, claims and
  renewals, and nowhere else.
* `GET /api/messages/cursor` at each registration: what is older is not read.
* `POST /api/agents/ID/heartbeat`, `GET /api/messages?for=ID&since=N`, and for each message: the
  claim if it is claimable, then `PATCH /api/messages/N` with `readBy`.
* `POST /api/pairs` with from, target and objective; what bears `meta.pairId` is a pair's: an
  invitation is accepted with `agentId`, words go to `/api/pairs/ID/messages` with from and body,
  and `/api/pairs/ID/hangup` ends it.
* A heartbeat that is answered 404 registers again; any other 409 ends it.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any
from urllib.parse import quote


class HttpError(Exception):
    """The hub answered with an error."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path}: {status} {body}")
        self.path = path
        self.status = status


class SeedClient:
    """One agent that polls."""

    def __init__(self, url: str, token: str, name: str) -> None:
        self.url = url
        self.token = token
        self.id = name
        self.instance_id = str(uuid.uuid4())
        self.session: dict[str, Any] | None = None
        self.cursor = 0
        self.claimed: set[int] = set()
        self.pairs: set[str] = set()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - the test names an http address
            self.url + path, data=data, method=method
        )
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("X-Agent-Relay-Token", self.token)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - same
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            raise HttpError(method, path, error.code, error.read().decode()) from error

    def agent_path(self, rest: str) -> str:
        return f"/api/agents/{quote(self.id, safe='')}/{rest}"

    def register(self) -> None:
        agent = self.ask(
            "POST",
            "/api/agents",
            {
                "id": self.id,
                "name": self.id,
                "label": "seed",
                "machine": "box",
                "rig": "codex-live",
                "tags": ["codex", "codex-live", "project", "seeds"],
                "capabilities": ["chat"],
                "status": "online",
                "instanceId": self.instance_id,
                "meta": {
                    "client": "codex-live",
                    "threadId": "0199-thread",
                    "appServerUrl": "ws://127.0.0.1:4501",
                    "cwd": "/tmp/project",
                    "model": None,
                    "approvalMode": "open",
                    "channels": [],
                    "profile": None,
                },
            },
        )
        epoch = agent.get("epoch")
        self.session = None
        if isinstance(epoch, int):
            self.session = {"instanceId": self.instance_id, "epoch": epoch}
        self.cursor = self.ask("GET", "/api/messages/cursor")["latestId"]
        self.tell(event="registered", epoch=epoch, cursor=self.cursor)
        self.show("idle", ready=True)

    def show(self, status: str, *, ready: bool) -> None:
        try:
            self.ask("PATCH", self.agent_path("status"), {"status": status, **(self.session or {})})
            self.ask("PATCH", self.agent_path("ready"), {"ready": ready, **(self.session or {})})
        except HttpError as error:
            self.tell(event="not-shown", status=error.status)

    def claim(self, message_id: int, path: str = "claim") -> bool:
        body = {"agentId": self.id, **(self.session or {})}
        try:
            self.ask("POST", f"/api/messages/{message_id}/{path}", body)
        except HttpError as error:
            if error.status == 409:
                return False
            raise
        return True

    def poll(self) -> None:
        path = f"/api/messages?for={quote(self.id, safe='')}&since={self.cursor}"
        for message in self.ask("GET", path):
            if message.get("claimable"):
                if not self.claim(message["id"]):
                    self.cursor = message["id"]
                    self.tell(event="not-claimed", id=message["id"])
                    continue
                self.claimed.add(message["id"])
            self.show("busy", ready=False)
            self.ask("PATCH", f"/api/messages/{message['id']}", {"readBy": self.id})
            self.cursor = message["id"]
            self.tell(
                event="message",
                id=message["id"],
                sender=message["from"],
                to=message["to"],
                body=message["body"],
                subject=message.get("subject"),
                channel=message.get("channel"),
                replyTo=message.get("replyTo"),
                meta=message.get("meta"),
                type=message.get("type"),
                createdAt=message["createdAt"],
            )
            self.talk(message)
            if message["body"] == "reply":
                sent = self.ask(
                    "POST",
                    "/api/messages",
                    {
                        "from": self.id,
                        "to": message["from"],
                        "subject": "Re",
                        "body": "done",
                        "replyTo": message["id"],
                    },
                )
                self.tell(event="replied", id=sent["id"])
            self.show("idle", ready=True)

    def talk(self, message: dict[str, Any]) -> None:
        """Pair up when told to; then one says ping, the other pong, and the first hangs up."""
        pair_id = (message.get("meta") or {}).get("pairId")
        body = message["body"]
        if body.startswith("pair with "):
            target = body.removeprefix("pair with ")
            asked = {"from": self.id, "target": target, "objective": "Debug flaky tests"}
            pair = self.ask("POST", "/api/pairs", asked)
            self.pairs.add(pair["id"])
            self.tell(event="invited", pair=pair["id"])
        elif isinstance(pair_id, str) and pair_id not in self.pairs:
            self.pairs.add(pair_id)
            self.ask("POST", f"/api/pairs/{pair_id}/accept", {"agentId": self.id})
            self.tell(event="accepted", pair=pair_id)
        elif isinstance(pair_id, str) and message.get("type") == "pair.accepted":
            self.say(pair_id, "ping")
        elif isinstance(pair_id, str) and body == "ping":
            self.say(pair_id, "pong")
        elif isinstance(pair_id, str) and body == "pong":
            self.ask("POST", f"/api/pairs/{pair_id}/hangup")
            self.tell(event="hung-up", pair=pair_id)

    def say(self, pair_id: str, body: str) -> None:
        self.ask("POST", f"/api/pairs/{pair_id}/messages", {"from": self.id, "body": body})

    def renew(self) -> None:
        for message_id in sorted(self.claimed):
            kept = self.claim(message_id, "claim/renew")
            self.tell(event="renewed", id=message_id, kept=kept)
            if not kept:
                self.claimed.discard(message_id)

    def run(self, pause_s: float) -> None:
        self.register()
        while True:
            try:
                self.ask("POST", self.agent_path("heartbeat"), self.session)
                self.renew()
                self.poll()
            except HttpError as error:
                if error.status == 404 and "/heartbeat" in error.path:
                    self.register()
                elif error.status == 409:
                    self.tell(event="stale")
                    return
                else:
                    raise
            time.sleep(pause_s)

    def tell(self, **event: Any) -> None:
        print(json.dumps(event), flush=True)


if __name__ == "__main__":
    SeedClient(
        os.environ.get("AGENT_RELAY_URL", "http://127.0.0.1:4850"),
        os.environ.get("AGENT_RELAY_TOKEN", ""),
        sys.argv[1],
    ).run(pause_s=0.05)
