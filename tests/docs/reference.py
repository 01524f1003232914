"""The reference pages, made from the code: `python -m tests.docs.reference` writes them, the tests compare.

A page has words of its own above the line that says that the rest is generated; those are kept.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer
from fastapi.routing import APIRoute

from crossdock import observe
from crossdock.api import ROUTES
from crossdock.cli.program import app
from crossdock.notices.payload import PAYLOAD_SCHEMA, mock_digest, mock_payload, mock_recovery
from crossdock.notices.ready_made import READY_MADE, ReadyMade
from crossdock.settings import ENV_PREFIX, SECRETS, Settings

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
EXAMPLE_TIME = 1_790_000_000_000_000
MARK = "<!-- generated: python -m tests.docs.reference -->"


def settings_rows() -> Iterator[str]:
    """A table row for each setting."""
    yield "| setting | environment | default | what it is |"
    yield "|---|---|---|---|"
    for entry in Settings.model_construct().describe():
        name, default = entry["name"], entry["default"]
        variable = f"`{ENV_PREFIX}{name.upper()}`" + (" or `..._FILE`" if name in SECRETS else "")
        shown = (
            f"`{str(default).lower() if isinstance(default, bool) else default}`" if default not in (None, "") else ""
        )
        yield f"| `{name}` | {variable} | {shown} | {entry['help']} |"


def metrics_rows() -> Iterator[str]:
    yield "| metric | kind | labels | what it counts |"
    yield "|---|---|---|---|"
    for spec in observe.METRICS:
        name = f"{spec.name}_total" if spec.kind == "counter" else spec.name
        yield f"| `{name}` | {spec.kind} | {', '.join(f'`{label}`' for label in spec.labels)} | {spec.help} |"


def log_rows() -> Iterator[str]:
    yield "| event | level | when |"
    yield "|---|---|---|"
    for event in observe.LOG_EVENTS:
        yield f"| `{event.name}` | {logging.getLevelName(event.level).lower()} | {event.help} |"


def command_rows() -> Iterator[str]:
    """Each command's help, as the program prints it at 100 columns."""
    root = typer.main.get_command(app)
    for path, command in _commands(root, "crossdock"):
        context = command.context_class(
            command, info_name=path, terminal_width=100, max_content_width=100, help_option_names=["-h", "--help"]
        )
        yield f"## {path}"
        yield ""
        yield "```text"
        yield from (line.rstrip() for line in command.get_help(context).splitlines())
        yield "```"
        yield ""


def api_rows() -> Iterator[str]:
    """A table of routes for each tag."""
    routes = [route for router in ROUTES for route in router.routes if isinstance(route, APIRoute)]
    for tag in dict.fromkeys(str(route.tags[0]) for route in routes):
        yield f"## {tag.capitalize()}"
        yield ""
        yield "| route | parameters | answers | what it does |"
        yield "|---|---|---|---|"
        for route in routes:
            if route.tags[0] == tag:
                method = " ".join(sorted(route.methods or ()))
                names = ", ".join(f"`{field.alias}`" for field in query_fields(route.dependant))
                about = (route.description or "").replace("\n", " ").replace("|", "\\|")
                yield f"| `{method} {route.path}` | {names} | {min(map(int, route.responses))} | {about} |"
        yield ""


def query_fields(dependant: Any) -> Iterator[Any]:
    """The query parameters of a route, and of what it depends on."""
    yield from dependant.query_params
    for inner in dependant.dependencies:
        yield from query_fields(inner)


def payload_rows() -> Iterator[str]:
    """A table row for each field, and an example of each kind of payload."""
    yield "## Fields"
    yield ""
    yield "| field | type | what it is |"
    yield "|---|---|---|"
    yield from _field_rows(PAYLOAD_SCHEMA, "")
    for title, payload in (
        ("a change of status", mock_payload(EXAMPLE_TIME)),
        ("a recovery", mock_recovery(EXAMPLE_TIME)),
        ("a digest", mock_digest(EXAMPLE_TIME)),
    ):
        yield ""
        yield f"## Example: {title}"
        yield ""
        yield "```json"
        yield json.dumps(payload, indent=2, ensure_ascii=False)
        yield "```"


def _field_rows(schema: dict[str, Any], path: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        whole = f"{path}.{name}".removeprefix(".")
        words = f" One of {', '.join(f'`{value}`' for value in field['enum'])}." if "enum" in field else ""
        kind = {"array": "list", "string": "text", "integer": "number"}.get(field["type"], field["type"])
        yield f"| `{whole}` | {kind} | {field['description']}{words} |"
        yield from _field_rows(field.get("items", field), whole + "[]" * ("items" in field))


def template_rows() -> Iterator[str]:
    """Each ready-made webhook with its template."""
    yield "## Ready-made templates"
    for made in READY_MADE:
        yield ""
        yield f"### {made.title}"
        yield ""
        yield made.help
        yield ""
        yield f"- URL, for example: `{made.url}`"
        yield f"- Authentication: {_authentication(made)}"
        for place, words in made.secrets.items():
            yield f"- `{place}`: {words}"
        yield f"- Recoveries: {'told' if made.notify_recovery else 'not told'}"
        for validator in made.response_validators:
            expected = ", ".join(json.dumps(value) for value in validator["expected_values"])
            yield f"- Response validator: `{validator['json_path']}` is {expected}"
        yield ""
        yield "```json"
        yield made.template
        yield "```"


def _authentication(made: ReadyMade) -> str:
    headers = made.authentication.get("headers")
    return f"custom, with the header {', '.join(f'`{name}`' for name in headers)}" if headers else "none"


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    yield path, command
    for name, child in (children or {}).items():
        yield from _commands(child, f"{path} {name}")


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "settings.md": settings_rows,
    "metrics.md": metrics_rows,
    "logs.md": log_rows,
    "cli.md": command_rows,
    "api.md": api_rows,
    "notification-payload.md": payload_rows,
    "notification-templates.md": template_rows,
}


def generated(page: str) -> str:
    """What the page says after its mark."""
    return "\n".join(PAGES[page]()).rstrip() + "\n"


def written(page: str) -> tuple[str, str]:
    """The page's own words, and what stands there as generated."""
    own, _, rest = (FOLDER / page).read_text(encoding="utf-8").partition(MARK)
    return own, rest.lstrip("\n")


def main() -> None:
    for page in PAGES:
        own, _ = written(page)
        (FOLDER / page).write_text(f"{own}{MARK}\n\n{generated(page)}", encoding="utf-8")
        sys.stdout.write(f"{FOLDER / page}\n")


if __name__ == "__main__":
    main()
