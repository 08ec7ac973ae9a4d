"""Every environment variable that anything of ours reads."""

from __future__ import annotations

from collections.abc import Mapping

from relay_cli.problems import DEBUG_VARIABLE
from relay_core import variables as core
from relay_core.variables import Reach, Variable
from relay_plugins.codex import variables as codex
from relay_plugins.profiles import variables as profiles

DEBUG = Variable(
    name=DEBUG_VARIABLE,
    meaning="Set to 1, it shows the traceback of an error, and the demo keeps its folder.",
    reach=Reach.MACHINE,
)

VARIABLES = (*core.VARIABLES, *profiles.VARIABLES, *codex.VARIABLES, DEBUG)


def session_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What of an environment counts for one session: never a token.

    HOME and the file with the profiles come with it, because profiles name folders by them.
    """
    names = [each.name for each in VARIABLES if each.reach is Reach.SESSION]
    names += ["HOME", codex.CODEX_HOME.name, profiles.FILE.name]
    return {name: environ[name] for name in names if environ.get(name)}
