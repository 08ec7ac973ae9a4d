"""A real session that is quiet is given nothing, and then one turn with all of it."""

from pathlib import Path

from real_codex import Workplace
from relay_plugins.codex.testing import CodexServer, StubModel
from relay_rig import Rig


async def test_what_came_in_during_a_quiet_is_one_digest_turn_when_it_is_ended(
    short_path: Path, workplace: Workplace, codex_server: CodexServer, stub_model: StubModel
):
    async with Rig(short_path, workplace, codex_server, stub_model) as rig:
        _, sender = await rig.new_session()
        await rig.command("-m", "relay_cli", "quiet", rig.agent, "--for", "1h", "--json")
        mail = [
            await rig.send(f"body {number}", subject=f"subject {number}", **{"from": sender})
            for number in range(2)
        ]
        held = [await rig.becomes(each, "held", "delivered") for each in mail]
        meanwhile = await rig.texts()
        await rig.command("-m", "relay_cli", "quiet", rig.agent, "--off", "--json")
        done = [await rig.becomes(each, "delivered") for each in mail]
        texts = await rig.texts()
        why = await rig.why(mail[0])

    assert [(each["state"], each["reason"]) for each in held] == [("held", "quiet")] * 2
    assert meanwhile == []
    assert len(texts) == 1
    assert "While this session was quiet, 2 messages came in" in texts[0]
    assert "subject 0" in texts[0]
    assert "subject 1" in texts[0]
    assert "body 0" not in texts[0]
    assert done[0]["turnId"] == done[1]["turnId"]
    assert "digest after quiet" in why
