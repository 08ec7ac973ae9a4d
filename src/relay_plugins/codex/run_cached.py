"""Runs a file of this folder from Python's cache: ``python -I -S run_cached.py FILE ARGUMENT …``.

Python compiles the script that it is given anew each time, which for the hook takes a fifth of its
whole run. This one is short; the file that it runs comes compiled, as an import would.
"""

import sys
from _frozen_importlib_external import SourceFileLoader

del sys.argv[0]
exec(SourceFileLoader("__main__", sys.argv[0]).get_code("__main__"), {"__name__": "__main__"})  # type: ignore[arg-type] # noqa: S102
