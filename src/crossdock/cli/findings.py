"""What `crossdock doctor` has to say: one thing each, how bad it is, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import typer

from crossdock.model.outcome import Json

Grade: TypeAlias = Literal["ok", "warning", "error"]

_MARKS = {"ok": ("ok     ", "green"), "warning": ("warning", "yellow"), "error": ("error  ", "red")}


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice` says what to do; empty where all is well."""

    subject: str
    grade: Grade
    message: str
    advice: str = ""

    def document(self) -> Json:
        return {"subject": self.subject, "grade": self.grade, "message": self.message, "advice": self.advice}

    def line(self) -> str:
        word, color = _MARKS[self.grade]
        advice = f"\n           -> {self.advice}" if self.advice else ""
        return f"{typer.style(word, fg=color)}  {self.subject}: {self.message}{advice}"
