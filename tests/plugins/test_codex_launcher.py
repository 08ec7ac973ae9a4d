"""Where Codex is looked for, and what is said when it is not there."""

import sys
from pathlib import Path

import pytest

from relay_core import AdapterError, SettingsError
from relay_plugins.codex.launcher import find_codex


def _program(path: Path, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho codex-cli {version}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codex_cli_bin", None)


def test_the_variable_comes_before_the_path(tmp_path: Path):
    named = _program(tmp_path / "a" / "my-codex", "1.2.3")
    _program(tmp_path / "b" / "codex", "4.5.6")

    found = find_codex({"AGENT_RELAY_CODEX_BIN": str(named), "PATH": str(tmp_path / "b")})

    assert (found.path, found.version) == (named, "1.2.3")


def test_codex_on_the_path_comes_before_the_extra(tmp_path: Path):
    on_path = _program(tmp_path / "codex", "4.5.6")

    assert find_codex({"PATH": str(tmp_path)}).path == on_path


def test_the_programs_that_came_with_codex_are_put_on_its_path(tmp_path: Path):
    codex = _program(tmp_path / "vendor" / "bin" / "codex", "1.0.0")
    (tmp_path / "vendor" / "codex-path").mkdir()

    found = find_codex({"AGENT_RELAY_CODEX_BIN": str(codex)})

    assert found.extra_path == tmp_path / "vendor" / "codex-path"
    assert found.path_variable({"PATH": "/bin"}) == f"{found.extra_path}:/bin"


@pytest.mark.parametrize("value", ["nowhere/codex", "."])
def test_a_variable_that_names_no_program_is_refused(value: str):
    with pytest.raises(SettingsError, match="which AGENT_RELAY_CODEX_BIN names") as caught:
        find_codex({"AGENT_RELAY_CODEX_BIN": value})

    assert caught.value.fix


def test_a_machine_without_codex_is_told_three_ways_to_get_one(tmp_path: Path, no_extra: None):
    with pytest.raises(AdapterError, match="no Codex on this machine") as caught:
        find_codex({"PATH": str(tmp_path)})

    assert "PATH" in str(caught.value.fix)
    assert "[codex]" in str(caught.value.fix)
    assert "AGENT_RELAY_CODEX_BIN" in str(caught.value.fix)


def test_a_codex_that_does_not_run_is_told_with_its_path(tmp_path: Path):
    broken = tmp_path / "codex"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)

    with pytest.raises(AdapterError, match=f"{broken} does not run"):
        find_codex({"PATH": str(tmp_path)})
