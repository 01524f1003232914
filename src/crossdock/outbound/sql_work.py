"""One statement, carried out in a thread: which transaction it needs, and what is left of the connection after it.

A statement that only reads by its words runs in a transaction that may not write. If the database says that it wanted
to (a function may write), it is done again as what it is: a write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from crossdock import observe
from crossdock.model.gate import Gate
from crossdock.outbound import sql_done
from crossdock.outbound.request import SqlAnswer, SqlFailed
from crossdock.outbound.sql_driver import Attempt, Driver, Kind, Link, Trouble
from crossdock.outbound.sql_values import Bound, read_rows

GATE_SECONDS = 0.05
"""How often a thread asks whether this node may act again."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done."""

    bound: Bound
    may_write: bool
    key: str | None
    """Set where a write is to be exactly-once."""


class Troubled(Exception):
    """The database refused or was lost."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.words)
        self.trouble = trouble


class _NoTable(Exception):
    """There is no table for keys yet."""


class Work:
    """Carries out orders on connections that `take` lends."""

    def __init__(self, driver: Driver, take: Callable[[Attempt], AbstractContextManager[Link]], gate: Gate) -> None:
        self._gate = gate
        self._driver = driver
        self._take = take
        self._prune_at = 0.0

    def carry_out(self, order: Order, attempt: Attempt) -> SqlAnswer:
        """The answer; Troubled or SqlFailed."""
        if order.bound.statement.is_read or not order.may_write:
            try:
                with self._transaction(attempt, writes=False) as link:
                    return self._run(link, order.bound)
            except Troubled as error:
                if error.trouble.kind is not Kind.READ_ONLY or not order.may_write:
                    raise
        if order.key is None:
            with self._transaction(attempt, writes=True) as link:
                return self._run(link, order.bound)
        answer = self._once(order.bound, order.key, attempt)
        self._prune(attempt)
        return answer

    def _once(self, bound: Bound, key: str, attempt: Attempt) -> SqlAnswer:
        sql_done.check_exact(bound.statement, self._driver.dialect)
        try:
            return self._claimed(bound, key, attempt)
        except _NoTable:
            self._create(attempt)
        try:
            return self._claimed(bound, key, attempt)
        except _NoTable as missing:
            raise sql_done.no_table(self._driver.dialect, str(missing)) from None

    def _claimed(self, bound: Bound, key: str, attempt: Attempt) -> SqlAnswer:
        with self._transaction(attempt, writes=True) as link:
            known = self._claim(link, key)
            if known is not None:
                return known
            answer = self._run(link, bound)
            sql_done.keep(self._driver, link, key, answer)
            return answer

    def _claim(self, link: Link, key: str) -> SqlAnswer | None:
        driver = self._driver
        try:
            return sql_done.claim(driver, link, key)
        except driver.errors as error:
            trouble = driver.judge(error)
            if trouble.kind is Kind.NO_TABLE:
                raise _NoTable(trouble.words) from None
            if trouble.kind.is_passing or trouble.kind is Kind.READ_ONLY:
                raise
            raise sql_done.no_table(driver.dialect, trouble.words) from None

    def _create(self, attempt: Attempt) -> None:
        try:
            with self._transaction(attempt, writes=True) as link:
                sql_done.create_table(self._driver, link)
        except Troubled as error:
            if error.trouble.kind.is_passing and error.trouble.kind is not Kind.CONFLICT:
                raise
            if not sql_done.may_exist(error.trouble.kind):
                raise sql_done.no_table(self._driver.dialect, error.trouble.words) from None

    def _run(self, link: Link, bound: Bound) -> SqlAnswer:
        ran = self._driver.run(link, bound)
        rows = read_rows(ran.columns, ran.rows)
        return SqlAnswer(rows, len(rows) if ran.columns or bound.statement.gives_rows else ran.count())

    def _prune(self, attempt: Attempt) -> None:
        """Now and then, behind a write that is done by now: its outcome does not hang on this."""
        if time.monotonic() < self._prune_at:
            return
        self._prune_at = time.monotonic() + sql_done.PRUNE_EVERY_SECONDS
        try:
            with self._transaction(attempt, writes=True) as link:
                sql_done.prune(self._driver, link)
        except (Troubled, SqlFailed) as error:  # the write is done and answered
            observe.emit(observe.SQL_DONE_NOT_PRUNED, reason=str(error))

    @contextmanager
    def _transaction(self, attempt: Attempt, *, writes: bool) -> Iterator[Link]:
        """A connection with a transaction on it, which is committed if nothing is raised. Troubled."""
        driver = self._driver
        try:
            with self._take(attempt) as link:
                try:
                    driver.begin(link, writes=writes, seconds=attempt.seconds_left)
                    self._pass_gate(attempt)
                    yield link
                    self._pass_gate(attempt)
                    driver.end(link, "COMMIT")
                except BaseException as error:
                    self._clear(link, error)
                    raise
        except driver.errors as error:
            raise Troubled(self._judged(error, attempt)) from None

    def _pass_gate(self, attempt: Attempt) -> None:
        """Go on when this node may act; SqlFailed when the attempt was given up meanwhile."""
        while not self._gate.may_act():
            if attempt.is_cut or attempt.seconds_left < GATE_SECONDS:
                raise SqlFailed(Kind.UNAVAILABLE, "this node lost its heartbeat; nothing was done", permanent=False)
            time.sleep(GATE_SECONDS)

    def _clear(self, link: Link, error: BaseException) -> None:
        """Roll back what was begun. A connection that may hang, or still has rows on their way, is not used again."""
        is_refusal = isinstance(error, self._driver.errors) and not self._driver.judge(error).kind.is_passing
        if not is_refusal and not isinstance(error, _NoTable):
            link.is_broken = True
            return
        try:
            self._driver.end(link, "ROLLBACK")
        except self._driver.errors:
            link.is_broken = True

    def _judged(self, error: Exception, attempt: Attempt) -> Trouble:
        trouble = self._driver.judge(error)
        if attempt.is_cut:
            return Trouble(Kind.TIMEOUT, trouble.words)
        return trouble
