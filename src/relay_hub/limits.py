"""What the hub refuses, and how much of what it allows."""

from __future__ import annotations

from relay_core.messages import META_LIMIT_BYTES, Struct

KIB = 1024
MIB = 1024 * KIB
SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Limits(Struct):
    """Every limit of the hub; sizes are bytes, times milliseconds.

    Users set what they may want to in `[hub.limits]`; what guards the door and the wire stays.

    What is finished is forgotten `keep_ms` after the last that happened in its conversation.
    Rates and budgets (`sends_per_minute`, `hops`, `conversation_messages`, `turns_per_hour`) bind
    what agents send with a token of their own, never the user token.
    """

    request_bytes: int = 512 * KIB
    body_bytes: int = 256 * KIB
    meta_bytes: int = META_LIMIT_BYTES
    fan_out: int = 100
    recipient_queue: int = 1_000
    sends_per_minute: int = 60
    hops: int = 8
    conversation_messages: int = 30
    conversation_window_ms: int = 10 * MINUTE
    turns_per_hour: int = 120
    ttl_ms: int = 7 * DAY
    ttl_least_ms: int = SECOND
    ttl_most_ms: int = 30 * DAY
    claim_lease_ms: int = 60 * SECOND
    claim_lapses: int = 3
    heartbeat_ms: int = 90 * SECOND
    pair_invite_ms: int = 10 * MINUTE
    keep_ms: int = 30 * DAY
    idempotency_ms: int = 7 * DAY
    offer_bytes: int = 8 * MIB
    store_bytes: int = 2 * 1024 * MIB
    free_bytes: int = 256 * MIB
    frame_bytes: int = 512 * KIB
    stream_buffer_bytes: int = MIB
    streams: int = 2_048
    connections: int = 4_096
    header_bytes: int = 16 * KIB
    headers: int = 100
    target_bytes: int = 2 * KIB
    json_depth: int = 16
    json_keys: int = 256
    json_items: int = 1_000
    header_timeout_ms: int = 5 * SECOND
    body_timeout_ms: int = 15 * SECOND
    answer_timeout_ms: int = MINUTE
    idle_timeout_ms: int = MINUTE
