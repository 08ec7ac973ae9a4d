"""The plugins that come with Agent Relay; each uses only what any other plugin can.

`codex` reaches Codex sessions, `echo` agents that answer by themselves; `profiles` reads
profiles.json, `channels` filters by subscription, `claims` says which work a session tries for,
`delivery` decides how messages enter a session, `prompt` writes their text. Each is found through
its entry point (`relay.NAME`), can be blocked by that name, and is asked after every other plugin.
"""
