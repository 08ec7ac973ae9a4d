"""Profiles: environment beats profile beats default, and a broken file opens nothing."""

import json
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_core import Registration, RegistrationPatch, SettingsError
from relay_core.testing import Asked
from relay_plugins.profiles.choice import matched
from relay_plugins.profiles.located import BadJson, plain, read

on_register = Asked("relay.profiles").on_register

SEED = {
    "frontend-developer": {
        "label": "frontend dev",
        "tags": ["frontend", "ui"],
        "capabilities": ["chat", "review", "frontend"],
        "channels": ["frontend"],
        "approval": "guarded",
    }
}
NAMED = {"AGENT_RELAY_PROFILE": "frontend-developer"}


class File:
    """The profiles.json of this test's own HOME."""

    def __init__(self) -> None:
        self.path = Path(os.environ["AGENT_RELAY_HOME"]) / "config" / "profiles.json"
        self.path.parent.mkdir(parents=True)

    def write(self, profiles: object) -> None:
        self.path.write_text(profiles if isinstance(profiles, str) else json.dumps(profiles))
        self.path.chmod(0o600)


@pytest.fixture
def file() -> File:
    return File()


def registered(
    environ: dict[str, str] | None = None, cwd: str = "/srv/shop", **fields: object
) -> RegistrationPatch:
    registration = Registration(adapter="codex", provider="codex", cwd=cwd, thread_id="t", **fields)
    return on_register(registration, environ or {})


def refused(environ: dict[str, str] | None = None, cwd: str = "/srv/shop") -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        registered(environ, cwd)
    assert "\n" not in caught.value.detail
    return caught.value


def meta(patch: RegistrationPatch) -> dict[str, object]:
    return {key: msgspec.json.decode(value) for key, value in (patch.meta or {}).items()}


# --- what counts -----------------------------------------------------------------------------


def test_without_a_file_and_variables_there_are_defaults():
    assert registered() == RegistrationPatch(
        tags=("codex", "codex-live", "shop"), capabilities=("chat",), channels=()
    )


def test_the_profile_of_the_documentation_works_as_it_stands_there(file: File):
    file.write(SEED)
    patch = registered(NAMED)

    assert patch.label == "frontend dev"
    assert patch.tags == ("codex", "codex-live", "shop", "frontend", "ui")
    assert patch.capabilities == ("chat", "review", "frontend")
    assert patch.channels == ("frontend",)
    assert patch.approval == "guarded"
    assert patch.profile == "frontend-developer"
    assert meta(patch) == {"profile": "frontend-developer"}


ENVIRONMENT = {
    "AGENT_RELAY_LABEL": " mine ",
    "AGENT_RELAY_TAGS": "x, y,,x",
    "AGENT_RELAY_CAPS": "deploy",
    "AGENT_RELAY_CHANNELS": "ops",
    "AGENT_RELAY_APPROVAL": "read-only",
    "AGENT_RELAY_CODEX_RIG": "my-rig",
}


def test_the_environment_beats_the_profile_field_by_field(file: File):
    file.write(SEED)
    patch = registered({**NAMED, **ENVIRONMENT})

    assert patch.label == "mine"
    assert patch.tags == ("codex", "my-rig", "shop", "x", "y")
    assert patch.capabilities == ("deploy",)
    assert patch.channels == ("ops",)
    assert patch.approval == "read-only"
    assert patch.profile == "frontend-developer"


@pytest.mark.parametrize("name", [name for name in ENVIRONMENT if name.endswith(("TAGS", "CAPS"))])
@pytest.mark.parametrize("value", ["", ",,", " , "])
def test_a_list_of_nothing_counts_as_not_set(file: File, name: str, value: str):
    file.write(SEED)

    assert registered({**NAMED, name: value}) == registered(NAMED)


def test_a_variable_of_this_process_counts_for_no_session(file: File, monkeypatch):
    file.write(SEED)
    for name, value in {**NAMED, **ENVIRONMENT}.items():
        monkeypatch.setenv(name, value)

    assert registered().profile is None
    assert registered().label is None


def test_a_session_without_a_folder_has_an_unknown_project():
    assert registered(cwd="/").tags == ("codex", "codex-live", "unknown")
    assert registered(cwd="/a/b\nc/").tags == ("codex", "codex-live", "unknown")


def test_what_the_adapter_knows_is_kept_behind():
    assert registered(tags=("seen",)).tags == ("codex", "codex-live", "shop", "seen")


def test_meta_of_a_profile_is_passed_on(file: File):
    file.write({"a": {"meta": {"team": "blue", "size": [1, {"x": None}]}}})

    patch = registered({"AGENT_RELAY_PROFILE": "a"})
    assert meta(patch) == {"team": "blue", "size": [1, {"x": None}], "profile": "a"}


