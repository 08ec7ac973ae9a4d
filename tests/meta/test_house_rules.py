"""The rules of the tests, tried on small test runs of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


class Run:
    """Runs pytest on one file as if it stood in ``tests``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.home = folder / "real-home"
        self.home.mkdir()

    def __call__(self, source: str, **environ: str) -> subprocess.CompletedProcess[str]:
        (self._folder / "conftest.py").write_text((TESTS / "conftest.py").read_text())
        (self._folder / "test_it.py").write_text(source)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PYTHONPATH": str(TESTS / "fixtures"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AGENT_RELAY_TEST_GRACE_SECONDS": "0.2",
            # The rules are our own; to rewrite every other plugin's asserts takes a second.
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            **environ,
        }
        return subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "--assert=plain", "-p", "no:cacheprovider"),
                *("-q", "test_it.py"),
            ],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_a_file_left_in_the_real_home_fails_the_run(run: Run):
    done = run(f"def test_it():\n    open({str(run.home / 'left')!r}, 'w').close()\n")

    assert done.returncode == 1
    assert "new in the real HOME: left" in done.stdout


def test_a_listening_socket_left_open_fails_the_run(run: Run):
    done = run(
        "import socket\nkept = []\ndef test_it():\n"
        "    kept.append(socket.create_server(('127.0.0.1', 0)))\n"
    )

    assert done.returncode == 1
    assert "listening socket: tcp" in done.stdout


def test_a_detached_process_left_running_fails_the_run(run: Run):
    done = run(
        "import subprocess, sys\ndef test_it():\n"
        "    code = 'import time; time.sleep(20)'\n"
        '    start = f\'import subprocess, sys; p = subprocess.Popen([sys.executable, "-c", '
        "{code!r}], start_new_session=True, stdout=-3, stderr=-3); print(p.pid)'\n"
        "    pid = subprocess.run([sys.executable, '-W', 'ignore', '-c', start], check=True,\n"
        "        capture_output=True, text=True).stdout\n"
        "    open('pid', 'w').write(pid)\n"
    )
    left = int((run.home.parent / "pid").read_text())
    os.kill(left, 9)

    assert done.returncode == 1
    assert f"process {left} still runs" in done.stdout


def test_a_skip_that_is_not_listed_fails_the_run_in_ci_only(run: Run):
    source = "import pytest\ndef test_it():\n    pytest.skip('no such thing here')\n"

    at_home = run(source)
    in_ci = run(source, CI="true")

    assert at_home.returncode == 0
    assert "NOT RUN HERE" in at_home.stdout
    assert "1 x no such thing here" in at_home.stdout
    assert in_ci.returncode == 1
    assert "is not in tests/skips.toml" in in_ci.stdout


def test_no_setting_of_the_caller_reaches_a_test(run: Run):
    done = run(
        "import os\ndef test_it():\n"
        "    assert 'AGENT_RELAY_TOKEN' not in os.environ\n"
        "    assert 'CODEX_HOME' not in os.environ\n"
        f"    assert os.environ['HOME'] != {str(run.home)!r}\n",
        AGENT_RELAY_TOKEN="secret",
        CODEX_HOME="/nowhere",
    )

    assert done.returncode == 0, done.stdout
