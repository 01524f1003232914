"""Stage 1: a request becomes a recorded event; the answer.

`app` reads top to bottom like a call travels: find the integration, check the caller, read the body, check the input,
record, answer. Nothing here asks the database but the shared insert.
"""
