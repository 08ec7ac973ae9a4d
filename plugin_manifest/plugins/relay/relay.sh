#!/bin/sh
# Frozen: Codex asks for new trust when a byte here changes. What runs is the user's launcher file.
launcher="$HOME/.local/share/agent-relay/launcher"
{ [ -f "$launcher" ] && [ -x "$launcher" ]; } || exit 0
exec "$launcher" "$@"
