"""A program of its own: runs Codex's terminal UI in the foreground and its app-server beside it.

It needs the standard library alone, because it lives as long as the session, and ends both
together. Two processes share the work. The keeper stays in the foreground as the parent of the
terminal UI: it passes signals and the exit status on. The guardian, its child in a session of its
own, starts the app-server, tells the host about it, and removes everything once the keeper is gone,
however it went: a pipe between them ends with either.
"""