def test_the_file_can_be_another_one(tmp_path: Path, monkeypatch):
    other = tmp_path / "mine.json"
    other.write_text('{"a": {"label": "other"}}')
    named = {"AGENT_RELAY_PROFILE": "a"}

    assert registered({**named, "AGENT_RELAY_PROFILES_FILE": str(other)}).label == "other"
    monkeypatch.setenv("AGENT_RELAY_PROFILES_FILE", str(other))
    assert registered(named).label == "other"
    tilde = {"AGENT_RELAY_PROFILES_FILE": "~/mine.json", "HOME": str(tmp_path)}
    assert registered({**named, **tilde}).label == "other"


@pytest.mark.parametrize("path", ["profiles.json", "./x", "$HOME/x", "~bob/x", "/x\0y"])
def test_a_path_that_is_not_absolute_is_refused(path: str):
    assert "no absolute path" in refused({"AGENT_RELAY_PROFILES_FILE": path}).detail


# --- what is refused -------------------------------------------------------------------------


def test_a_name_without_a_file_is_refused():
    error = refused(NAMED)

    assert "no such file" in error.detail
    assert error.fix is not None


@pytest.mark.parametrize(
    "name", ["frontend", "Frontend-Developer", "__proto__", "../x", "constructor"]
)
def test_a_name_that_is_not_there_is_refused(file: File, name: str):
    file.write(SEED)

    assert f"there is no profile {name!r}" in refused({"AGENT_RELAY_PROFILE": name}).detail


def test_a_name_that_is_nearly_right_is_pointed_out_and_the_advice_mends_it(file: File):
    file.write(SEED)
    fix = refused({"AGENT_RELAY_PROFILE": "frontend-develper"}).fix or ""

    better = fix.removeprefix("did you mean ").removesuffix("?")
    assert registered({"AGENT_RELAY_PROFILE": better}).label == "frontend dev"


@pytest.mark.parametrize("approval", ["Open ", "OPEN", "root", "full", "open,guarded"])
def test_an_unknown_approval_mode_in_the_environment_is_refused(approval: str):
    assert "no approval mode" in refused({"AGENT_RELAY_APPROVAL": approval}).detail


@pytest.mark.parametrize("name", ["AGENT_RELAY_LABEL", "AGENT_RELAY_TAGS", "AGENT_RELAY_CAPS"])
@pytest.mark.parametrize("value", ["a\nb", "\x1b[2J", "\u202eabc", "x" * 129])
def test_words_that_cannot_be_shown_are_refused(name: str, value: str):
    assert refused({name: value}).detail.startswith(name)


def test_a_list_without_end_is_refused():
    assert (
        "more than 100" in refused({"AGENT_RELAY_CAPS": ",".join(map(str, range(10_000)))}).detail
    )


# The file's text, the line of the mistake, and what the error says. A session in any folder is
# refused, whether it names a profile or not.
BROKEN = [
    ("", 1, "ends too early"),
    ("{", 1, "expected a key"),
    ("[]", 1, "must be an object"),
    ("null", 1, "must be an object"),
    ('{"a": 1}', 1, "profile a must be an object"),
    ('{\n"a": {"tags": "x"}}', 2, "a.tags must be a list"),
    ('{"a": {"tags": [\n1]}}', 2, "a.tags must be a string"),
    ('{"a": {"tags": [""]}}', 1, "is empty"),
    ('{"a": {"label": null}}', 1, "a.label must be a string"),
    ('{"a": {"label": " "}}', 1, "is empty"),
    ('{"a": {"label": "x\\u001by"}}', 1, "cannot be shown"),
    ('{"a": {"label": "x\\u202ey"}}', 1, "cannot be shown"),
    ('{"a": {"approval": "Open "}}', 1, "no approval mode"),
    ('{"a": {"approval": "OPEN"}}', 1, "no approval mode"),
    ('{"a":\n{"approval": null}}', 2, "no approval mode"),
    ('{"a": {"approval": ["open"]}}', 1, "no approval mode"),
    ('{"a": {"capabilities": ["a,b"]}}', 1, "holds a comma"),
    ('{"a": {"channels": [""]}}', 1, "is empty"),
    ('{"a": {"channels": ["*"]}}', 1, "is no channel"),
    ('{"a": {"meta": []}}', 1, "a.meta must be an object"),
    ('{"a": {"match": "relative"}}', 1, "no absolute folder"),
    ('{"a": {"match": 7}}', 1, "a.match must be a string"),
    ('{"a": {"aproval": "open"}}', 1, "a.aproval is no setting"),
    ('{"": {}}', 1, "an entry is empty"),
    ('{"a\\u0000": {}}', 1, "cannot be shown"),
    ('{"a": {},\n\n"a": {}}', 3, "the key 'a' stands here again, first in line 1"),
    ('{"a": {"label": "x",\n"label": "y"}}', 2, "stands here again"),
    ('{"a": {}, }', 1, "expected a key"),
    ('{"a": [1,]}', 1, "no JSON value"),
    ("// comment\n{}", 1, "no JSON value"),
    ('{"a": NaN}', 1, "no JSON value"),
    ('{"a": {"meta": {"x": 1e999}}}', 1, "too large"),
    ('{"a": {"meta": {"x": "\\ud800"}}}', 1, "surrogate"),
    ('{"a": {"meta": {"x": "\\q"}}}', 1, "escape"),
    ('{"a": {}} x', 1, "more after the end"),
    ('{"a": {"meta": ' + "[" * 100_000, 1, "nested"),
    ('{"a": {"label": "' + "\n" + '"}}', 1, "control character"),
]


