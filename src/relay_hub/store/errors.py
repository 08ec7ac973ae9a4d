"""What can go wrong with a store; `agent-relay` ends with exit code 4 on these."""

from __future__ import annotations

from pathlib import Path

from relay_core.errors import RelayError


class StoreError(RelayError):
    """The store could not be opened or did not do what was asked."""

    code = "store_error"


class StoreDamaged(StoreError):
    """The file is no database of this hub, or its contents are damaged; nothing was changed."""

    code = "store_damaged"

    def __init__(self, path: Path, detail: str, *, fix: str | None = None) -> None:
        super().__init__(
            f"{path}: {detail}",
            fix=fix or f"restore {path} from a backup, or move it away to begin with an empty one",
        )
        self.path = path


class StoreTooNew(StoreError):
    """A newer release has migrated this database; this one must not write to it."""

    code = "store_too_new"

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path} has schema version {found}, this release knows up to {known}",
            fix="install the newer release again",
        )
        self.path = path
        self.found = found
        self.known = known


class StoreBusy(StoreError):
    """Another hub holds this database."""

    code = "store_busy"

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(
            f"{path} is held by another hub ({holder})",
            fix="use that one, or stop it with: agent-relay down",
        )
        self.path = path


class StoreUnsafe(StoreError):
    """The file or its folder belongs to somebody else, or is no regular file."""

    code = "store_unsafe"

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(f"{path}: {detail}", fix=f"look at it with: ls -l {path}")
        self.path = path


class StoreFull(StoreError):
    """There was no room to write; nothing of the refused change was kept."""

    code = "storage"


class StoreFailed(StoreError):
    """Reading or writing failed for good; the process must end, a restart finds what was
    committed."""

    code = "store_failed"
