"""What is kept of a decision, on disk and off it."""

import asyncio
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
import pytest

from relay_core import AgentId, DeliveryPlan, MessageId, Part, Prompt, SettingsError
from relay_core.decision_file import DecisionFile, append, older, read
from relay_core.plans import Decision
from relay_core.recorded import Inquiry, MemoryRecord, as_asked, digest, last_of_each, recorded
from values import NOW_MS, message, session

SECRET = "the words of a peer"
ONE = MessageId(1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "decisions.jsonl"


def answer(plugin: str, value: object, *, chosen: bool = False) -> Decision:
    raw = msgspec.Raw(msgspec.json.encode(value))
    return Decision(hook="choose_delivery", plugin=plugin, answer=raw, chosen=chosen)


def planned(number: int = 1, *, now: int = NOW_MS, reason: str | None = None, **fields: object):
    plan = DeliveryPlan.start(reason=reason)
    return Inquiry(
        hook="choose_delivery",
        session=session(now=now),
        messages=[message(number, body=SECRET, subject=SECRET, **fields)],
        result=plan,
        trace=(answer("quiet", None), answer("relay.delivery", plan, chosen=True)),
    )


def prompted(text: str = SECRET) -> Inquiry:
    prompt = Prompt(parts=(Part(message_id=ONE, body=text),))
    return Inquiry(
        hook="format_prompt",
        session=session(),
        messages=[message(1, body=text)],
        result=prompt,
        trace=(),
        plan=DeliveryPlan.start(),
    )


def record(file: Path, **options: int) -> DecisionFile:
    return DecisionFile(file, host="0.1.0", versions={"quiet": "2.1"}, **options)


async def written(file: Path, *inquiries: Inquiry, **options: int) -> None:
    kept = record(file, **options)
    for each in inquiries:
        kept.add(each)
        await kept.flush()


# --- what is kept ----------------------------------------------------------------------------


def test_a_decision_is_kept_with_who_asked_and_what_each_version_answered():
    kept = recorded(planned(), host="0.1.0", versions={"quiet": "2.1"})

    assert (kept.hook, kept.host, kept.at_ms) == ("choose_delivery", "0.1.0", NOW_MS)
    assert [(each.plugin, each.version, each.chosen) for each in kept.answers] == [
        ("quiet", "2.1", False),
        ("relay.delivery", "", True),
    ]
    assert kept.session == session()


@pytest.mark.parametrize("inquiry", [planned(), prompted()], ids=lambda each: each.hook)
def test_no_word_of_a_message_is_kept(inquiry: Inquiry):
    assert SECRET.encode() not in msgspec.json.encode(recorded(inquiry, host="1", versions={}))


def test_a_prompt_is_kept_as_a_digest_that_tells_another_text():
    first, second = (
        recorded(prompted(text), host="1", versions={}) for text in ("yes, do", "no, dont")
    )

    assert first.digest != second.digest
    assert isinstance(prompted().result, Prompt)
    assert recorded(prompted(), host="1", versions={}).digest == digest(prompted().result)


def test_a_message_of_the_hub_is_shown_as_it_was_asked_about():
    asked = message(1, claimed_by=AgentId("codex-demo-1"), claim_expires_at=NOW_MS + 5)
    inquiry = msgspec.structs.replace(planned(), messages=[asked])
    (kept,) = recorded(inquiry, host="1", versions={}).messages

    later = message(1, claimed_by=AgentId("another"), claimed_at=NOW_MS + 9)

    assert as_asked(kept, later) == asked


def test_every_field_of_a_message_comes_from_the_hub_or_from_the_record():
    fields = {"edited_by": AgentId("operator"), "claimed_at": 5, "channel": "ops", "hop": 3}
    asked = message(1, **fields)
    inquiry = msgspec.structs.replace(planned(), messages=[asked])
    (kept,) = recorded(inquiry, host="1", versions={}).messages

    assert as_asked(kept, msgspec.structs.replace(asked, edited_by=None, claimed_at=None)) == asked


def test_of_each_hook_the_last_decision_counts_in_the_order_of_the_hooks():
    record = MemoryRecord()
    for inquiry in (prompted(), planned(reason="first"), planned(reason="last")):
        record.add(inquiry)

    chosen = last_of_each(record.decisions)

    assert [each.hook for each in chosen] == ["choose_delivery", "format_prompt"]
    assert b"last" in bytes(chosen[0].result)


# --- the file --------------------------------------------------------------------------------


async def test_what_was_written_is_read_back(file: Path):
    await written(file, planned(1), prompted())

    found = read(file, ONE, NOW_MS)

    assert [each.hook for each in found.decisions] == ["choose_delivery", "format_prompt"]
    assert found.decisions[0] == recorded(planned(1), host="0.1.0", versions={"quiet": "2.1"})
    assert found.damaged == 0


async def test_a_message_of_the_same_number_in_another_store_is_another(file: Path):
    await written(file, planned(1))

    assert read(file, ONE, NOW_MS + 1).decisions == ()
    assert read(file, ONE).decisions != ()
    assert read(file, MessageId(11)).decisions == ()


async def test_the_file_is_private_also_where_it_was_not(file: Path):
    await written(file, planned(1))
    file.chmod(0o644)
    await written(file, planned(2))

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_a_decision_that_only_repeats_the_last_one_is_not_written_again(file: Path):
    kept = record(file)
    for now in (NOW_MS, NOW_MS + 1, NOW_MS + 2):
        kept.add(planned(1, now=now))
    kept.add(planned(1, now=NOW_MS + 3, reason="another"))
    await kept.flush()

    assert [each.at_ms for each in read(file, ONE).decisions] == [NOW_MS, NOW_MS + 3]


async def test_decisions_are_written_by_themselves_in_batches(file: Path):
    kept = record(file)
    writing = asyncio.create_task(kept.keep())
    kept.add(planned(1))
    async with asyncio.timeout(20):
        while not file.exists() or not read(file, ONE).decisions:
            await asyncio.sleep(0.01)
    writing.cancel()
    await asyncio.wait([writing])


async def test_a_long_file_is_set_aside_and_still_read(file: Path):
    inquiries = [planned(number) for number in range(1, 7)]
    line = len(msgspec.json.encode(recorded(planned(1), host="0.1.0", versions={"quiet": "2.1"})))
    await written(file, *inquiries, limit_bytes=3 * line)

    assert file.stat().st_size <= 3 * line
    assert older(file).stat().st_size <= 3 * line
    assert read(file, MessageId(6)).decisions
    assert read(file, MessageId(4)).decisions
    assert not read(file, ONE).decisions


async def test_half_a_line_costs_that_line_alone(file: Path):
    await written(file, planned(1))
    with file.open("ab") as stream:
        stream.write(b'{"hook":"on_message","messages":[{"id":1,"crea')
    await written(file, planned(1, now=NOW_MS + 1))

    found = read(file, ONE)

    assert [each.at_ms for each in found.decisions] == [NOW_MS, NOW_MS + 1]
    assert found.damaged == 1


@pytest.mark.parametrize("line", [b'{"id":1,}', b"\xff\xfe", b'{"id":1,"hook":3}'])
async def test_a_damaged_line_is_skipped_and_counted(file: Path, line: bytes):
    await written(file, planned(1))
    append(file, line + b"\n")
    await written(file, planned(1, now=NOW_MS + 1))

    found = read(file, ONE)

    assert (len(found.decisions), found.damaged) == (2, 1)


def _append_many(file: Path, letter: str) -> None:
    for number in range(200):
        append(file, f"{letter * 3000}{number}\n".encode(), 200_000)


def test_two_hosts_on_one_folder_write_whole_lines(file: Path):
    # The lock is an open file's, not a process's: threads meet it as processes do.
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(partial(_append_many, file), "ab"))

    lines = [line for path in (older(file), file) for line in path.read_text().splitlines()]

    assert {len(line.rstrip("0123456789")) for line in lines} == {3000}
    assert all(len(set(line.rstrip("0123456789"))) == 1 for line in lines)


