"""What every ring of the tests shares; the parts are in ``tests/fixtures``."""

pytest_plugins = [
    "isolation",
    "leak_check",
    "skip_list",
    "codex_runs",
    "real_codex",
    "plain_codex",
    "hypothesis_profile",
]
