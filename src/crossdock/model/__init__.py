"""What Crossdock is about: its words, states and decisions.

Rules of this package: standard library only, no input or output, no clock and no randomness of its own. `now` is an
`Instant` handed in by the caller.
"""
