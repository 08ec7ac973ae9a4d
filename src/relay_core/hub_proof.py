"""How a client knows the hub before it shows a token: a challenge that only the token answers."""

# Rule 1: pure. The challenge is random and comes in as an argument.
# Rule 2: the hub proves the token that the client names by its key; without one, the user token.
# Rule 3: the answer is bound to the port that was asked, so that another program that listens where
#         the hub should cannot pass the challenge on to the real hub elsewhere.

from __future__ import annotations

import hashlib
import hmac

CHALLENGE_BYTES = 16
"""How much randomness a challenge has; it travels as hex in `GET /healthz?nonce=…`."""

KEY_DIGITS = 32
_KEY_PURPOSE = b"agent-relay token key 1\n"
_PURPOSE = b"agent-relay hub proof 1"


def token_hash(token: str) -> bytes:
    """What a hub keeps of a token."""
    return hashlib.sha256(token.encode()).digest()


def token_key(hashed: bytes) -> str:
    """Name one token among several without telling it: what a client asks to be proved."""
    return hashlib.sha256(_KEY_PURPOSE + hashed).hexdigest()[:KEY_DIGITS]


def hub_proof(hashed: bytes, challenge: str, port: int) -> str:
    """The answer to a challenge, as hex, from the hash of a token."""
    asked = b"\n".join((_PURPOSE, challenge.encode(), str(port).encode()))
    return hmac.new(hashed, asked, hashlib.sha256).hexdigest()


def is_hub(token: str, challenge: str, port: int, answer: str) -> bool:
    """Tell whether whoever answered knows this token's hash."""
    expected = hub_proof(token_hash(token), challenge, port)
    return hmac.compare_digest(expected.encode(), answer.encode())
