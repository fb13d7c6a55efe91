from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.postgres.errors import DataError
from aurora_operator.postgres.export.locales import Locale, differs, of_catalog, of_dump

NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
MADE = Locale("UTF8", "builtin", "C.UTF-8", "C.UTF-8", "C.UTF-8")
ICU = Locale("UTF8", "icu", "C.UTF-8", "C.UTF-8", "de-DE")


def statement(database: str, locale: Locale) -> str:
    """As pg_dump 17 writes it."""

    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    words = [f"ENCODING = {quoted(locale.encoding)}", f"LOCALE_PROVIDER = {locale.provider}"]
    if locale.collate == locale.ctype:
        words.append(f"LOCALE = {quoted(locale.collate)}")
    else:
        words += [f"LC_COLLATE = {quoted(locale.collate)}", f"LC_CTYPE = {quoted(locale.ctype)}"]
    if locale.locale is not None:
        words.append(f"{'ICU_LOCALE' if locale.provider == 'icu' else 'BUILTIN_LOCALE'} = {quoted(locale.locale)}")
    if locale.rules is not None:
        words.append(f"ICU_RULES = {quoted(locale.rules)}")
    name = '"' + database.replace('"', '""') + '"'
    return f"SET client_encoding = 'UTF8';\n\nCREATE DATABASE {name} WITH TEMPLATE = template0 {' '.join(words)};\n\n"


LOCALES = st.builds(
    Locale,
    st.sampled_from(["UTF8", "LATIN1", "SQL_ASCII"]),
    st.just("icu"),
    NAME,
    NAME,
    NAME,
    st.none() | NAME,
) | st.builds(Locale, st.just("UTF8"), st.just("libc"), NAME, NAME)


@given(NAME, LOCALES)
def test_what_pg_dump_says_is_read(database: str, locale: Locale) -> None:
    assert of_dump(statement(database, locale)) == locale


def test_rules_may_look_like_the_end() -> None:
    odd = replace(ICU, rules="&a < b;\nENCODING = 'x' \\ '';")
    assert of_dump(statement('a" WITH', odd)) == odd


def test_a_dump_that_says_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="does not say how its database sorts"):
        of_dump("CREATE TABLE t ();")


def test_a_dump_of_postgresql_14_is_of_libc() -> None:
    text = "CREATE DATABASE shop WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'en_US.UTF-8';"
    assert of_dump(text) == Locale("UTF8", "libc", "en_US.UTF-8", "en_US.UTF-8")


@pytest.mark.parametrize("column", ["datlocale", "daticulocale"])
def test_the_catalog_of_any_version_is_read(column: str) -> None:
    row = {"datlocprovider": "i", "datcollate": "C.UTF-8", "datctype": "C.UTF-8", column: "de-DE"}
    assert of_catalog("UTF8", row) == ICU


@pytest.mark.parametrize(
    ("there", "alike"),
    [
        (MADE, True),
        (Locale("UTF8", "libc", "C.UTF-8", "C.UTF-8"), True),
        (Locale("UTF8", "libc", "C.utf8", "C.UTF8"), True),
        (Locale("UTF8", "libc", "C", "C.utf8"), False),
        (replace(MADE, locale="C"), False),
        (ICU, False),
        (Locale("UTF8", "libc", "de_DE.UTF-8", "de_DE.UTF-8"), False),
        (replace(MADE, encoding="LATIN1"), False),
    ],
)
def test_only_what_sorts_alike_is_taken(there: Locale, alike: bool) -> None:
    assert (differs("shop", there, MADE) is None) == alike


def test_c_has_several_names() -> None:
    assert differs("shop", Locale("UTF8", "libc", "POSIX", "C"), replace(MADE, locale="C")) is None


def test_rules_count() -> None:
    assert "with rules of its own" in (differs("shop", ICU, replace(ICU, rules="&a < b")) or "")


def test_a_database_is_made_with_all_of_it() -> None:
    assert replace(ICU, rules="&a < 'b'").create('a"b').as_string() == (
        "CREATE DATABASE \"a\"\"b\" TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = 'icu'"
        " LC_COLLATE = 'C.UTF-8' LC_CTYPE = 'C.UTF-8' ICU_LOCALE = 'de-DE' ICU_RULES = '&a < ''b'''"
    )
