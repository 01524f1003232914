"""Text that others wrote, shown so that it can do nothing and hides nothing.

Characters that are not to be seen, or that turn the direction of what stands around them (Unicode's bidirectional
controls, see "Trojan Source", CVE-2021-42574), are shown by their numbers.
"""

from __future__ import annotations

import re
import unicodedata

from markupsafe import Markup, escape

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls, without tab and line ends
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # directions
    "\u00ad\u180e\u200b\u2028\u2029\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb"  # nothing to be seen
    "\ud800-\udfff]"  # halves of surrogate pairs, which no page can be written with
)
_NAMES = {0x7F: "delete", 0xFEFF: "byte order mark"}


def visible(text: object) -> Markup:
    """The text, escaped, with hidden characters shown as U+202E; what is markup already stays as it is."""
    if isinstance(text, Markup):
        return text
    escaped = str(escape(str(text)))
    return Markup(_HIDDEN.sub(_shown, escaped)) if _HIDDEN.search(escaped) else Markup(escaped)  # noqa: S704 - escaped


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    name = _NAMES.get(code) or unicodedata.name(found[0], "control character").lower()
    return f'<span class="hidden-sign" title="{name}">U+{code:04X}</span>'
