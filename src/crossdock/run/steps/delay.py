"""`delay`: the run waits in the store for a time, and holds nothing meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crossdock.expressions import CompiledTree
from crossdock.model.expression import ExpressionError
from crossdock.model.outcome import Done, Failure, Json, StepOutcome, Stop, Wait
from crossdock.model.time import Instant, format_instant, later, parse_duration, parse_instant, seconds_between
from crossdock.run.steps.contract import Compiling, StepContext
from crossdock.run.steps.fields import kind_of, refuse, require_object, text_at

LONGEST_SECONDS = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Delay:
    """`how` is `for`, a duration from the step's start, or `until`, a time."""

    how: str
    text: CompiledTree
    is_pure = True
    is_quick = True
    branches = ()
    records_input = True

    @property
    def steps(self) -> frozenset[str]:
        return self.text.steps

    def prepare(self, names: Mapping[str, Json]) -> Json:
        text = self.text.evaluate(names)
        try:
            _READERS[self.how](text)
        except ValueError as error:
            raise ExpressionError(f"delay.{self.how} is {kind_of(text)}: {error}") from None
        return {self.how: text}

    async def perform(self, given: Json, context: StepContext) -> StepOutcome:
        now = context.now()
        until = self._until(given[self.how], now) if context.due is None else context.due
        if seconds_between(now, until) > LONGEST_SECONDS:
            words = f"{format_instant(until)} is more than {LONGEST_SECONDS / 86_400:g} days away"
            return Stop(Failure("delay_too_long", words, permanent=True))
        return Done({"until": format_instant(until)}) if until <= now else Wait(until)

    def _until(self, text: str, now: Instant) -> Instant:
        return later(now, _read_duration(text)) if self.how == "for" else parse_instant(text)


def _read_duration(text: Json) -> float:
    if not isinstance(text, str):
        raise ValueError("a duration such as PT5M is needed")
    seconds = parse_duration(text)
    if seconds > LONGEST_SECONDS:
        raise ValueError(f"{LONGEST_SECONDS / 86_400:g} days are the most")
    return seconds


def _read_time(text: Json) -> Instant:
    if not isinstance(text, str):
        raise ValueError("a time such as 2030-01-31T09:00:00Z is needed")
    return parse_instant(text)


_READERS = {"for": _read_duration, "until": _read_time}


def compile_delay(settings: Json, field: str, around: Compiling) -> Delay:
    written = require_object(settings, field, allowed=tuple(_READERS))
    if len(written) != 1:
        refuse(field, "a delay has one of for (a duration such as PT5M) and until (a time)")
    ((how, text),) = written.items()
    compiled = text_at(text, f"{field}.{how}", around.names)
    if compiled.is_constant:
        try:
            _READERS[how](text)
        except ValueError as error:
            refuse(f"{field}.{how}", str(error))
    return Delay(how, compiled)
