"""The command line: thin commands over the admin API of a running server, and a few that work without one.

What a command needs is imported when it runs, because a command that lists three integrations must not wait for a
database driver. Exit codes: 0 done, 1 failed, 2 wrong usage.
"""
