"""What an agent can do through the relay, as tools that its model calls: an MCP server.

It keeps nothing between two lines, so that a host may be killed between them: `table` says which
tools there are, `mail`, `work`, `pairing` and `presence` what they do, `server` how they are asked.
"""
