"""How the log is written: one line for each event, in one form, without secrets."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

from crossdock.observe.log_events import LogEvent

_log = logging.getLogger("crossdock")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_TELLING = re.compile(
    r"(^|_|-)(token|secret|password|passwd|authorization|cookie|credentials?|signature|api_?key|x-api-key|key)$",
    re.IGNORECASE,
)
_HIDDEN = "[redacted]"
_concealed: set[str] = set()


def emit(event: LogEvent, /, *, error: BaseException | None = None, **facts: object) -> None:
    """Write one line, with the traceback of `error` where one is given. Costs next to nothing below the log level."""
    if _log.isEnabledFor(event.level):
        _log.log(event.level, event.name, exc_info=error, extra={"facts": facts})


def is_debugging() -> bool:
    """Whether lines for single events are written; asked before facts that cost something are gathered."""
    return _log.isEnabledFor(logging.DEBUG)


def conceal(secret: str | None) -> None:
    """From now on `secret` never appears in the log, whatever line it would be part of."""
    if secret and len(secret) >= 4:
        _concealed.update((secret, json.dumps(secret)[1:-1]))


def configure_logging(level: str, style: str, stream: TextIO | None = None) -> None:
    """Send all log lines of this process to `stream` (standard error by default).

    `style` is `human`, `json`, or `auto`: human on a terminal. Lines of libraries take the same form; those below
    warning are dropped, because a web server's own access log would be a line for each event.
    """
    stream = sys.stderr if stream is None else stream
    is_human = style == "human" or (style == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(is_human, colors=is_human and stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, _LEVELS[level]))
    _log.setLevel(_LEVELS[level])
    logging.captureWarnings(True)


def _formatter(is_human: bool, *, colors: bool) -> logging.Formatter:
    import structlog  # here, because it is needed once a process and costs a third of a second

    class Concealing(structlog.stdlib.ProcessorFormatter):
        def format(self, record: logging.LogRecord) -> str:
            return _hide_concealed(super().format(record))

    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=22, event_key="message", timestamp_key="time")
        if is_human
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    )
    exceptions = [] if is_human else [structlog.processors.format_exc_info]
    return Concealing(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            # Facts may be called `event`, the word for what an integration was called with.
            structlog.processors.EventRenamer("message"),
            _add_facts,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *exceptions, renderer],
    )


def _add_facts(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The facts of `emit`; those with telling names are hidden. The logger's name is kept for foreign lines only."""
    facts: Mapping[str, object] | None = getattr(line["_record"], "facts", None)
    if facts is not None:
        del line["logger"]
        line.update(redact(facts))
    return line


def redact(facts: Mapping[str, object]) -> dict[str, object]:
    """`facts` with the values of telling names (tokens, passwords, keys...) hidden, at any depth."""
    return {name: _HIDDEN if _TELLING.search(name) else _redact_value(value) for name, value in facts.items()}


def _redact_value(value: object) -> object:
    if isinstance(value, Mapping):
        return redact({str(name): inner for name, inner in value.items()})
    if isinstance(value, list | tuple):
        return [_redact_value(inner) for inner in value]
    return value


def _hide_concealed(line: str) -> str:
    for secret in list(_concealed):
        if secret in line:
            line = line.replace(secret, _HIDDEN)
    return line
