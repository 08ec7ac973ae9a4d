"""What a host remembers over restarts: the sessions that were attached by hand."""

from __future__ import annotations

from pathlib import Path

import msgspec

from relay_core.errors import SettingsError
from relay_core.messages import Struct
from relay_core.user_files import make_private_folder, read_user_file, replace_user_file


class Attachment(Struct):
    """One request to attach, as the adapter got it, and the keys of the sessions that it
    brought."""

    adapter: str
    request: msgspec.Raw
    keys: tuple[str, ...] = ()


class Memory(Struct):
    """The content of host.json."""

    attachments: tuple[Attachment, ...] = ()

    def with_attachment(self, attachment: Attachment) -> Memory:
        """Add one; the same request again replaces the former."""
        same = (attachment.adapter, bytes(attachment.request))
        rest = tuple(
            each for each in self.attachments if (each.adapter, bytes(each.request)) != same
        )
        return Memory(attachments=(*rest, attachment))

    def without_key(self, adapter: str, key: str) -> Memory:
        """Forget one session; a request that brought no other is forgotten with it."""
        kept: list[Attachment] = []
        for each in self.attachments:
            keys = tuple(other for other in each.keys if other != key)
            if each.adapter != adapter or key not in each.keys:
                kept.append(each)
            elif keys:
                kept.append(msgspec.structs.replace(each, keys=keys))
        return Memory(attachments=tuple(kept))


def recall(file: Path) -> Memory:
    """Read host.json; empty when there is none, SettingsError when it cannot be understood."""
    content = read_user_file(file)
    if content is None:
        return Memory()
    try:
        return msgspec.json.decode(content, type=Memory)
    except msgspec.DecodeError as error:
        fix = f"rm {file}, then attach the sessions again"
        raise SettingsError(f"cannot be read: {error}", file=file, fix=fix) from error


def remember(file: Path, memory: Memory) -> None:
    """Replace host.json in one step; 0600."""
    make_private_folder(file.parent)
    replace_user_file(file, msgspec.json.encode(memory))
