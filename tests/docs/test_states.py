"""The page of states says what the tables of the model say."""

from __future__ import annotations

from enum import StrEnum

import pytest

from crossdock.model.bulk import BulkKind, BulkMove, BulkOutcome, BulkState
from crossdock.model.states import DeliveryMove, DeliveryState, RunMove, RunState, WaitingFor
from tests.docs.states import MACHINES, Machine, page, written, written_meanings


def test_the_page_is_up_to_date():
    _, shown = written()

    assert shown.rstrip() == page().rstrip(), "run: python -m tests.docs.states"


@pytest.mark.parametrize(
    "words",
    [RunState, RunMove, WaitingFor, DeliveryState, DeliveryMove, BulkState, BulkMove, BulkKind, BulkOutcome],
    ids=lambda w: w.__name__,
)
def test_every_word_says_what_it_means(words: type[StrEnum]):
    assert written_meanings(words).keys() == {word.value for word in words}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.title)
def test_no_move_leads_out_of_a_final_state(machine: Machine):
    assert [move for move, (allowed, _) in machine.moves.items() if allowed & machine.final] == []


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.title)
def test_every_state_is_reached_and_left_or_final(machine: Machine):
    first = next(iter(machine.states))
    reached = {target for _, target in machine.moves.values()} | {first}
    left = set().union(*(allowed for allowed, _ in machine.moves.values()))

    assert reached == set(machine.states)
    assert left == set(machine.states) - machine.final