@pytest.mark.parametrize(("text", "line", "detail"), BROKEN)
def test_a_broken_file_refuses_every_session_with_its_line(
    file: File, text: str, line: int, detail: str
):
    file.write(text)

    for environ in ({}, NAMED):
        error = refused(environ)
        assert error.detail.startswith(f"{file.path}:{line}: ")
        assert detail in error.detail


RESERVED = ["threadId", "approvalMode", "appServerUrl", "channels", "cwd", "profile", "epoch"]


@pytest.mark.parametrize("key", RESERVED)
def test_meta_says_nothing_that_only_the_host_knows(file: File, key: str):
    file.write({"a": {"meta": {key: "x"}}})

    assert f"a.meta.{key} cannot be set" in refused().detail


def test_a_profile_is_no_place_for_large_meta(file: File):
    file.write({"a": {"meta": {"x": "y" * 20_000}}})

    assert "larger than" in refused().detail


def test_keys_of_other_programs_are_left_alone(file: File):
    file.write({"a": {"label": "x", "claude": {"hooks": []}, "theme": "dark"}})

    assert registered({"AGENT_RELAY_PROFILE": "a"}).label == "x"


def test_a_file_that_is_there_but_cannot_be_read_is_not_missing(file: File):
    file.path.mkdir()
    assert "not a regular file" in refused().detail

    file.path.rmdir()
    file.write(SEED)
    file.path.chmod(0o666)
    assert "can be written by others" in refused().detail

    file.path.write_bytes(b"\xef\xbb\xbf{}")
    file.path.chmod(0o600)
    assert "byte order mark" in refused().detail


# --- match -----------------------------------------------------------------------------------

FOLDERS = {
    "everything": {"match": "/"},
    "work": {"match": ["/srv/work", "~/work/"]},
    "front": {"match": ["/srv/work/*/front"]},
    "shop": {"match": "/srv/work/shop"},
}


@pytest.mark.parametrize(
    ("cwd", "profile"),
    [
        ("/", "everything"),
        ("/etc", "everything"),
        ("/srv/work", "work"),
        ("/srv/work/", "work"),
        ("/srv/worker", "everything"),
        ("/srv/work/bank/back", "work"),
        ("/srv/work/bank/front", "front"),
        ("/srv/work/bank/front/src/deep", "front"),
        ("/srv/work/a/b/front", "work"),
        ("/srv/work/shop/front", "shop"),
        ("/home/me/work/x", "work"),
        ("/home/me/workshop", "everything"),
    ],
)
def test_the_longest_literal_beginning_wins(file: File, cwd: str, profile: str):
    file.write(FOLDERS)

    assert registered({"HOME": "/home/me"}, cwd).profile == profile


def test_a_named_profile_beats_every_match(file: File):
    file.write(FOLDERS)

    assert registered({"AGENT_RELAY_PROFILE": "shop"}, "/etc").profile == "shop"


def test_two_profiles_that_match_equally_well_are_an_error_that_names_both(file: File):
    file.write('{"one": {"match": "/srv/a"},\n"two": {"match": ["/x", "/srv/a/"]}}')

    error = refused(cwd="/srv/a/b")
    assert "one and two" in error.detail
    assert error.line == 2
    assert registered(cwd="/x").profile == "two"


@pytest.mark.parametrize(
    ("pattern", "folder", "length"),
    [
        ("/a", "/a", 2),
        ("/a", "/a/b", 2),
        ("/a", "/ab", None),
        ("/a/*", "/a/b", 3),
        ("/a/*", "/a", None),
        ("/a/*", "/a/b/c", 3),
        ("/a/?", "/a/bb", None),
        ("/a/**/z", "/a/z", 3),
        ("/a/**/z", "/a/b/c/z", 3),
        ("/a/**", "/b", None),
        ("/a.c", "/abc", None),
        ("/a[bc]", "/ab", None),
        ("~", "/home/me/x", 8),
    ],
)
def test_a_pattern_matches_a_folder_and_all_below(pattern: str, folder: str, length: int | None):
    assert matched(pattern, folder, "/home/me") == length


def test_without_a_home_nothing_below_it_matches():
    assert matched("~/x", "/x", "") is None


# --- the reader ------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from([None, 1]))
def test_what_any_other_writer_writes_is_read_as_it_was_meant(value: object, indent: int | None):
    assert plain(read(json.dumps(value, indent=indent))) == value


@given(st.text(alphabet='{}[]:,"\\ua0-1.eE \ntrfn', max_size=30))
def test_no_text_makes_the_reader_fail_in_another_way_and_it_takes_no_more_than_others(text: str):
    try:
        mine = plain(read(text))
    except BadJson as error:
        assert 1 <= error.line <= text.count("\n") + 1  # noqa: PT017
        return
    assert json.loads(text) == mine
