"""Codex's command line, made from what was typed, the environment and the approval mode."""

import pytest

from relay_plugins.codex.approval import Flags
from relay_plugins.codex.arguments import (
    BadArguments,
    CommandLine,
    NotResumed,
    Saved,
    command_line,
    ends_with_its_turn,
    read_arguments,
    wanted_thread,
)
from relay_plugins.codex.variables import SessionWishes

PLAIN = SessionWishes()
THREAD = "01a2035e-65cf-7a23-8732-e01ec8959ad9"
ALWAYS = ("--remote", "unix:///s", "-C", "/w")
SAVED = Saved(thread=THREAD, flags=Flags(approval="on-request", sandbox="workspace-write"))


def line(
    *typed: str,
    wishes: SessionWishes = PLAIN,
    mode: str | None = None,
    saved: Saved | None = None,
) -> CommandLine:
    return command_line(
        typed,
        read_arguments(typed),
        wishes,
        address="unix:///s",
        cwd="/w",
        mode=mode,
        saved=saved,
    )


def test_without_any_wish_codex_gets_an_address_and_a_folder():
    made = line()

    assert made.arguments == ALWAYS
    assert (made.mode, made.remark, made.thread) == (None, None, None)


@pytest.mark.parametrize(
    ("mode", "flags"),
    [
        ("guarded", ("-s", "workspace-write", "-a", "on-request")),
        ("read-only", ("-s", "read-only", "-a", "never")),
        ("open", ("-s", "danger-full-access", "-a", "never")),
    ],
)
def test_a_mode_becomes_two_flags_and_open_is_warned_of(mode: str, flags: tuple[str, ...]):
    made = line("do it", mode=mode)

    assert made.arguments == (*ALWAYS, *flags, "do it")
    assert made.mode == mode
    assert (made.remark is not None) == (mode == "open")


def test_codexs_own_words_in_the_environment_beat_the_mode_one_by_one():
    made = line(wishes=SessionWishes(sandbox="read-only"), mode="guarded")

    assert made.arguments == (*ALWAYS, "-s", "read-only", "-a", "on-request")
    assert made.mode == "read-only/on-request"


@pytest.mark.parametrize(
    "typed",
    [
        ("-s", "read-only"),
        ("-sread-only",),
        ("--sandbox", "read-only"),
        ("--sandbox=read-only",),
        ("-c", 'sandbox_mode="read-only"'),
    ],
)
def test_a_flag_that_is_typed_wins_over_the_mode(typed: tuple[str, ...]):
    made = line(*typed, mode="open")

    assert made.arguments == (*ALWAYS, "-a", "never", *typed)
    assert (made.mode, made.remark) == ("read-only", None)


def test_the_flag_that_gives_up_all_asking_stands_alone():
    made = line("--dangerously-bypass-approvals-and-sandbox", mode="guarded")

    assert made.arguments == (*ALWAYS, "--dangerously-bypass-approvals-and-sandbox")
    assert made.mode == "open"


def test_folder_and_model_that_are_typed_win():
    made = line("-C", "sub", "-m", "big", wishes=SessionWishes(model="small"))

    assert made.arguments == ("--remote", "unix:///s", "-C", "sub", "-m", "big")


def test_the_model_of_the_environment_is_passed_on():
    assert line(wishes=SessionWishes(model="small")).arguments == (*ALWAYS, "-m", "small")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (("resume", THREAD), ("resume", *ALWAYS, THREAD)),
        (("resume", "--last"), ("resume", *ALWAYS, "--last")),
        (("resume", "--last", "go on"), ("resume", *ALWAYS, "--last", "go on")),
        (("resume",), ("resume", *ALWAYS)),
        (("--search", "resume", THREAD), ("--search", "resume", *ALWAYS, THREAD)),
        (("fork", THREAD), ("fork", *ALWAYS, THREAD)),
    ],
)
def test_a_command_that_opens_a_session_stays_in_front(
    typed: tuple[str, ...], expected: tuple[str, ...]
):
    made = line(*typed, wishes=SessionWishes(thread_mode="resume", thread_id="other"))

    assert made.arguments == expected


@pytest.mark.parametrize(
    ("mode", "saved", "expected"),
    [
        ("start", SAVED, (*ALWAYS, "hello")),
        ("resume", SAVED, ("resume", *ALWAYS, THREAD, "hello")),
        ("auto", SAVED, ("resume", *ALWAYS, THREAD, "hello")),
        ("auto", None, (*ALWAYS, "hello")),
    ],
)
def test_the_thread_mode_of_the_environment_opens_that_thread(
    mode: str, saved: Saved | None, expected: tuple[str, ...]
):
    assert line("hello", wishes=SessionWishes(thread_mode=mode), saved=saved).arguments == expected


