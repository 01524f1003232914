"""What an event waits for and what went wrong, in words for people: why, what happens next, and what can be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from crossdock.model.outcome import Json
from crossdock.model.states import FINAL_RUN_STATES
from crossdock.ui.inert import visible
from crossdock.ui.rendering import ago_element, time_element
from crossdock.ui.visit import Visit

ENDED = frozenset(state.value for state in FINAL_RUN_STATES)

_MEANINGS: Mapping[str, str] = {
    "assertion_failed": "A condition that the workflow sets did not hold.",
    "canceled": "Somebody canceled it.",
    "connection_missing": "A connection that the step needs is not there, is of another kind, or can’t be opened.",
    "expression": "An expression of the workflow does not fit this event.",
    "function_missing": "The Python function is not where the step looks for it.",
    "functions_busy": "All places for Python functions were taken for too long.",
    "http_answer": "The answer of the system that was called can’t be read.",
    "http_refused": "The call was not made, or could not be: the address or the request can’t work.",
    "http_request": "The request that the step makes can’t be built.",
    "http_status": "The system that was called answered with a status that the step does not expect.",
    "http_unexpected": "The answer of the system that was called does not say what the step expects.",
    "http_unreachable": "The system that was called could not be reached, or did not answer in time.",
    "integration_disabled": "The integration that the event was to be handed to is disabled.",
    "integration_removed": "The integration was deleted before the run had ended.",
    "node_lost": "The process that worked on it ended three times; it may be the cause.",
    "not_json": "A Python function returned what is not JSON.",
    "out_of_memory": "It needed more memory than it may have.",
    "process_died": "The process of a Python function ended in the middle of its work.",
    "python_error": "A Python function raised an error.",
    "python_retry": "A Python function asked to be tried again later.",
    "timeout": "It took longer than it may.",
    "too_large": "A value is larger than it may be.",
    "unrecordable": "The database can’t hold what the run came to.",
    "workflow_unusable": "The workflow version of this run can’t be used any more.",
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why nobody works on an event now, and what happens next."""

    why: Markup
    next: Markup
    tone: str = "neutral"


def error_of(error: Json) -> dict[str, Any]:
    """An error of a run or of a step, with what its kind means."""
    return {**error, "words": _MEANINGS.get(error["kind"], "The workflow ended it.")}


def waiting_words(visit: Visit, event: Json) -> Waiting | None:
    """What an event waits for; None when somebody works on it or it has ended."""
    waiting = event["waiting_for"]
    if waiting is None:
        return _canceling(event)
    lanes = Markup('<a href="{}">lane</a>').format(visit.path("integrations", event["integration"]["id"], "lanes"))
    match waiting["reason"]:
        case "lane":
            return Waiting(
                _turn(visit, waiting, lanes),
                Markup("It starts by itself when those before it are done. Nothing is lost."),
            )
        case "slot":
            return Waiting(
                Markup(
                    "It waits for a free slot: as many runs go on as the integration and the nodes may have at once."
                ),
                Markup("It starts by itself as soon as one of them ends."),
            )
        case "retry":
            return Waiting(_failed(event, waiting), _until("It is tried again", waiting["until"]), "warning")
        case "delay":
            return Waiting(_delayed(waiting), _until("It goes on", waiting["until"]))
        case "operator":
            words = Markup("Its attempts are used up, and it holds its {}: what is behind it waits.").format(lanes)
            return Waiting(words, Markup("Somebody has to retry it, skip it, or park it."), "bad")
        case _:
            words = Markup("Somebody took it out of its {}, which goes on without it.").format(lanes)
            return Waiting(words, Markup("Start it or cancel it: it does nothing by itself."), "warning")


def _canceling(event: Json) -> Waiting | None:
    if event["status"] != "running" or not event["cancel_requested"]:
        return None
    return Waiting(Markup("It is being canceled."), Markup("The step that is going on ends first."), "warning")


def _turn(visit: Visit, waiting: Json, lanes: Markup) -> Markup:
    if waiting["behind"] is None:
        return Markup("It waits for its turn in its {}.").format(lanes)
    head = Markup('<a class="mono" href="{}">{}</a>').format(visit.path("events", waiting["behind"]), waiting["behind"])
    return Markup("It waits for its turn in its {}, whose head is {}.").format(lanes, head)


def _failed(event: Json, waiting: Json) -> Markup:
    if event["status"] == "retrying":
        return Markup("Attempt {} failed.").format(event["attempts"])
    return Markup("The step {} failed, and may be tried again.").format(_step(waiting))


def _delayed(waiting: Json) -> Markup:
    return Markup("The step {} waits.").format(_step(waiting)) if waiting["step"] else Markup("It waits for its time.")


def _step(waiting: Json) -> Markup:
    return Markup('<a href="#step-{}"><code>{}</code></a>').format(quote(waiting["step"]), visible(waiting["step"]))


def _until(words: str, until: str | None) -> Markup:
    if until is None:
        return Markup("")
    return Markup("{} at {} ({}), by itself.").format(words, time_element(until), ago_element(until))
