"""Taking a statement apart: where its parameters stand, in each family's way of writing strings and comments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock.outbound.sql_statement import (
    MAX_STATEMENT_BYTES,
    Dialect,
    ListParameter,
    Parameter,
    Statement,
    StatementRefused,
    read_statement,
)
from crossdock.outbound.sql_values import bind

EVERYWHERE = list(Dialect)
SQLITE, POSTGRESQL, MYSQL = [Dialect.SQLITE], [Dialect.POSTGRESQL], [Dialect.MYSQL]

HIDDEN = [
    (EVERYWHERE, "SELECT 'it''s :b', :a"),
    (EVERYWHERE, 'SELECT "x"":b", :a'),
    (EVERYWHERE, "SELECT /* :b ' */ :a"),
    (EVERYWHERE, "SELECT -- :b ' \n :a"),
    (EVERYWHERE, "SELECT x :: b, :a"),
    (EVERYWHERE, "SELECT y[lo:hi], :a -- :b"),
    (POSTGRESQL, "SELECT x::b, :a::int"),
    (POSTGRESQL, "SELECT $$ :b ' $$, $t$ $$ :b $t$, :a"),
    (POSTGRESQL, r"SELECT E'\' :b', :a"),
    (POSTGRESQL, r"SELECT '\', :a, ' :b'"),
    (POSTGRESQL, "SELECT /* /* :b */ :b */ :a"),
    (MYSQL, r"SELECT '\' :b', :a"),
    (MYSQL, r'SELECT "\" :b", :a'),
    (MYSQL, "SELECT `:b`, :a # :b"),
    (MYSQL, "SELECT 1--:a\n"),
    (SQLITE, r"SELECT '\', :a, ' :b'"),
    (SQLITE, "SELECT [:b], `:b`, :a /* :b"),
]


@pytest.mark.parametrize(("dialects", "text"), HIDDEN)
def test_parameters_are_found_outside_of_strings_and_comments_only(dialects: list[Dialect], text: str):
    for dialect in dialects:
        assert read_statement(text, dialect).names == {"a"}, dialect


REFUSED = [
    (EVERYWHERE, "", "it is empty"),
    (EVERYWHERE, " ; ", "it is empty"),
    (EVERYWHERE, "SELECT 1; DELETE FROM t", "more than one"),
    (EVERYWHERE, "SELECT 1;;x", "more than one"),
    (EVERYWHERE, "SELECT 'open", "a quote is opened and never closed"),
    (EVERYWHERE, 'SELECT "open', "a double quote is opened and never closed"),
    (EVERYWHERE, "SELECT 1\0", "zero byte"),
    (EVERYWHERE, "SELECT '\ud800'", "surrogate"),
    (EVERYWHERE, "SELECT '" + "x" * MAX_STATEMENT_BYTES + "'", "longer than 64 KiB"),
    (EVERYWHERE, "  /* x */ rollback", "ROLLBACK can't be a step"),
    (EVERYWHERE, "(COMMIT)", "COMMIT can't be a step"),
    (EVERYWHERE, "CREATE TEMPORARY TABLE t (a INTEGER)", "what is temporary can't be made by a step"),
    (EVERYWHERE, "create or replace temp view v as select 1", "what is temporary"),
    (POSTGRESQL, "SELECT /* open", "a comment is opened and never closed"),
    (POSTGRESQL, "SELECT $1", r"written :name, not \$1"),
    (MYSQL, "SELECT /* open", "a comment is opened and never closed"),
    (MYSQL, "SELECT 1 /*! ; DROP TABLE t */", "is carried out"),
    (MYSQL, "SELECT 1 /*M!100100 , 2 */", "is carried out"),
    (SQLITE, "SELECT [open", "a bracket is opened and never closed"),
]


@pytest.mark.parametrize(("dialects", "text", "words"), REFUSED)
def test_what_is_not_one_statement_is_refused(dialects: list[Dialect], text: str, words: str):
    for dialect in dialects:
        with pytest.raises(StatementRefused, match=words):
            read_statement(text, dialect)


def test_a_semicolon_may_end_it():
    assert read_statement("SELECT 1 ; -- done\n;", Dialect.SQLITE).parts == ("SELECT 1 ",)


@pytest.mark.parametrize("dialect", Dialect)
def test_an_in_with_one_parameter_takes_a_list(dialect: Dialect):
    statement = read_statement(
        "SELECT 1 WHERE a IN (:a) AND b not /* x */ in ( :b ) AND c IN (:c, :d) AND min(:e) > 0", dialect
    )

    assert [part for part in statement.parts if not isinstance(part, str)] == [
        ListParameter("a", False),
        ListParameter("b", True),
        Parameter("c"),
        Parameter("d"),
        Parameter("e"),
    ]


KINDS = [
    ("SELECT 1", True, True),
    ("select * into t from u", True, False),
    ("(SELECT 1) UNION (SELECT 2)", True, True),
    ("VALUES (1)", True, True),
    ("WITH a AS (SELECT 1) SELECT * FROM a", True, True),
    ("WITH a AS (INSERT INTO t VALUES (1) RETURNING x) SELECT * FROM a", False, True),
    ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", False, False),
    ("WITH a AS (SELECT 1) DELETE FROM t USING a RETURNING t.x", False, True),
    ("INSERT INTO t VALUES (1) RETURNING x", False, True),
    ("UPDATE t SET a = 'RETURNING'", False, False),
    ("SELECT 'UPDATE'", True, True),
    ("SELECT a FOR UPDATE", False, True),
    ("CALL something()", False, False),
    ("GRANT ALL ON t TO u", False, False),
    ("unheard OF", False, False),
]


@pytest.mark.parametrize(("text", "is_read", "gives_rows"), KINDS)
def test_what_is_not_surely_a_read_counts_as_a_write(text: str, is_read: bool, gives_rows: bool):
    statement = read_statement(text, Dialect.POSTGRESQL)

    assert (statement.is_read, statement.gives_rows) == (is_read, gives_rows)


PIECES = [*"'\"`[]()\\%#,?@\n x1é", "SELECT", "IN", "NOT", ":a", ":b", "::", "--", "/*", "*/", "$$", "$t$", "E'"]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.sampled_from(EVERYWHERE))
def test_any_text_is_read_or_refused_and_never_changed(text: str, dialect: Dialect):
    try:
        statement = read_statement("SELECT " + text, dialect)
    except StatementRefused:
        return

    bound = bind(statement, dict.fromkeys(statement.names, "?value?"), dialect)

    assert "?value?" not in bound.text
    assert _written(statement).replace(" ", "") == ("SELECT " + text).replace(" ", "") or _has_list(statement)


def _written(statement: Statement) -> str:
    return "".join(part if isinstance(part, str) else f":{part.name}" for part in statement.parts)


def _has_list(statement: Statement) -> bool:
    return any(isinstance(part, ListParameter) for part in statement.parts)
