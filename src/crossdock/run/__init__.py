"""Stage 2: a run goes through its workflow.

compile     a workflow document becomes steps that can be performed
walk        one run goes through them; what it did is journalled
steps/      one file for each kind of step
functions   the Python functions that `python` steps call
processes/  worker processes, for functions that may hang or crash and for JSONata
stage       which run is worked on when, and how its end is recorded
"""
