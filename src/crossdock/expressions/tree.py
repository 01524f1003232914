"""Compiling what people write: a text, or a whole JSON tree with texts in it.

A text without code stays what it is and costs nothing. A text that is one whole expression gives that expression's
value; any other gives text, in which values that are no text stand as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

from crossdock.expressions.engine import EngineCode, EngineTemplate
from crossdock.expressions.paths import Path, locals_of, missing_in_words, names_in, path_of, paths_in
from crossdock.expressions.patience import within
from crossdock.expressions.scope import Scope
from crossdock.expressions.source import WORDS, Code, has_code, read_code, read_text
from crossdock.expressions.views import as_json, as_text
from crossdock.model.expression import NAMES, OUTPUT_BYTES, ExpressionError
from crossdock.model.outcome import Json

MAX_TREE_DEPTH = 64
MAX_EACH = 100_000
"""Elements that one `$each` goes through."""

FEW_CODES = 8
"""Expressions that the engine works out: so many are bounded well enough by what each of them may take."""
TREE_SECONDS = 3.0
"""How long all expressions of a tree with more of them may take."""

RESERVED_NAMES = frozenset(NAMES) - {"item"}
"""Names that nothing may be laid over."""

Evaluate: TypeAlias = Callable[[Mapping[str, Json]], Json]


class Uncompilable(ExpressionError):
    """What is written at `field` is no valid expression; the message says why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class CompiledTree:
    """A compiled text or tree (`model.expression.Expression`).

    `steps` are the ids of the steps that it refers to. `is_constant`: it has no expression, and always gives the same
    value.
    """

    __slots__ = ("evaluate", "is_constant", "steps")

    def __init__(self, evaluate: Evaluate, is_constant: bool, steps: frozenset[str]) -> None:
        self.evaluate = evaluate
        self.is_constant = is_constant
        self.steps = steps


def compile_value(
    tree: Json, field: str = "", *, names: Collection[str] = NAMES, has_each: bool = False, place: str = ""
) -> CompiledTree:
    """Compile a JSON tree; Uncompilable names the place inside it.

    `names` is what expressions may begin with. With `has_each`, an object `{"$each": {over, as, value}}` becomes the
    list of `value` for each element of `over`. With `place`, errors of its evaluation begin with it and with the way
    from there to the text that they are about: `transform.lines[1].sku: ...`.
    """
    compiler = _Compiler(has_each, field, place)
    evaluate = compiler.tree(tree, field, frozenset(names), 0)
    if compiler.engine_codes > FEW_CODES:
        evaluate = _in_time(evaluate)
    return CompiledTree(evaluate, compiler.is_constant, frozenset(compiler.steps))


def compile_condition(text: Json, field: str = "", *, names: Collection[str] = NAMES, place: str = "") -> CompiledTree:
    """Compile a condition: code with or without braces, or `true` and `false`. It gives a bool. `place` begins errors
    of its evaluation.

    Empty text, zero, null, an empty list and an empty object count as false. So does the text `false`, because that
    is how a query parameter says it.
    """
    if isinstance(text, bool):
        return CompiledTree(lambda _: text, True, frozenset())
    if not isinstance(text, str):
        raise Uncompilable(field, "a condition is an expression, such as {{ body.total > 100 }}")
    compiler = _Compiler(False, field, place)
    evaluate = compiler.condition(text, field, frozenset(names))

    def holds(names: Mapping[str, Json]) -> bool:
        value = evaluate(names)
        return bool(value) and value != "false"

    return CompiledTree(holds, False, frozenset(compiler.steps))


