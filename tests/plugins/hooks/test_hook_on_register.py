"""A session is labelled after the folder in which it works."""

from pathlib import PurePath

from relay_core import Registration, RegistrationPatch, hookimpl
from relay_core.testing import Harness


class FolderLabels:
    @hookimpl
    def on_register(self, registration: Registration) -> RegistrationPatch:
        return RegistrationPatch(label=PurePath(registration.cwd).name or None)


def test_hook_on_register_labels_a_session(relay: Harness) -> None:
    relay.load(FolderLabels(), "folder-labels")
    session = relay.open("/projects/shop")

    sent = relay.send("label:shop", "hello")
    relay.until(sent)

    assert "hello" in session.prompts[0]
