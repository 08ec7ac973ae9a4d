"""Finds what is wrong with an installation: facts are gathered, judged, shown, and some mended.

`looking` gathers, `judging` turns facts into findings, `kinds` is the table of all findings,
`mending` does what is safe.
"""
