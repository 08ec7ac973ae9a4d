"""The demo: a message becomes a turn in a real session, in a throwaway home, seen twice."""