class _Compiler:
    """Goes through one tree and gathers what it refers to."""

    def __init__(self, has_each: bool, field: str, place: str) -> None:
        self._has_each = has_each
        self._field = field
        self._place = place
        self.steps: set[str] = set()
        self.is_constant = True
        self.engine_codes = 0

    def tree(self, tree: Json, field: str, names: frozenset[str], depth: int) -> Evaluate:
        if depth > MAX_TREE_DEPTH:
            raise Uncompilable(field, f"this is nested more than {MAX_TREE_DEPTH} deep")
        if isinstance(tree, str):
            return self.text(tree, field, names)
        if isinstance(tree, dict):
            return self._object(tree, field, names, depth)
        if isinstance(tree, list):
            parts = [self.tree(part, f"{field}[{index}]", names, depth + 1) for index, part in enumerate(tree)]
            return _constant(tree) if self.is_constant else lambda given: [part(given) for part in parts]
        return _constant(tree)

    def text(self, text: str, field: str, names: frozenset[str]) -> Evaluate:
        if not has_code(text):
            return _constant(text)
        self.is_constant = False
        try:
            read = read_text(text)
            self._note_references(tuple(read.codes), names)
            self.engine_codes += sum(path_of(code) is None for code in read.codes)
            if len(read.parts) == 1 and isinstance(read.parts[0], Code) and read.parts[0].opening == "{{":
                return self._placed(_code(read.parts[0]), field)
            if read.needs_template:
                return self._placed(EngineTemplate(read).evaluate, field)
            joined = _joined([part if isinstance(part, str) else _code(part) for part in read.parts])
            return self._placed(joined, field)
        except ExpressionError as error:
            raise Uncompilable(field, str(error)) from None

    def condition(self, text: str, field: str, names: frozenset[str]) -> Evaluate:
        text = text.strip()  # a block of YAML ends with a line break, which would make a text of it, and that holds
        if has_code(text):
            self._refuse_words_around(text, field)
            return self.text(text, field, names)
        try:
            code = read_code(text)
            self._note_references((code,), names)
            return self._placed(_code(code), field)
        except ExpressionError as error:
            raise Uncompilable(field, str(error)) from None

    def _refuse_words_around(self, text: str, field: str) -> None:
        """A condition with words beside its braces would be a text that is never empty, and so would always hold."""
        try:
            read = read_text(text)
        except ExpressionError as error:
            raise Uncompilable(field, str(error)) from None
        if len(read.parts) > 1 and not read.needs_template:
            raise Uncompilable(
                field, "a condition is one expression: write all of it inside one pair of braces, as in {{ a and b }}"
            )

    def _placed(self, evaluate: Evaluate, field: str) -> Evaluate:
        """The evaluation of one text, whose errors say where it stands."""
        if not self._place:
            return evaluate
        place = self._place + field.removeprefix(self._field)

        def placed(names: Mapping[str, Json]) -> Json:
            try:
                return evaluate(names)
            except ExpressionError as error:
                raise ExpressionError(f"{place}: {error}") from None

        return placed

    def _object(self, tree: dict[str, Json], field: str, names: frozenset[str], depth: int) -> Evaluate:
        if self._has_each and "$each" in tree:
            return self._each(tree, field, names, depth)
        parts: list[tuple[str, Evaluate]] = []
        for key, part in tree.items():
            place = f"{field}.{key}" if field else str(key)
            if not isinstance(key, str):
                raise Uncompilable(place, "an object's keys are text")
            if has_code(key):
                raise Uncompilable(place, "keys are fixed text; put the expression into the value")
            parts.append((key, self.tree(part, place, names, depth + 1)))
        return _constant(tree) if self.is_constant else lambda given: {key: part(given) for key, part in parts}

    def _each(self, tree: dict[str, Json], field: str, names: frozenset[str], depth: int) -> Evaluate:
        settings = tree["$each"]
        place = f"{field}.$each" if field else "$each"
        if len(tree) != 1 or not isinstance(settings, dict) or not {"over", "value"} <= settings.keys():
            raise Uncompilable(place, "$each stands alone in its object and takes over, value and, if you like, as")
        for key in settings.keys() - {"over", "as", "value"}:
            raise Uncompilable(f"{place}.{key}", "$each takes over, as and value only")
        name = settings.get("as", "item")
        if not isinstance(name, str) or not name.isidentifier() or name in RESERVED_NAMES | WORDS:
            raise Uncompilable(f"{place}.as", f"as is a name of your own, not one of {', '.join(RESERVED_NAMES)}")
        self.is_constant = False
        over = self.tree(settings["over"], f"{place}.over", names, depth + 1)
        value = self.tree(settings["value"], f"{place}.value", names | {name}, depth + 1)
        return _mapping_over(over, name, value, place)

    def _note_references(self, codes: Sequence[Code], names: frozenset[str]) -> None:
        for name in locals_of(codes) & RESERVED_NAMES:
            raise ExpressionError(f"{name!r} is taken; give the elements of {{% for %}} another name")
        for root in names_in(codes):
            if root not in names:
                raise ExpressionError(f"there is no {root!r}; an expression begins with {', '.join(sorted(names))}")
        paths = (path for code in codes for path in paths_in(code))
        self.steps.update(str(path[1]) for path in paths if path[0] == "steps" and len(path) > 1)


def _code(code: Code) -> Evaluate:
    path = path_of(code)
    return EngineCode(code).evaluate if path is None else _reader(path)


def _in_time(evaluate: Evaluate) -> Evaluate:
    def evaluate_in_time(names: Mapping[str, Json]) -> Json:
        with within(TREE_SECONDS):
            return evaluate(names)

    return evaluate_in_time


def _constant(value: Json) -> Evaluate:
    return lambda _: value


def _reader(path: Path) -> Evaluate:
    def read(names: Mapping[str, Json]) -> Json:
        value: Json = names
        try:
            for key in path:
                value = value[key]
        except (KeyError, IndexError, TypeError):
            raise ExpressionError(missing_in_words(path, names)) from None
        return value

    return read


def _joined(parts: list[str | Evaluate]) -> Evaluate:
    def join(names: Mapping[str, Json]) -> str:
        texts = [part if isinstance(part, str) else as_text(part(names)) for part in parts]
        if sum(map(len, texts)) > OUTPUT_BYTES:
            raise ExpressionError(f"the text is longer than {OUTPUT_BYTES // 1024**2} MiB")
        return "".join(texts)

    return join


def _mapping_over(over: Evaluate, name: str, value: Evaluate, place: str) -> Evaluate:
    def map_each(names: Mapping[str, Json]) -> Json:
        elements = over(names)
        if not isinstance(elements, list):
            raise ExpressionError(f"{place}.over gives {as_text(elements)[:40]}, and a list is needed")
        if len(elements) > MAX_EACH:
            raise ExpressionError(f"{place}.over has {len(elements)} elements; {MAX_EACH} are the most")
        scope = Scope(names, {})
        values = []
        for element in elements:
            scope[name] = element
            values.append(value(scope))
        return as_json(values)

    return map_each
