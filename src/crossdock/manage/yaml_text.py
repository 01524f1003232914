"""Documents as people write them: YAML, with texts of several lines as blocks."""

from __future__ import annotations

import io
import re
from typing import Any

from crossdock.model.outcome import Json

_READ_OTHERWISE = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?|y|yes|n|no|on|off", re.IGNORECASE)
"""Texts that YAML 1.1, which many tools still read, takes for times of the day in seconds, or for true and false."""


def yaml_text(document: Json) -> str:
    """A JSON value as YAML."""
    from ruamel.yaml import YAML  # commands that write none need not wait for it
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

    def readable(value: Json) -> Any:
        if isinstance(value, dict):
            return {in_one_line(key): readable(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [readable(inner) for inner in value]
        if not isinstance(value, str):
            return value
        return LiteralScalarString(value) if _fits_block(value) else in_one_line(value)

    def in_one_line(text: str) -> str:
        is_plain = text.isprintable() and not _READ_OTHERWISE.fullmatch(text)
        return text if is_plain else DoubleQuotedScalarString(text)

    writer = YAML()
    writer.default_flow_style = False
    writer.width = 110
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.representer.add_representer(type(None), _write_null)
    text = io.StringIO()
    writer.dump(readable(document), text)
    return text.getvalue()


def _fits_block(text: str) -> bool:
    """Whether a block of lines gives the text back as it is: YAML folds or drops odd spaces and line breaks."""
    lines = text.removesuffix("\n").split("\n")
    return len(lines) > 1 and lines[0][:1].strip() != "" and all(_is_plain(line) for line in lines) and lines[-1] != ""


def _is_plain(line: str) -> bool:
    return line.isprintable() and line == line.rstrip() and "\ufeff" not in line


def _write_null(representer: Any, _value: None) -> Any:
    # The library writes nothing at all, which people take for a mistake.
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")
