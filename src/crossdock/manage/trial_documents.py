"""Trials as JSON documents. Pure."""

from __future__ import annotations

import msgspec

from crossdock.manage.event_documents import failure_document, request_document, result_document
from crossdock.model.event import Event
from crossdock.model.outcome import Json, Result
from crossdock.model.run import StepStatus
from crossdock.model.time import format_instant
from crossdock.model.trial import Answered, Trial, TrialMode, TrialStep

SHOWN_STEPS = 500
SHOWN_BYTES = 4 * 1024 * 1024
"""Of inputs and outputs together; what is more is told by its size."""
_ALWAYS_SHOWN = 64


def trial_document(event: Event, trial: Trial, mode: TrialMode, *, answer: Result, reply: Json) -> Json:
    """`answer` is what the caller would get, `reply` the message that would be sent, or null."""
    shown = _shown(trial.steps)
    room = _Room()
    document = {
        "mode": mode.value,
        "status": trial.status.value,
        "event": {"id": event.id, "request": request_document(event.request, None)},
        "steps": [_step_document(step, room) for step in shown],
        "steps_total": len(trial.steps),
        "result": None if trial.result is None else result_document(trial.result),
        "answer": result_document(answer),
        "reply": reply,
        "error": failure_document(trial.failure),
        "unused_recorded": list(trial.unused),
    }
    return _readable(document)


def _shown(steps: tuple[TrialStep, ...]) -> list[TrialStep]:
    """Those that failed and those of the workflow itself before those inside of blocks, in their order."""
    if len(steps) <= SHOWN_STEPS:
        return list(steps)
    important = sorted(range(len(steps)), key=lambda number: (_rank(steps[number]), number))[:SHOWN_STEPS]
    return [steps[number] for number in sorted(important)]


def _rank(step: TrialStep) -> int:
    if step.record.status is StepStatus.FAILED:
        return 0
    return 2 if "." in step.record.id else 1


class _Room:
    """What inputs and outputs may still take."""

    def __init__(self) -> None:
        self._left = SHOWN_BYTES

    def show(self, value: Json) -> Json:
        size = len(msgspec.json.encode(_readable(value)))
        if size > max(self._left, _ALWAYS_SHOWN):
            return {"truncated": True, "size": size}
        self._left -= size
        return value


def _step_document(step: TrialStep, room: _Room) -> Json:
    record = step.record
    document = {
        "id": record.id,
        "type": record.kind,
        "status": record.status.value,
        "input": room.show(record.input),
        "output": room.show(record.output),
        "error": failure_document(record.error),
        "answered": step.answered.value,
        "simulated": step.answered is Answered.SIMULATED,
        "recorded": step.answered in (Answered.RECORDED, Answered.GIVEN),
        "would": room.show(step.would),
        "because_of": list(step.because_of),
    }
    if record.until is not None:
        document["until"] = format_instant(record.until)
    return document


def _readable(value: Json) -> Json:
    """The value without halves of surrogate pairs, which no JSON answer could tell."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return _replaced(value)
    return value


def _replaced(value: Json) -> Json:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_replaced(item) for item in value]
    if isinstance(value, dict):
        return {_replaced(name): _replaced(item) for name, item in value.items()}
    return value
