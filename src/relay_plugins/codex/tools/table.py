"""Every tool that there is, in the order in which a model reads them."""

from __future__ import annotations

from relay_plugins.codex.tools import mail, pairing, presence, work
from relay_plugins.codex.tools.tool import AnyTool, Nothing, Tool

TABLE: tuple[AnyTool, ...] = (
    Tool(
        name="relay_reply",
        title="Answer a message",
        about="Answer a message that another agent, or the operator, sent to this session. Name "
        "its number; who gets the answer follows from it, in a pair as well. Answer only with a "
        "result, a decision or a question: thanks and bare confirmations start a turn for nothing.",
        takes=mail.ReplyInput,
        gives=mail.SentOutput,
        do=mail.reply,
    ),
    Tool(
        name="relay_send",
        title="Send a message",
        about="Send a message to other agents. It becomes a turn in each one's session, as soon as "
        "that session can take it; answers come back as turns here. Do not wait for them.",
        takes=mail.SendInput,
        gives=mail.SentOutput,
        do=mail.send,
    ),
    Tool(
        name="relay_ask",
        title="Ask a question",
        about="Ask other agents something that wants an answer. The final message of the turn that "
        "it becomes there is sent back where they do not reply themselves. The answer arrives here "
        "as a message; do not wait for it in this turn.",
        takes=mail.AskInput,
        gives=mail.SentOutput,
        do=mail.ask,
    ),
    Tool(
        name="relay_agents",
        title="List agents",
        about="List the agents that messages can be sent to: what each can do, and when it hears.",
        takes=presence.AgentsInput,
        gives=presence.AgentsOutput,
        do=presence.agents,
        reads=True,
    ),
    Tool(
        name="relay_inbox",
        title="Read messages",
        about="List the newest messages sent to this session, or read one of them whole, or one "
        "that you sent, with what became of it at each recipient. Messages arrive by themselves as "
        "turns: this is for those of a digest, and for looking back.",
        takes=mail.InboxInput,
        gives=mail.InboxOutput,
        do=mail.inbox,
        reads=True,
    ),
    Tool(
        name="relay_thread",
        title="Read a conversation",
        about="List the messages of the conversation that a message belongs to; of yours, "
        "receipts say what became of them.",
        takes=mail.ThreadInput,
        gives=mail.ThreadOutput,
        do=mail.thread,
        reads=True,
    ),
    Tool(
        name="relay_claim",
        title="Take work",
        about="Take the work of a claimable message, so that no other agent does it meanwhile. A "
        "claimable message that came as a turn is claimed already.",
        takes=work.ClaimInput,
        gives=work.ClaimOutput,
        do=work.claim,
        repeatable=True,
    ),
    Tool(
        name="relay_complete",
        title="End work as done",
        about="Say that the work of a claimed message is done. Whoever asked is sent the "
        "result, so no reply is needed.",
        takes=work.CompleteInput,
        gives=work.ClaimOutput,
        do=work.complete,
        repeatable=True,
    ),
    Tool(
        name="relay_fail",
        title="End work as failed",
        about="Say that the work of a claimed message cannot be done by anybody. Whoever asked "
        "is sent the reason.",
        takes=work.FailInput,
        gives=work.ClaimOutput,
        do=work.fail,
        repeatable=True,
    ),
    Tool(
        name="relay_release",
        title="Give work back",
        about="Give claimed work back, so that another agent is asked.",
        takes=work.ClaimInput,
        gives=work.ClaimOutput,
        do=work.release,
        repeatable=True,
    ),
    Tool(
        name="relay_pair_invite",
        title="Invite to a pair",
        about="Invite one other agent to work on something with you alone. Each agent is in one "
        "pair at a time.",
        takes=pairing.InviteInput,
        gives=pairing.PairOutput,
        do=pairing.invite,
    ),
    Tool(
        name="relay_pair_accept",
        title="Accept an invitation",
        about="Accept the invitation to a pair that this session got.",
        takes=pairing.PairInput,
        gives=pairing.PairOutput,
        do=pairing.accept,
        repeatable=True,
    ),
    Tool(
        name="relay_pair_reject",
        title="Turn an invitation down",
        about="Turn down the invitation to a pair that this session got.",
        takes=pairing.PairInput,
        gives=pairing.PairOutput,
        do=pairing.reject,
        repeatable=True,
    ),
    Tool(
        name="relay_pair_send",
        title="Write to the partner",
        about="Write to the other agent of the pair.",
        takes=pairing.PairSendInput,
        gives=mail.SentOutput,
        do=pairing.send,
    ),
    Tool(
        name="relay_pair_hang_up",
        title="End a pair",
        about="End the pair, or take an invitation back; the other one is told.",
        takes=pairing.PairInput,
        gives=pairing.PairOutput,
        do=pairing.hang_up,
        repeatable=True,
    ),
    Tool(
        name="relay_status",
        title="Show this session",
        about="Show who this session is to other agents: its id, label, tags and capabilities, its "
        "pair, the work that it holds, and what waits for it.",
        takes=Nothing,
        gives=presence.StatusOutput,
        do=presence.status,
        reads=True,
    ),
    Tool(
        name="relay_label",
        title="Name this session",
        about="Give this session a label that others can write to. For when the user asks for it.",
        takes=presence.LabelInput,
        gives=presence.NamedOutput,
        do=presence.label,
        repeatable=True,
    ),
    Tool(
        name="relay_tags",
        title="Tag this session",
        about="Replace the tags of this session, the groups that others can write to. For when the "
        "user asks for it.",
        takes=presence.TagsInput,
        gives=presence.NamedOutput,
        do=presence.tags,
        repeatable=True,
    ),
)
BY_NAME = {tool.name: tool for tool in TABLE}
