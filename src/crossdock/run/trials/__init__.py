"""Trials: an event goes through a workflow for somebody to look at, and nothing of it is recorded.

- `recorded` is what is known of a finished run, by the paths of its steps;
- `turns` lets steps that stood side by side go in the order in which they ended;
- `guide` answers steps that are not performed, and leads the walk;
- `trial` takes an event through: dry, live, or along a record.

The walk is that of real runs, so that a trial can't differ from one in anything but where outcomes come from.
"""

from crossdock.run.trials.trial import TrialRunner

__all__ = ["TrialRunner"]
