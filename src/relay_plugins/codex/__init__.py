"""The Codex adapter: live sessions of Codex as agents on the relay."""
