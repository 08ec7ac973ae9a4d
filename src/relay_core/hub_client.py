"""The way to a hub over HTTP and one websocket: the only file that knows the hub's paths."""

from __future__ import annotations

import copy
import logging
import secrets
from collections.abc import Iterable, Mapping
from typing import Self, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from relay_core.dead_letters import DeadLetter, DeadList, DeadView
from relay_core.errors import (
    HubRefused,
    HubUnreachable,
    SocketsForbidden,
    StaleEpoch,
    WireError,
    is_forbidden,
)
from relay_core.guards import Guard, GuardList
from relay_core.held_mail import DropRequest, HeldList, HeldPatch, HeldView
from relay_core.hub_address import check_url
from relay_core.hub_api import (
    ACTING_HEADER,
    INBOX_PAGE,
    AgentPatch,
    AnnotateRequest,
    AttemptRequest,
    AwaitedAnswer,
    Cancellation,
    Claim,
    ClaimList,
    ClaimRequest,
    ErrorBody,
    Fence,
    HeartbeatRequest,
    MessagePatch,
    MessageView,
    OfferList,
    Outcome,
    Pair,
    PairAnswer,
    PairList,
    PairMessageRequest,
    PairRequest,
    RegisterRequest,
    SendRequest,
    SendResponse,
    StatusRequest,
    TurnReport,
    VerdictRequest,
)
from relay_core.hub_proof import CHALLENGE_BYTES, is_hub, token_hash, token_key
from relay_core.hub_stream import SocketStream
from relay_core.messages import (
    AgentId,
    Attempt,
    AttemptId,
    ClaimState,
    Delivery,
    DeliveryId,
    Message,
    MessageId,
    PairId,
    PairState,
    Struct,
)
from relay_core.sessions import Agent
from relay_core.work import Task, TaskList, TaskView

CALL_TIMEOUT_S = 10.0
STREAM_LIMIT = 1024 * 1024

_LARGEST_ID = 2**53 - 1
_handshakes = logging.getLogger(f"{__name__}.websocket")
_handshakes.setLevel(logging.WARNING)  # websockets tells the log its headers, at DEBUG: the token
T = TypeVar("T")


class _Health(Struct):
    proof: str | None = None


class _TokenRequest(Struct):
    agent_id: AgentId


class _TokenResponse(Struct):
    token: str


