"""Reading a text: where it is literal, where it is code, and whether the code keeps to the language.

The language is what MiniJinja evaluates, less everything that reaches beyond plain values or grows without bound:
calls of methods, functions other than `range`, macros, imports, assignments, and filters that are not in `filters`.
All of that is refused here, by name, before the engine sees the text. Nesting is counted here too, because the
engine's own parser may overrun its stack first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from crossdock.expressions.filters import FILTERS, FUNCTIONS, NUMBER_GUARD, TESTS
from crossdock.model.expression import EXPRESSION_BYTES, TEMPLATE_BYTES, ExpressionError

MAX_NESTING = 32
TAGS = ("if", "elif", "else", "endif", "for", "endfor")
WORDS = frozenset({"and", "or", "not", "in", "is", "true", "false", "none", "loop", *TAGS})
"""Names that mean something to the language itself."""

_OPENING = re.compile(r"\{\{|\{%|\{#")
_SPACE = re.compile(r"\s*")
_CLOSING = {"{{": re.compile(r"-?\}\}"), "{%": re.compile(r"-?%\}"), "": re.compile(r"\Z")}
_TOKEN = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<name>[^\W\d]\w*)
    | (?P<mark>\*\*|//|==|!=|<=|>=|[-+*/%~<>=|.,:()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_PAIRS = {")": "(", "]": "[", "}": "{"}
_CALLABLE_ENDS = frozenset({")", "]", "}"})


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    """`text`, `number`, `name` or `mark`."""
    text: str
    start: int
    end: int
    """Where it stands in the code, or in the text that the code is part of."""


@dataclass(frozen=True, slots=True)
class Code:
    """Code between two delimiters, or standing alone. Token positions count in `source`, the whole text."""

    opening: str
    """`{{`, `{%`, or nothing where the code stands alone."""
    source: str
    start: int
    end: int
    tokens: tuple[Token, ...]

    @property
    def shown(self) -> str:
        """The code as messages quote it."""
        return _quoted(self.source[self.start : self.end].strip())


@dataclass(frozen=True, slots=True)
class Text:
    """A text taken apart. `needs_template`: it has blocks, comments or trimming, which only the engine can lay out."""

    source: str
    parts: tuple[str | Code, ...]
    needs_template: bool

    @property
    def codes(self) -> Iterator[Code]:
        return (part for part in self.parts if isinstance(part, Code))


def has_code(text: str) -> bool:
    """Whether the text is anything but literal."""
    return "{{" in text or "{%" in text


def read_text(text: str) -> Text:
    """Take a text apart and check its code; ExpressionError says what is wrong and with which code."""
    if len(text.encode(errors="surrogatepass")) > TEMPLATE_BYTES:
        raise ExpressionError(f"a text with expressions may be {TEMPLATE_BYTES // 1024} KiB long at most")
    parts: list[str | Code] = []
    needs_template = False
    position = 0
    while match := _OPENING.search(text, position):
        if match.start() > position:
            parts.append(text[position : match.start()])
        if match[0] == "{#":
            needs_template, position = True, _end_of_comment(text, match.end())
            continue
        code, position = _read_code(text, match.end(), match[0])
        parts.append(code)
        needs_template |= match[0] == "{%" or text[match.end()] == "-" or text[code.end] == "-"
    if position < len(text):
        parts.append(text[position:])
    read = Text(text, tuple(parts), needs_template)
    _check_blocks(read)
    return read


def read_code(code: str) -> Code:
    """Check code that stands alone, such as a condition without braces."""
    return _read_code(code, 0, "")[0]


def read_code_at(text: str, start: int) -> tuple[Code, int]:
    """The expression whose `{{` stands at `start`, checked, and where the text goes on behind its `}}`."""
    return _read_code(text, start + 2, "{{")


def guarded(code: Code) -> str:
    """The code as the engine gets it: what `*` multiplies has to be a number.

    The engine would repeat lists and texts a hundred million times, at the word of whoever sends the request.
    """
    out: list[str] = []
    position = code.start
    for place in sorted(_factor_ends(code.tokens)):
        out += [code.source[position:place], NUMBER_GUARD]
        position = place
    out.append(code.source[position : code.end])
    return "".join(out)


def _end_of_comment(text: str, start: int) -> int:
    end = text.find("#}", start)
    if end < 0:
        raise ExpressionError("a comment that begins with {# has no #}; to write {# itself, use {{ '{#' }}")
    return end + 2


def _read_code(text: str, start: int, opening: str) -> tuple[Code, int]:
    """The code that begins at `start`, checked, and where the text goes on after its delimiter."""
    begin = start + (opening != "" and text.startswith("-", start))
    tokens: list[Token] = []
    brackets: list[str] = []
    position = begin
    while True:
        position = _end_of_space(text, position)
        if not brackets and (closing := _CLOSING[opening].match(text, position)):
            break
        token = _next_token(text, position, begin, opening)
        _follow_brackets(token, brackets, text[begin : token.end])
        tokens.append(token)
        position = token.end
    code = Code(opening, text, begin, position, tuple(tokens))
    _check(code)
    return code, closing.end()


def _end_of_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _next_token(text: str, position: int, begin: int, opening: str) -> Token:
    match = _TOKEN.match(text, position)
    if match is None:
        if position >= len(text):
            end = "}}" if opening == "{{" else "%}" if opening == "{%" else "its closing bracket"
            raise ExpressionError(f"{_quoted(opening + text[begin:])} has no {end}")
        raise ExpressionError(f"{_quoted(text[begin : position + 8])}: {text[position]!r} can't stand here")
    if match.end() - begin > EXPRESSION_BYTES:
        raise ExpressionError(f"an expression may be {EXPRESSION_BYTES // 1024} KiB long at most")
    return Token(str(match.lastgroup), match[0], match.start(), match.end())


def _follow_brackets(token: Token, brackets: list[str], so_far: str) -> None:
    if token.kind != "mark":
        return
    if token.text in "([{":
        brackets.append(token.text)
        if len(brackets) > MAX_NESTING:
            raise ExpressionError(f"brackets may be nested {MAX_NESTING} deep at most")
    elif token.text in _PAIRS and (not brackets or brackets.pop() != _PAIRS[token.text]):
        raise ExpressionError(f"{_quoted(so_far)}: {token.text!r} closes nothing")


def _check(code: Code) -> None:
    tokens = code.tokens
    if not tokens:
        raise ExpressionError("an expression is empty: write something between {{ and }}")
    if code.opening == "{%":
        _check_tag(tokens)
    for index, token in enumerate(tokens):
        before = tokens[index - 1].text if index else ""
        if token.text == "(" and token.kind == "mark" and index:
            _check_call(code, index)
        if token.kind == "name" and before == "|":
            _require_known("filter", token.text, FILTERS)
        if token.kind == "name" and _names_test(tokens, index):
            _require_known("test", token.text, TESTS)


def _check_tag(tokens: Sequence[Token]) -> None:
    tag = tokens[0].text
    if tag not in TAGS:
        raise ExpressionError(f"{{% {tag} %}} is not part of the language; blocks are: {', '.join(TAGS)}")
    if tag == "for" and any(token.kind == "name" and token.text == "recursive" for token in tokens):
        raise ExpressionError("{% for ... recursive %} is not part of the language")


def _check_call(code: Code, index: int) -> None:
    """Refuse a call unless it gives arguments to a filter or a test, or calls a known function."""
    called = code.tokens[index - 1]
    before = code.tokens[index - 2].text if index > 1 else ""
    if called.kind == "name" and before == ".":
        raise ExpressionError(
            f".{called.text}(...) calls a method, and values have none; use a filter, as in {{{{ value | upper }}}}"
        )
    if called.text in _CALLABLE_ENDS or called.kind in ("text", "number"):
        raise ExpressionError(f"{code.shown} calls a value; only filters, tests and range(...) can be called")
    is_argument_list = before == "|" or _names_test(code.tokens, index - 1)
    if called.kind == "name" and not is_argument_list and (called.text not in WORDS or called.text == "loop"):
        _require_known("function", called.text, FUNCTIONS)


def _names_test(tokens: Sequence[Token], index: int) -> bool:
    before = [token.text for token in tokens[max(0, index - 2) : index]]
    if tokens[index].text == "not":
        return False
    return before[-1:] == ["is"] or before == ["is", "not"]


def _require_known(what: str, name: str, known: Collection[str]) -> None:
    if name in known:
        return
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(known))}"
    raise ExpressionError(f"there is no {what} {name!r}; {hint}")


def _check_blocks(text: Text) -> None:
    """Blocks are nested within a bound."""
    depth = 0
    for code in text.codes:
        if code.opening != "{%":
            continue
        tag = code.tokens[0].text
        depth += (tag in ("if", "for")) - tag.startswith("end")
        if depth > MAX_NESTING:
            raise ExpressionError(f"blocks may be nested {MAX_NESTING} deep at most")


def _factor_ends(tokens: Sequence[Token]) -> set[int]:
    """Where the two operands of every `*` end."""
    ends: set[int] = set()
    for index, token in enumerate(tokens):
        if token.kind == "mark" and token.text == "*" and 0 < index < len(tokens) - 1:
            ends.add(tokens[index - 1].end)
            ends.add(tokens[_end_of_operand(tokens, index + 1)].end)
    return ends


def _end_of_operand(tokens: Sequence[Token], index: int) -> int:
    """The index of the last token of the operand that begins at `index`: signs, a value, and what hangs on it."""
    while index < len(tokens) - 1 and tokens[index].text in ("-", "+"):
        index += 1
    index = _end_of_group(tokens, index)
    while index < len(tokens) - 1:
        following = tokens[index + 1]
        if following.kind == "mark" and following.text in (".", "|") and index + 2 < len(tokens):
            index += 2
        elif following.kind == "mark" and following.text in ("(", "["):
            index = _end_of_group(tokens, index + 1)
        else:
            break
    return index


def _end_of_group(tokens: Sequence[Token], index: int) -> int:
    depth = 0
    for place in range(index, len(tokens)):
        if tokens[place].kind == "mark":
            depth += (tokens[place].text in "([{") - (tokens[place].text in _PAIRS)
        if depth <= 0:
            return place
    return len(tokens) - 1


def _quoted(code: str) -> str:
    return repr(code if len(code) <= 80 else code[:77] + "...")
