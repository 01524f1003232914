"""The steps of a workflow as cards: what each does in a line, what is said of it beside that, and its problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crossdock.model.outcome import Json
from crossdock.ui.screens.workflow.kinds import words_of
from crossdock.ui.screens.workflow.lines import condition_line, line_of
from crossdock.ui.screens.workflow.places import Branch, PlacedStep, every_step, field_of, place_steps, write_address


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a field of a step (`http.url`), or with the step itself (an empty field)."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Card:
    at: str
    """The step's address."""
    anchor: str
    id: str
    path: str
    kind: str
    words: str
    line: str
    said: tuple[tuple[str, str], ...]
    """What holds beside the kind's own settings: a word, and what it says."""
    notes: str
    position: int
    count: int
    """Steps in its list."""
    lists: tuple[CardList, ...]
    problems: tuple[Problem, ...]
    all_problems: int
    """Those of the steps inside it included."""


@dataclass(frozen=True, slots=True)
class CardList:
    """A list of steps; `name` is what a block calls it, `says` when it is taken."""

    at: str
    name: str
    says: str
    is_condition: bool
    """Whether it is an expression that says when."""
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Deck:
    """All cards of a workflow, and the problems that belong to none of them."""

    list: CardList
    problems: tuple[Problem, ...]


def deal(document: Json, problems: Sequence[dict[str, str]]) -> Deck:
    """The cards of a document, whatever a draft has written there."""
    root = place_steps(document)
    at_steps, others = _placed_problems(root, problems)
    return Deck(_Dealer(at_steps).list(root, ("", "", False)), others)


class _Dealer:
    def __init__(self, problems: dict[str, list[Problem]]) -> None:
        self._problems = problems
        self._anchors: set[str] = set()

    def list(self, branch: Branch, named: tuple[str, str, bool]) -> CardList:
        cards = tuple(self._card(step, len(branch.steps)) for step in branch.steps)
        return CardList(write_address(branch.address), *named, cards)

    def _card(self, step: PlacedStep, count: int) -> Card:
        at = write_address(step.address)
        written = step.written if isinstance(step.written, dict) else {}
        anchor = self._anchor(step.path, at)
        lists = tuple(self.list(branch, _named(step, branch)) for branch in step.branches)
        own = tuple(self._problems.get(field_of(step.address), ()))
        notes = written.get("notes", "")
        return Card(
            at=at,
            anchor=anchor,
            id=step.id,
            path=step.path,
            kind=step.kind,
            words=words_of(step.kind),
            line=line_of(step.kind, written.get(step.kind)),
            said=tuple(_said(written)),
            notes=notes if isinstance(notes, str) else "",
            position=step.position,
            count=count,
            lists=lists,
            problems=own,
            all_problems=len(own) + sum(card.all_problems for each in lists for card in each.cards),
        )

    def _anchor(self, path: str, at: str) -> str:
        """The element's id: the step's path, as pages of events link to it; in a draft it may be there twice."""
        wanted = f"step-{path}"
        if not path or wanted in self._anchors or any(sign.isspace() for sign in path):
            wanted = f"step-at-{at.replace('/', '-')}".replace(" ", "_")
        self._anchors.add(wanted)
        return wanted


def _named(step: PlacedStep, branch: Branch) -> tuple[str, str, bool]:
    """What a list inside a block is called, when it is taken, and whether that is an expression."""
    settings = step.written[step.kind]
    if step.kind == "parallel":
        return branch.name, "side by side with the others", False
    if step.kind == "for_each":
        return "For each item", "", False
    if branch.name == "default":
        return "Otherwise", "where no case holds", False
    number = int(branch.address[-2])
    return f"Case {number + 1}", condition_line(settings["cases"][number].get("when", "")), True


def _said(written: dict[str, Json]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if "when" in written:
        found.append(("only when", condition_line(written["when"])))
    retry = written.get("retry")
    if isinstance(retry, dict):
        found.append(("tries", str(retry.get("attempts", 5))[:20]))
    if "timeout" in written:
        found.append(("timeout", str(written["timeout"])[:40]))
    if written.get("on_error") == "continue":
        found.append(("on error", "goes on"))
    return found


def _placed_problems(
    root: Branch, problems: Sequence[dict[str, str]]
) -> tuple[dict[str, list[Problem]], tuple[Problem, ...]]:
    """The problems by the field of the innermost step that each is about, and those that are about none."""
    fields = sorted((field_of(step.address) for step in every_step(root)), key=len, reverse=True)
    found: dict[str, list[Problem]] = {}
    others: list[Problem] = []
    for problem in problems:
        name, message = problem["field"], problem["message"]
        field = next((each for each in fields if name == each or name.startswith((f"{each}.", f"{each}["))), None)
        if field is None:
            others.append(Problem(name, message))
        else:
            found.setdefault(field, []).append(Problem(name[len(field) :].lstrip("."), message))
    return found, tuple(others)


def cards_with_problems(deck: Deck) -> list[Card]:
    """The cards that have problems of their own, in the order of the workflow."""
    found: list[Card] = []
    waiting = list(deck.list.cards)
    while waiting:
        card = waiting.pop(0)
        found += [card] if card.problems else []
        waiting = [inner for each in card.lists for inner in each.cards] + waiting
    return found


def count_steps(document: Json) -> int:
    return sum(1 for _ in every_step(place_steps(document)))