class HubClient:
    """Asks one hub; implements `relay_core.ports.HubPort`.

    Open it with `async with`. Environment proxies are ignored. Every call has a time limit and
    raises HubUnreachable, HubRefused, StaleEpoch or WireError.
    """

    def __init__(self, url: str, token: str, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.url = check_url(url)
        self._token = token
        self._acting: dict[str, str] = {}
        self._sure = False
        self._http = httpx.AsyncClient(
            timeout=timeout_s,
            trust_env=False,
            # Certificates take 20 ms to read, and what is plain http is loopback.
            verify=self.url.startswith("https:"),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def as_agent(self, agent_id: AgentId) -> HubClient:
        """The same connections with the rights of one agent and no others."""
        acting = copy.copy(self)
        acting._acting = {ACTING_HEADER: agent_id}  # noqa: SLF001 - one of our own
        return acting

    async def authenticate(self) -> None:
        """Make sure that whoever listens there knows this token, without showing it.

        Done before the first call, before each stream, and again whenever the hub was gone. Raises
        HubUnreachable, or HubRefused 401 `not_the_hub` for anything else that answers. Over https
        the certificate says who it is.
        """
        parts = urlsplit(self.url)
        if parts.scheme == "https":
            self._sure = True
            return
        challenge = secrets.token_hex(CHALLENGE_BYTES)
        key = token_key(token_hash(self._token))
        answer = await self._request("GET", f"/healthz?nonce={challenge}&key={key}")
        try:
            proof = msgspec.json.decode(answer.content, type=_Health).proof or ""
        except msgspec.DecodeError:
            proof = ""
        if not is_hub(self._token, challenge, parts.port or 80, proof):
            raise HubRefused(
                401,
                "not_the_hub",
                f"what answers at {self.url} does not know this token, so it was not sent there",
                fix="name the right hub with --url or AGENT_RELAY_URL, "
                "or its token with AGENT_RELAY_TOKEN",
            )
        self._sure = True

    # What a sidecar asks -------------------------------------------------------------------------

    async def register(self, request: RegisterRequest) -> Agent:
        return await self._ask("POST", "/api/agents", request, Agent)

    async def heartbeat(self, agent_id: AgentId, request: HeartbeatRequest) -> None:
        await self._tell("POST", f"/api/agents/{_part(agent_id)}/heartbeat", request)

    async def set_status(self, fence: Fence, status: str) -> None:
        body = StatusRequest(status=status, instance_id=fence.instance_id, epoch=fence.epoch)
        await self._tell("PATCH", f"/api/agents/{_part(fence.agent_id)}/status", body)

    async def offers(self, fence: Fence) -> OfferList:
        path = f"/api/agents/{_part(fence.agent_id)}/deliveries"
        return await self._ask("GET", path, None, OfferList)

    async def record_attempt(self, request: AttemptRequest) -> Attempt:
        return await self._ask("POST", "/api/attempts", request, Attempt)

    async def report_outcome(self, attempt_id: AttemptId, outcome: Outcome) -> None:
        await self._tell("POST", f"/api/attempts/{_part(attempt_id)}/outcome", outcome)

    async def awaited(self, attempt_id: AttemptId) -> MessageId | None:
        path = f"/api/attempts/{_part(attempt_id)}/awaited"
        return (await self._ask("GET", path, None, AwaitedAnswer)).message_id

    async def report_turn(self, attempt_id: AttemptId, report: TurnReport) -> None:
        await self._tell("POST", f"/api/attempts/{_part(attempt_id)}/turn", report)

    async def give_verdict(self, delivery_id: DeliveryId, verdict: VerdictRequest) -> None:
        await self._tell("POST", f"/api/deliveries/{delivery_id}/verdict", verdict)

    async def annotate(
        self, delivery_id: DeliveryId, fence: Fence, annotations: Mapping[str, msgspec.Raw]
    ) -> None:
        body = AnnotateRequest(
            annotations=dict(annotations),
            agent_id=fence.agent_id,
            instance_id=fence.instance_id,
            epoch=fence.epoch,
        )
        await self._tell("POST", f"/api/deliveries/{delivery_id}/annotations", body)

    async def claims(self, fence: Fence) -> tuple[Claim, ...]:
        path = f"/api/agents/{_part(fence.agent_id)}/claims{_fence_query(fence)}"
        return (await self._ask("GET", path, None, ClaimList)).claims

    async def claim(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        return await self._ask("POST", f"/api/messages/{message_id}/claim", request, Claim)

    async def renew(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        return await self._ask("POST", f"/api/messages/{message_id}/claim/renew", request, Claim)

    async def complete(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        """End the work as done; doing it twice is harmless."""
        return await self._end_claim(message_id, "complete", request)

    async def fail(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        """End the work as failed; doing it twice is harmless."""
        return await self._end_claim(message_id, "fail", request)

    async def release(self, message_id: MessageId, request: ClaimRequest) -> Claim:
        """Give the work back to the others."""
        return await self._end_claim(message_id, "release", request)

    async def _end_claim(self, message_id: MessageId, how: str, request: ClaimRequest) -> Claim:
        return await self._ask("POST", f"/api/messages/{message_id}/claim/{how}", request, Claim)

    async def send(
        self, request: SendRequest, *, idempotency_key: str | None = None
    ) -> SendResponse:
        headers = _once(idempotency_key)
        return await self._ask("POST", "/api/messages", request, SendResponse, headers=headers)

    async def open_stream(self) -> SocketStream:
        """Open the push connection."""
        await self.authenticate()
        url = "ws" + self.url.removeprefix("http") + "/api/stream"
        try:
            socket = await connect(
                url,
                additional_headers={"Authorization": f"Bearer {self._token}"},
                compression=None,
                proxy=None,
                max_size=STREAM_LIMIT,
                open_timeout=CALL_TIMEOUT_S,
                close_timeout=1,
                logger=_handshakes,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            raise HubRefused(
                status, "stream_refused", f"the hub refused the stream: {status}"
            ) from error
        except (OSError, TimeoutError, WebSocketException) as error:
            raise self._unreachable(error) from error
        return SocketStream(socket)

    # What readers ask ----------------------------------------------------------------------------

    async def agents(self) -> tuple[Agent, ...]:
        """List every agent."""
        return await self._ask("GET", "/api/agents", None, tuple[Agent, ...])

    async def agent(self, agent_id: str) -> Agent:
        """Show one agent."""
        return await self._ask("GET", f"/api/agents/{_part(agent_id)}", None, Agent)

    async def change_agent(self, agent_id: str, patch: AgentPatch) -> Agent:
        """Change what a person may change of an agent."""
        return await self._ask("PATCH", f"/api/agents/{_part(agent_id)}", patch, Agent)

    async def message(self, message_id: int) -> MessageView:
        """Show a message and where its deliveries stand."""
        return await self._ask("GET", f"/api/messages/{message_id}", None, MessageView)

    async def mark_read(self, message_id: int, reader: AgentId) -> None:
        """Say that a recipient has read a message by itself; doing it twice is harmless."""
        await self._tell("PATCH", f"/api/messages/{message_id}", MessagePatch(read_by=reader))

    async def inbox(self, agent_id: str, *, since: int = 0) -> tuple[Message, ...]:
        """List the first messages for an agent after a message id; at most `INBOX_PAGE`."""
        return await self._messages_for(agent_id, f"since={since}", INBOX_PAGE)

    async def newest(
        self, agent_id: str, *, before: int | None = None, most: int = INBOX_PAGE
    ) -> tuple[Message, ...]:
        """List the last messages for an agent before one, oldest first; `most` is 500 at most."""
        last = _LARGEST_ID if before is None else min(before, _LARGEST_ID)
        return await self._messages_for(agent_id, f"before={last}", most)

    async def _messages_for(self, agent_id: str, where: str, most: int) -> tuple[Message, ...]:
        path = f"/api/messages?for={_part(agent_id)}&{where}&limit={most}"
        return await self._ask("GET", path, None, tuple[Message, ...])

    async def deliveries(self, agent_id: str) -> tuple[Delivery, ...]:
        """List an agent's open deliveries."""
        path = f"/api/agents/{_part(agent_id)}/deliveries"
        offers = (await self._ask("GET", path, None, OfferList)).offers
        return tuple(offer.delivery for offer in offers)

    async def remove_agent(self, agent_id: str) -> None:
        """Forget an agent: its mail is dead, its pair ends, its tokens are void."""
        await self._tell("DELETE", f"/api/agents/{_part(agent_id)}", None)

    async def thread(self, message_id: int, *, since: int = 0) -> tuple[MessageView, ...]:
        """List the first messages of a conversation after a message id; at most `INBOX_PAGE`."""
        path = f"/api/messages/{message_id}/thread?since={since}&limit={INBOX_PAGE}"
        return await self._ask("GET", path, None, tuple[MessageView, ...])

    async def cancel(self, message_id: int) -> Cancellation:
        """Take a message back where it is not on its way yet."""
        return await self._ask("POST", f"/api/messages/{message_id}/cancel", None, Cancellation)

    async def new_agent_token(self, agent_id: str) -> str:
        """Make a token that acts for one agent; the hub shows it this once."""
        body = _TokenRequest(agent_id=AgentId(agent_id))
        return (await self._ask("POST", "/api/tokens", body, _TokenResponse)).token

    # Pairs ---------------------------------------------------------------------------------------

    async def invite(self, request: PairRequest, *, idempotency_key: str | None = None) -> Pair:
        """Invite an agent to a pair."""
        headers = _once(idempotency_key)
        return await self._ask("POST", "/api/pairs", request, Pair, headers=headers)

    async def accept_pair(self, pair_id: str, answer: PairAnswer) -> Pair:
        """Accept an invitation; doing it twice is harmless."""
        return await self._ask("POST", f"/api/pairs/{_part(pair_id)}/accept", answer, Pair)

    async def reject_pair(self, pair_id: str, answer: PairAnswer) -> Pair:
        """Turn an invitation down; doing it twice is harmless."""
        return await self._ask("POST", f"/api/pairs/{_part(pair_id)}/reject", answer, Pair)

    async def send_to_pair(
        self, pair_id: str, request: PairMessageRequest, *, idempotency_key: str | None = None
    ) -> SendResponse:
        """Write to the partner."""
        path, headers = f"/api/pairs/{_part(pair_id)}/messages", _once(idempotency_key)
        return await self._ask("POST", path, request, SendResponse, headers=headers)

    async def hang_up(self, pair_id: str, answer: PairAnswer) -> Pair:
        """End a pair, or take an invitation back; doing it twice is harmless."""
        return await self._ask("POST", f"/api/pairs/{_part(pair_id)}/hangup", answer, Pair)

    async def pair(self, pair_id: str) -> Pair:
        """Show one pair."""
        return await self._ask("GET", f"/api/pairs/{_part(pair_id)}", None, Pair)

    async def pairs(
        self,
        agent_id: str | None = None,
        *,
        states: Iterable[PairState] = (),
        before: PairId | None = None,
    ) -> tuple[Pair, ...]:
        """List pairs, newest first, those made before another; at most `INBOX_PAGE`."""
        query = _query(agent=agent_id, state=",".join(states) or None, before=before)
        return (await self._ask("GET", f"/api/pairs{query}", None, PairList)).pairs

    # Dead letters --------------------------------------------------------------------------------

    async def dead(
        self, agent_id: str | None = None, *, before: DeliveryId | None = None
    ) -> tuple[DeadLetter, ...]:
        """List dead letters, newest first, those before another; at most `INBOX_PAGE`."""
        path = f"/api/dead{_query(**{'for': agent_id}, before=before)}"
        return (await self._ask("GET", path, None, DeadList)).dead

    async def dead_letter(self, delivery_id: int) -> DeadView:
        """Show all that is known of one dead letter."""
        return await self._ask("GET", f"/api/dead/{delivery_id}", None, DeadView)

    async def retry_dead(self, delivery_id: int, *, idempotency_key: str | None = None) -> Delivery:
        """Queue it again; answers the delivery that takes its place."""
        path, headers = f"/api/dead/{delivery_id}/retry", _once(idempotency_key)
        return await self._ask("POST", path, None, Delivery, headers=headers)

    async def drop_dead(self, delivery_id: int) -> DeadLetter:
        """List it no longer; doing it twice is harmless."""
        return await self._ask("POST", f"/api/dead/{delivery_id}/drop", None, DeadLetter)

    # The guard against loops ---------------------------------------------------------------------

    async def guards(self) -> tuple[Guard, ...]:
        """List what the guard has stopped, the newest first; 500 at most."""
        return (await self._ask("GET", "/api/guards", None, GuardList)).guards

    async def reset_guard(self, subject: str) -> Guard:
        """Let a conversation, or an agent's turns for others, go on; HubRefused `not_stopped`."""
        return await self._ask("POST", f"/api/guards/{_part(subject)}/reset", None, Guard)

    # Work ----------------------------------------------------------------------------------------

    async def tasks(
        self,
        agent_id: str | None = None,
        *,
        states: Iterable[ClaimState] = (),
        before: int | None = None,
    ) -> tuple[Task, ...]:
        """List claimable work, newest first, that of messages before one; at most `INBOX_PAGE`."""
        asked = _query(**{"for": agent_id}, state=",".join(states) or None, before=before)
        return (await self._ask("GET", f"/api/claims{asked}", None, TaskList)).claims

    async def task(self, message_id: int) -> TaskView:
        """Show the work of a message, and whose hands it went through."""
        return await self._ask("GET", f"/api/claims/{message_id}", None, TaskView)

    # Held mail -----------------------------------------------------------------------------------

    async def held(
        self,
        agent_id: str | None = None,
        *,
        before: DeliveryId | None = None,
        most: int = INBOX_PAGE,
    ) -> HeldList:
        """List what is held, newest first, before another; `most` is 500 at most."""
        path = f"/api/held{_query(**{'for': agent_id}, before=before, limit=most)}"
        return await self._ask("GET", path, None, HeldList)

    async def held_delivery(self, delivery_id: int) -> HeldView:
        """Show one that is held, with the text that its recipient would get."""
        return await self._ask("GET", f"/api/held/{delivery_id}", None, HeldView)

    async def approve_held(self, delivery_id: int) -> Delivery:
        """Let one through, for good."""
        return await self._ask("POST", f"/api/held/{delivery_id}/approve", None, Delivery)

    async def edit_held(self, delivery_id: int, body: str) -> HeldView:
        """Give the recipient another text; it is still held."""
        patch = HeldPatch(body=body)
        return await self._ask("PATCH", f"/api/held/{delivery_id}", patch, HeldView)

    async def drop_held(self, delivery_id: int, reason: str) -> Delivery:
        """Never deliver one; its sender sees the reason."""
        request = DropRequest(reason=reason)
        return await self._ask("POST", f"/api/held/{delivery_id}/drop", request, Delivery)

    # The wire ------------------------------------------------------------------------------------

    async def _tell(self, method: str, path: str, body: object) -> None:
        await self._ask(method, path, body, msgspec.Raw)

    async def _ask(
        self,
        method: str,
        path: str,
        body: object,
        kind: type[T],
        *,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        if not self._sure:
            await self.authenticate()
        content = None if body is None else msgspec.json.encode(body)
        sent = {"Authorization": f"Bearer {self._token}", **self._acting, **(headers or {})}
        if content is not None:
            sent["Content-Type"] = "application/json"
        response = await self._request(method, path, content=content, headers=sent)
        if response.is_error:
            raise _refusal(response)
        try:
            return msgspec.json.decode(response.content or b"null", type=kind)
        except msgspec.DecodeError as error:
            raise WireError(
                f"the hub's answer to {method} {path} cannot be read: {error}"
            ) from error

    async def _request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        # The whole address: to merge one with a base takes a fifth of the call.
        url = f"{self.url}{path}"
        try:
            return await self._http.request(method, url, content=content, headers=headers)
        except httpx.TransportError as error:
            self._sure = False
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> HubUnreachable:
        if is_forbidden(error):
            return SocketsForbidden()
        return HubUnreachable(f"no hub answers at {self.url}", fix="agent-relay up")


def _refusal(response: httpx.Response) -> HubRefused:
    try:
        body = msgspec.json.decode(response.content, type=ErrorBody)
    except msgspec.DecodeError:
        body = ErrorBody(code="http_error", detail=f"the hub answered {response.status_code}")
    if body.code == "stale_epoch":
        return StaleEpoch(body.detail)
    seconds = response.headers.get("Retry-After", "")
    return HubRefused(
        response.status_code,
        body.code,
        body.detail,
        fix=body.fix,
        retry_after_s=int(seconds) if seconds.isdecimal() else None,
        delivery_ids=body.delivery_ids or (),
    )


def _fence_query(fence: Fence) -> str:
    return _query(instanceId=fence.instance_id, epoch=fence.epoch)


def _query(**given: str | int | None) -> str:
    query = urlencode({name: value for name, value in given.items() if value is not None})
    return f"?{query}" if query else ""


def _once(idempotency_key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": idempotency_key} if idempotency_key else {}


def _part(value: str) -> str:
    return quote(value, safe="")
