"""The two programs and their commands; none of these is imported before it is asked for."""

from __future__ import annotations

from relay_cli.program import CommandPlace, LazyGroup

COMMANDS = "relay_cli.commands"
CODEX_COMMANDS = "relay_cli.codex_commands"

AGENT_RELAY = LazyGroup(
    "agent-relay",
    {
        "up": CommandPlace(
            module=f"{COMMANDS}.up", summary="Run the host and, where none answers, the hub."
        ),
        "down": CommandPlace(module=f"{COMMANDS}.down", summary="Stop the running host."),
        "status": CommandPlace(
            module=f"{COMMANDS}.status", summary="Show the hub, the host and its sessions."
        ),
        "demo": CommandPlace(
            module=f"{COMMANDS}.demo",
            summary="See a message become a turn in a real session, proved.",
        ),
        "agents": CommandPlace(
            module=f"{COMMANDS}.agents", summary="List the agents that messages can be sent to."
        ),
        "send": CommandPlace(module=f"{COMMANDS}.send", summary="Send a message to agents."),
        "ask": CommandPlace(
            module=f"{COMMANDS}.ask", summary="Ask agents a question and wait for the answer."
        ),
        "show": CommandPlace(
            module=f"{COMMANDS}.show", summary="Show a message and where its deliveries stand."
        ),
        "inbox": CommandPlace(
            module=f"{COMMANDS}.inbox", summary="List the messages for an agent."
        ),
        "why": CommandPlace(
            module=f"{COMMANDS}.why",
            summary="Ask again what was decided about a message, with other plugins if you like.",
        ),
        "thread": CommandPlace(
            module=f"{COMMANDS}.thread",
            summary="Show a conversation: a message, what it answers and what answered it.",
        ),
        "tail": CommandPlace(
            module=f"{COMMANDS}.tail",
            summary="Show messages and what becomes of them, as it happens.",
        ),
        "pair": CommandPlace(
            module=f"{COMMANDS}.pair",
            summary="Pair two agents, so that they work on one thing together.",
        ),
        "disconnect": CommandPlace(
            module=f"{COMMANDS}.disconnect", summary="Hang up the pair that an agent is in."
        ),
        "label": CommandPlace(
            module=f"{COMMANDS}.label", summary="Show or set the label of an agent."
        ),
        "tags": CommandPlace(
            module=f"{COMMANDS}.tags", summary="Show or set the tags of an agent."
        ),
        "quiet": CommandPlace(
            module=f"{COMMANDS}.quiet",
            summary="Keep messages from an agent for a while.",
        ),
        "cancel": CommandPlace(
            module=f"{COMMANDS}.cancel", summary="Take a message back that has not arrived yet."
        ),
        "claim": CommandPlace(
            module=f"{COMMANDS}.claim",
            summary="List the work that is handed out; take it, end it, give it back.",
        ),
        "dead": CommandPlace(
            module=f"{COMMANDS}.dead",
            summary="List what could not be delivered; try it again, or drop it.",
        ),
        "guard": CommandPlace(
            module=f"{COMMANDS}.guard",
            summary="See which agents the guard against loops has stopped; let them go on.",
        ),
        "held": CommandPlace(
            module=f"{COMMANDS}.held",
            summary="List what is held back; let it through, edit it, or drop it.",
        ),
        "plugins": CommandPlace(
            module=f"{COMMANDS}.plugins", summary="List the plugins and what became of them."
        ),
        "doctor": CommandPlace(
            module=f"{COMMANDS}.doctor",
            summary="Find what is wrong, and say what mends it.",
            looks=True,
        ),
        "config": CommandPlace(
            module=f"{COMMANDS}.config",
            summary="Show each setting and where its value comes from.",
            looks=True,
        ),
        "token": CommandPlace(
            module=f"{COMMANDS}.token", summary="Show where the token is; make one for an agent."
        ),
        "completion": CommandPlace(
            module=f"{COMMANDS}.completion",
            summary="Print what lets a shell complete the commands.",
        ),
    },
    """Messages between coding agents, delivered as turns in their running sessions.

    In a Codex session `/pair`, `/disconnect`, `/status`, `/label` and `/tags` work as these
    commands do, for that session's agent: `agent-relay /pair codex "Debug the flaky tests"`.
    """,
    slash_forms={
        "/pair": ("pair",),
        "/disconnect": ("disconnect",),
        "/status": ("status", "--mine"),
        "/label": ("label",),
        "/tags": ("tags",),
    },
)

AGENT_RELAY_CODEX = LazyGroup(
    "agent-relay-codex",
    {
        "install": CommandPlace(
            module=f"{CODEX_COMMANDS}.install",
            summary="Connect every Codex session: install the plugin into Codex.",
        ),
        "uninstall": CommandPlace(
            module=f"{CODEX_COMMANDS}.uninstall", summary="Take the plugin out of Codex."
        ),
        "start": CommandPlace(
            module=f"{CODEX_COMMANDS}.start",
            summary="Open a Codex session that is an agent from its first moment.",
        ),
        "attach": CommandPlace(
            module=f"{CODEX_COMMANDS}.attach", summary="Serve the threads of a Codex app-server."
        ),
        "detach": CommandPlace(
            module=f"{CODEX_COMMANDS}.detach", summary="Stop serving an attached thread."
        ),
        "status": CommandPlace(
            module=f"{CODEX_COMMANDS}.status", summary="Show the Codex sessions that are served."
        ),
    },
    "Codex sessions as agents of the relay.",
)
