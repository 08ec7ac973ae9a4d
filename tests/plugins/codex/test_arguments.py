"""Codex's command line, made from what was typed, the environment and the approval mode."""

import pytest

from relay_plugins.codex.arguments import BadArguments, CommandLine, command_line, read_arguments
from relay_plugins.codex.variables import SessionWishes

PLAIN = SessionWishes()
THREAD = "01a2035e-65cf-7a23-8732-e01ec8959ad9"
ALWAYS = ("--remote", "unix:///s", "-C", "/w")


def line(
    *typed: str, wishes: SessionWishes = PLAIN, mode: str | None = None, is_saved: bool = False
) -> CommandLine:
    return command_line(
        typed,
        read_arguments(typed),
        wishes,
        address="unix:///s",
        cwd="/w",
        mode=mode,
        is_saved=is_saved,
    )


def test_without_any_wish_codex_gets_an_address_and_a_folder():
    made = line()

    assert made.arguments == ALWAYS
    assert (made.mode, made.warning, made.thread) == (None, None, None)


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
    assert (made.warning is not None) == (mode == "open")


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
    assert (made.mode, made.warning) == ("read-only", None)


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
    ("typed", "thread", "expected"),
    [
        (("resume", THREAD), THREAD, ("resume", *ALWAYS, THREAD)),
        (("resume", "--last"), None, ("resume", *ALWAYS, "--last")),
        (("resume", "--last", "go on"), None, ("resume", *ALWAYS, "--last", "go on")),
        (("resume",), None, ("resume", *ALWAYS)),
        (("--search", "resume", THREAD), THREAD, ("--search", "resume", *ALWAYS, THREAD)),
        (("fork", THREAD), None, ("fork", *ALWAYS, THREAD)),
    ],
)
def test_a_command_that_opens_a_session_stays_in_front(
    typed: tuple[str, ...], thread: str | None, expected: tuple[str, ...]
):
    made = line(*typed, wishes=SessionWishes(thread_mode="resume", thread_id="other"))

    assert (made.arguments, made.thread) == (expected, thread)


@pytest.mark.parametrize(
    ("mode", "thread", "is_saved", "expected"),
    [
        ("start", THREAD, True, (*ALWAYS, "hello")),
        ("resume", THREAD, True, ("resume", *ALWAYS, THREAD, "hello")),
        ("resume", THREAD, False, ("resume", *ALWAYS, THREAD, "hello")),
        ("resume", None, False, ("resume", *ALWAYS, "--last", "hello")),
        ("auto", THREAD, True, ("resume", *ALWAYS, THREAD, "hello")),
        ("auto", THREAD, False, (*ALWAYS, "hello")),
        ("auto", None, False, ("resume", *ALWAYS, "--last", "hello")),
    ],
)
def test_the_thread_mode_of_the_environment_opens_that_thread(
    mode: str,
    thread: str | None,
    is_saved: bool,  # noqa: FBT001 - a column of the table
    expected: tuple[str, ...],
):
    wishes = SessionWishes(thread_mode=mode, thread_id=thread)

    assert line("hello", wishes=wishes, is_saved=is_saved).arguments == expected


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
