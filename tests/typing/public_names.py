"""The names a plugin author imports are there and typed."""

import relay_core

assert relay_core.__doc__
