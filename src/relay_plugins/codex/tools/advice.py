"""What a model is told when a tool could not do what it asked."""

# Rule: an error says what to do next, in words that a model can act on; the commands that the hub
#       names are for people at open shells.

from __future__ import annotations

import msgspec

from relay_core import HubRefused, RelayError

ADVICE = {
    "unknown_target": "See who is there with relay_agents.",
    "no_recipients": "See who is there with relay_agents.",
    "ambiguous_target": "Name one of them by its id.",
    "bad_target": "See who is there with relay_agents.",
    "to_self": "Name another agent; relay_agents lists them.",
    "fan_out": "Choose a smaller group.",
    "unknown_message": "See the numbers with relay_inbox.",
    "unknown_reply_to": "See the numbers with relay_inbox.",
    "body_too_large": "Write it to a file and send the file's path.",
    "claim_held": "Leave it to whoever has it.",
    "stale_claim": "Do not go on with it as if it were yours; relay_status lists what you hold.",
    "not_waiting": "See where it stands with relay_thread.",
    "not_a_recipient": "Leave it to those whom it was sent to.",
    "not_claimable": "Answer it with relay_reply.",
    "pair_busy": "End the one that you are in with relay_pair_hang_up, or write without a pair.",
    "pair_pending": "Wait until it is accepted; if you are the one invited, use relay_pair_accept.",
    "pair_active": "End it with relay_pair_hang_up.",
    "pair_ended": "Invite again with relay_pair_invite, or write with relay_send.",
    "unknown_pair": "See your pair with relay_status.",
    "not_in_pair": "See your pair with relay_status.",
    "not_invited": "Wait for the answer, or take the invitation back with relay_pair_hang_up.",
    "loop_guard": "A person was told. Stop writing here and tell your user where things stand.",
    "bad_ack": "Send it without claimable, urgent or ack.",
    "rate_limited": "Stop sending for a minute; put what is left into one message.",
    "recipient_full": "Try again later, or tell your user.",
    "idempotency_in_flight": "It is being done; look with relay_thread before you repeat it.",
    "stale_epoch": "Tell your user: another host serves this session now.",
    "hub_unreachable": "Try again in a moment. If it stays so, tell your user to run "
    "`agent-relay status`.",
    "storage": "Tell your user: the hub's disk is full. Reading still works.",
}
OTHERWISE = "If you cannot go on without it, tell your user."
AGAIN_S = "Try again in {} s."


def advice_for(error: RelayError) -> str:
    """Say what went wrong and what to do next."""
    known = ADVICE.get(error.code)
    if known is None and isinstance(error, HubRefused) and error.retry_after_s:
        known = AGAIN_S.format(error.retry_after_s)
    if known is None:
        # A fix that our own tools wrote; the hub's are for people.
        known = OTHERWISE if isinstance(error, HubRefused) or not error.fix else error.fix
    return f"{_sentence(error.detail)} {known}"


def bad_arguments(tool: str, error: msgspec.DecodeError) -> str:
    """Say what is wrong with the arguments."""
    return f"{_sentence(str(error))} Nothing was done; call {tool} again with arguments that fit."


def _sentence(detail: str) -> str:
    line = " ".join(detail.split())
    return (line[:1].upper() + line[1:]).rstrip(".") + "."
