"""What Codex reads is frozen: any change there asks each user for new trust."""

import json
import re
import subprocess
from pathlib import Path

from relay_plugins.codex.manifest import (
    MARKETPLACE,
    PLUGIN,
    digest,
    hook_command,
    manifest_files,
    manifest_folder,
    plugin_files,
    plugin_version,
    read_plugin,
)

FROZEN = "9315b059d6f208de0c0361216905f15aea774dd1db71f067a7c194922a83f1ee"


def test_the_files_that_codex_reads_have_not_changed():
    # Whoever changes them on purpose raises plugin.json's version, and says so in the changelog:
    # every user is asked for trust again.
    assert digest(manifest_files(manifest_folder())) == FROZEN


def test_the_digest_tells_apart_what_differs_in_a_name_or_a_byte():
    assert len({digest(files) for files in ({}, {"a": b""}, {"a": b"b"}, {"ab": b""})}) == 4


def test_the_only_hook_is_the_one_of_a_starting_session():
    files = manifest_files(manifest_folder())
    hooks = json.loads(files[f"plugins/{PLUGIN}/hooks/hooks.json"])["hooks"]

    assert list(hooks) == ["SessionStart"]
    assert hook_command(files, Path("/r")) == '/bin/sh "/r/relay.sh" hook'


def test_the_only_server_is_the_one_of_the_tools_and_is_found_by_the_plugins_folder():
    files = plugin_files(manifest_files(manifest_folder()))
    plugin = json.loads(files[".codex-plugin/plugin.json"])
    servers = json.loads(files[plugin["mcpServers"].removeprefix("./")])["mcpServers"]

    assert list(servers) == [PLUGIN]
    assert servers[PLUGIN]["command"] == "/bin/sh"
    assert servers[PLUGIN]["args"] == ["./relay.sh", "mcp"]
    assert servers[PLUGIN]["cwd"] == "."


def test_the_names_that_codex_is_asked_for_are_those_of_the_files():
    files = manifest_files(manifest_folder())
    marketplace = json.loads(files[".agents/plugins/marketplace.json"])
    plugin = json.loads(files[f"plugins/{PLUGIN}/.codex-plugin/plugin.json"])

    assert marketplace["name"] == MARKETPLACE
    assert [each["name"] for each in marketplace["plugins"]] == [plugin["name"]] == [PLUGIN]
    assert plugin_version(files) == plugin["version"]


def test_the_skill_is_short_and_leaves_the_wording_to_the_context():
    skill = plugin_files(manifest_files(manifest_folder()))["skills/agent-relay/SKILL.md"].decode()

    assert skill.count("\n") <= 10
    assert re.match(r"---\nname: agent-relay\ndescription: .+\n---\n", skill)


def test_the_compiled_leavings_of_python_are_no_part_of_a_plugin(tmp_path: Path):
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_bytes(b"x")
    (tmp_path / "relay.sh").write_bytes(b"y")

    assert read_plugin(tmp_path) == {"relay.sh": b"y"}


class TestTheFrozenScript:
    """relay.sh, as Codex runs it."""

    def run(self, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        script = manifest_folder() / "plugins" / PLUGIN / "relay.sh"
        return subprocess.run(
            ["/bin/sh", script, *arguments],
            env={"HOME": str(home), "PATH": "/nowhere"},
            input="given",
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def launcher(self, home: Path, text: str, mode: int = 0o700) -> None:
        path = home / ".local" / "share" / "agent-relay" / "launcher"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(mode)

    def test_becomes_the_launcher_with_its_arguments_and_its_input(self, tmp_path: Path):
        home = tmp_path / "a b"
        self.launcher(home, '#!/bin/sh\nread -r line; echo "$1:$2:$line:$PPID:$$"\n')

        done = self.run(home, "hook", "x y")

        said = done.stdout.split(":")
        assert said[:3] == ["hook", "x y", "given"]
        assert done.returncode == 0

    def test_says_nothing_where_there_is_no_launcher(self, tmp_path: Path):
        done = self.run(tmp_path, "hook")

        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_says_nothing_where_the_launcher_may_not_be_run_or_is_a_folder(self, tmp_path: Path):
        self.launcher(tmp_path / "plain", "#!/bin/sh\necho no\n", mode=0o600)
        (tmp_path / "folder" / ".local" / "share" / "agent-relay" / "launcher").mkdir(parents=True)

        for home in ("plain", "folder"):
            done = self.run(tmp_path / home, "hook")
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
