"""A running Crossdock full of what pages show, shared by the tests of a session, or one of a test's own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.browser.past import add_past
from tests.browser.seeds import Seeded, seed
from tests.support.program import Program

FUNCTIONS = Path(__file__).parent / "functions"


@dataclass(frozen=True, slots=True)
class Site:
    """A running program and what it is full of."""

    program: Program
    seeded: Seeded

    @property
    def url(self) -> str:
        return self.program.url

    def integration(self, name: str) -> str:
        """The id of a seeded integration."""
        return self.seeded.integrations[name]


def seed_site(folder: Path) -> Site:
    """A filled program that is not running any more."""
    program = program_in(folder)
    program.start()
    try:
        seeded = seed(program)
    finally:
        program.kill()
    add_past(f"sqlite:///{program.database_path}", seeded.integrations)
    return Site(program, seeded)


def copy_of(site: Site, folder: Path) -> Site:
    """The same site in another folder, for whoever changes more than its own things. `site` must have been seeded
    and not started since."""
    program = program_in(folder)
    shutil.copytree(site.program.data, program.data)
    return Site(program, site.seeded)


def program_in(folder: Path) -> Program:
    settings = {"allowed_targets": "127.0.0.1", "log_level": "warning"}
    program = Program(folder, settings=settings, arguments=["--demo", "--workflows", str(FUNCTIONS)])
    program.environment["GATE"] = str(folder / "gate")
    return program
