"""The reference says what the program has, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import crossdock
from crossdock import observe
from crossdock.settings import SECRETS, Settings
from tests.docs.reference import PAGES, generated, written

SOURCE = Path(crossdock.__file__).parent
CODE = {path: path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
READ_BY_NAME = {"base_url": "url_at", "database": "database_url", "sqlite_folder": "sqlite_path"}


@pytest.mark.parametrize("page", PAGES)
def test_the_reference_is_up_to_date(page: str) -> None:
    _, shown = written(page)

    assert shown == generated(page), "run: python -m tests.docs.reference"


@pytest.mark.parametrize("page", PAGES)
def test_a_reference_page_begins_with_words(page: str) -> None:
    own, _ = written(page)

    assert own.startswith("# ")
    assert len(own.split()) > 30


def elsewhere(*own: str) -> str:
    return "\n".join(text for path, text in CODE.items() if path.name not in own)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_does_something(name: str) -> None:
    reading = rf'secret\("{name}"\)' if name in SECRETS and name != "database" else READ_BY_NAME.get(name, name)

    assert re.search(rf"settings\.{reading}", elsewhere("settings.py", "doctor.py")), f"nothing reads {name}"


@pytest.mark.parametrize("event", observe.LOG_EVENTS, ids=lambda event: event.name)
def test_a_log_event_is_written_somewhere(event: observe.LogEvent) -> None:
    name = next(name for name, value in vars(observe).items() if value is event)

    assert re.search(rf"\b{name}\b", elsewhere("log_events.py")), f"nothing writes {event.name}"


def test_what_is_logged_from_info_on_is_in_the_registry() -> None:
    assert not re.findall(r"\blogger\.(?:info|warning|error|exception)\b", elsewhere("logs.py"))