async def test_what_the_disk_does_not_take_stops_nothing_and_is_said_once(
    file: Path, caplog: pytest.LogCaptureFixture
):
    file.mkdir(parents=True)

    await written(file, planned(1), planned(2))

    assert len([each for each in caplog.messages if "not recorded" in each]) == 1


async def test_of_what_a_slow_disk_cannot_take_the_number_is_said(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("relay_core.decision_file.MOST_WAITING", 2)
    kept = record(file)
    for number in range(1, 6):
        kept.add(planned(number))

    await kept.flush()

    assert "3 decisions were not written" in caplog.text
    assert read(file, MessageId(2)).decisions
    assert not read(file, MessageId(3)).decisions


async def test_a_link_in_the_place_of_the_file_is_not_followed(file: Path, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    file.parent.mkdir()
    file.symlink_to(elsewhere)

    await written(file, planned(1))

    assert elsewhere.read_text() == ""
    with pytest.raises(SettingsError, match="cannot be read"):
        read(file, ONE)


async def test_a_folder_whose_name_is_no_text_costs_that_decision_alone(file: Path):
    strange = os.fsdecode(b"/tmp/\xff")
    inquiry = msgspec.structs.replace(planned(1), session=session(cwd=strange))

    await written(file, inquiry, planned(2))

    assert read(file, MessageId(2)).decisions