def test_without_a_thread_to_resume_the_thread_mode_resume_opens_none():
    with pytest.raises(NotResumed):
        line(wishes=SessionWishes(thread_mode="resume"))


@pytest.mark.parametrize(
    ("typed", "mode", "thread"),
    [
        (("resume", THREAD), "start", THREAD),
        (("resume", "--last", "go on"), "start", None),
        (("go on",), "auto", "of-the-environment"),
    ],
)
def test_it_is_known_beforehand_which_thread_is_resumed(
    typed: tuple[str, ...], mode: str, thread: str | None
):
    wishes = SessionWishes(thread_mode=mode, thread_id="of-the-environment")

    wanted = wanted_thread(read_arguments(typed), wishes)

    assert wanted is not None
    assert wanted.thread == thread


@pytest.mark.parametrize("typed", [("resume",), ("fork", THREAD), ("hello",)])
def test_or_that_it_is_not_known(typed: tuple[str, ...]):
    assert wanted_thread(read_arguments(typed), PLAIN) is None


@pytest.mark.parametrize("mode", ["open", "guarded"])
def test_a_resumed_session_gets_no_permissions_because_codex_takes_none(mode: str):
    made = line("resume", THREAD, mode=mode, saved=SAVED)

    assert made.arguments == ("resume", *ALWAYS, THREAD)
    assert (made.mode, made.remark, made.resumes) == (None, None, True)


def test_a_session_that_had_a_wider_sandbox_than_is_asked_for_is_not_resumed():
    with pytest.raises(NotResumed) as caught:
        line("resume", THREAD, mode="read-only", saved=SAVED)

    assert "workspace-write" in caught.value.detail


@pytest.mark.parametrize("typed", [("resume",), ("fork", "--last"), ("resume", "a name")])
def test_where_nobody_knows_which_session_it_will_be_the_user_is_told(typed: tuple[str, ...]):
    made = line(*typed, mode="guarded")

    assert made.remark is not None
    assert "guarded" in made.remark


def test_the_last_session_is_not_made_up_where_a_mode_is_asked_for():
    with pytest.raises(NotResumed):
        line("resume", "--last", mode="guarded")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("--add-dir", "/x"), "--add-dir"),
        (("--worktree",), "--worktree"),
        (("--no-daemon",), "--no-daemon"),
        (("--remote", "ws://127.0.0.1:1"), "--remote"),
        (("exec", "do it"), "codex exec"),
        (("-m", "x", "login"), "codex login"),
        (("resume", "--add-dir=/x"), "--add-dir"),
        (("resume", THREAD, "-s", "read-only"), "permissions"),
        (("fork", "--yolo"), "permissions"),
    ],
)
def test_what_opens_no_such_session_is_refused_and_says_what_to_do(
    typed: tuple[str, ...], told: str
):
    with pytest.raises(BadArguments) as caught:
        read_arguments(typed)

    assert told in caught.value.detail
    assert caught.value.fix


@pytest.mark.parametrize(
    "typed",
    [("--", "exec"), ("--", "--add-dir"), ("look at exec",), ("-i", "a.png", "--", "login")],
)
def test_a_prompt_is_no_command(typed: tuple[str, ...]):
    made = line(*typed)

    assert made.arguments == (*ALWAYS, *typed)


def test_values_of_options_are_no_words():
    typed = read_arguments(("-m", "resume", "-c", "a=exec", "--enable", "login", "-C", "/x"))

    assert (typed.command, typed.model, typed.cwd) == (None, "resume", "/x")


@pytest.mark.parametrize("typed", [("--help",), ("exec", "--help"), ("resume", "-h"), ("-V",)])
def test_help_and_version_open_no_session(typed: tuple[str, ...]):
    assert read_arguments(typed).asks_only


@pytest.mark.parametrize(
    ("typed", "ends"),
    [
        ((), False),
        (("exec", "do it"), True),
        (("-m", "gpt", "e", "do it"), True),
        (("-p", "review"), False),
        (("-C", "exec", "look"), False),
        (("resume", "review"), False),
        (("--", "exec"), False),
    ],
)
def test_what_ends_with_its_turn_is_told_by_the_command(typed: tuple[str, ...], *, ends: bool):
    assert ends_with_its_turn(typed) is ends
