"""The built wheel, in an environment that holds nothing else."""

from pathlib import Path

import pytest

from empty_venv import EmptyVenv, build

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.packaging)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = build(ROOT, into=folder)
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> EmptyVenv:
    """Our wheel with its dependencies, and nothing else."""
    environment = EmptyVenv(tmp_path_factory.mktemp("installed"))
    environment.install(wheel)
    return environment


@pytest.fixture(scope="session")
def with_pytest(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> EmptyVenv:
    """Our wheel with what the tests of a plugin need, and nothing else."""
    environment = EmptyVenv(tmp_path_factory.mktemp("testing"))
    environment.install(f"{wheel}[testing]")
    return environment
