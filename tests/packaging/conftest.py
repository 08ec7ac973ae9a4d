"""The built wheel, in an environment that holds nothing else."""

import sys
from pathlib import Path

import pytest

from empty_venv import EmptyVenv, call

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.packaging)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> EmptyVenv:
    """Our wheel with its dependencies, and nothing else."""
    environment = EmptyVenv(tmp_path_factory.mktemp("installed"))
    environment.install(wheel)
    return environment
