"""The built-in plugins, each written against the public names of ``relay_core`` alone."""
