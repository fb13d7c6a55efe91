from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.postgres.export import contents, refusals, trial
from aurora_operator.postgres.export.refusals import Error, Unreadable


def test_what_psql_says_is_read() -> None:
    lines = [
        "some notice",
        'psql:<stdin>:12: ERROR:  permission denied to create extension "x"',
        'HINT:  Must have CREATE privilege on "a".',
        'psql:<stdin>:13: ERROR:  type "x" does not exist',
        "LINE 1: CREATE TABLE t (x x);",
        "                           ^",
    ]
    assert refusals.errors(lines) == [
        Error('permission denied to create extension "x"', ('HINT:  Must have CREATE privilege on "a".',)),
        Error('type "x" does not exist'),
    ]


@given(st.lists(st.text()))
def test_any_output_is_read(lines: list[str]) -> None:
    refusals.to_create("app", "shop", refusals.errors(lines))


def test_what_follows_from_something_else_is_not_listed() -> None:
    follows = Error('relation "t" does not exist')
    cause = Error('role "a ""b" does not exist')
    assert refusals.to_create("app", "shop", [follows, cause, cause]) == [
        'there is no role a ""b, which grants, policies or mappings name: CREATE ROLE "a """"b"'
    ]
    # Where it is all that there is, it is said.
    assert refusals.to_create("app", "shop", [follows]) == ['relation "t" does not exist']


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (Error('extension "postgis" is not available'), "the server does not have extension postgis"),
        (Error("permission denied to change default privileges"), 'GRANT that role TO "app"'),
        (Error("must be superuser to create an event trigger", ("HINT: h",)), "must be superuser .*; HINT: h"),
    ],
)
def test_each_has_what_to_do(error: Error, what: str) -> None:
    (said,) = refusals.to_create("app", "shop", [error])
    assert re.search(what, said)


def test_who_is_forced_needs_more_than_the_owner() -> None:
    forced = Unreadable("rows", "public.t", "app", forced=True)
    (said,) = refusals.to_read("app", [forced])
    assert said.endswith('ALTER ROLE "app" BYPASSRLS')


def test_not_too_much_is_listed() -> None:
    told = refusals.message("so it is", ["x" * 1000] * 100)
    assert len(told.encode()) < 4000 and told.endswith("- and 88 more") and told.startswith("so it is:\n- x")


def test_grants_on_large_objects_name_roles() -> None:
    script = (
        "SET SESSION AUTHORIZATION own;\n"
        "GRANT SELECT ON LARGE OBJECT 4711 TO bob;\n"
        "REVOKE ALL ON LARGE OBJECT 4711 FROM PUBLIC;\n"
        "GRANT ALL ON LARGE OBJECT 4711 TO PUBLIC;\n"
        "GRANT ALL ON LARGE OBJECT 4712 TO bob WITH GRANT OPTION;\n"
        'GRANT ALL ON LARGE OBJECT 4712 TO "o\'x ""TO y"" ";\n'
    )
    assert trial.of_objects(script) == [
        'SELECT \'"o\'\'x ""TO y"" "\'::pg_catalog.regrole;',
        "SELECT 'bob'::pg_catalog.regrole;",
    ]


def test_comments_on_extensions_that_are_there_stay() -> None:
    lines = [
        "3; 3079 16522 EXTENSION - file_fdw ",
        "3444; 0 0 COMMENT - EXTENSION file_fdw ",
        "3445; 0 0 COMMENT - EXTENSION hstore ",
        "3446; 0 0 ACL - LARGE OBJECT 4711 own",
        "3447; 0 0 ACL - LARGE OBJECTS 4711..4712 own",
        "3448; 0 16400 TABLE DATA public t own",
    ]
    assert contents.to_restore(lines, {"hstore"}) == [line for line in lines if "hstore" not in line]
    assert contents.grants_on_objects(lines) == lines[3:5]
    assert contents.with_data(lines) == 1
