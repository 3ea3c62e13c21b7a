from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.chat.text import clean, code, escape, escaped, link, plain, safe_url, shorten, slack_date

HOSTILE = st.text(
    alphabet=st.one_of(st.characters(), st.sampled_from("&<>`*_~|:@#!\n\u202e\u200b")), max_size=400
)
ENTITY = re.compile(r"&(?!(amp|lt|gt);)")


@given(HOSTILE, st.integers(1, 300))
def test_escaped_text_fits_and_has_whole_entities_only(text: str, limit: int) -> None:
    found = escaped(text, limit)
    assert len(found) <= limit
    assert "<" not in found
    assert ">" not in found
    assert not ENTITY.search(found)


@given(HOSTILE)
def test_escaping_can_be_undone_so_nothing_was_escaped_twice(text: str) -> None:
    undone = escape(text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert undone == text


@given(HOSTILE, st.integers(4, 300))
def test_a_code_span_cannot_be_left(text: str, limit: int) -> None:
    found = code(text, limit)
    assert found.count("`") == 2
    assert found.startswith("`")
    assert found.endswith("`")
    assert len(found) <= limit
    assert "\n" not in found
    assert len(found) > 2


@given(HOSTILE)
def test_clean_text_is_one_visible_line(text: str) -> None:
    found = clean(text)
    assert len(found.splitlines()) <= 1
    assert "\u202e" not in found
    assert "\u200b" not in found
    assert clean(found) == found


@given(HOSTILE, HOSTILE)
def test_a_link_cannot_be_forged(url: str, label: str) -> None:
    found = link("https://soar.example.com/" + url, label)
    inside = found[1:-1] if found.startswith("<") else found
    assert "<" not in inside
    assert ">" not in inside
    assert inside.count("|") <= 1


@given(HOSTILE, st.integers(1, 150))
def test_plain_text_is_never_empty_nor_too_long(text: str, limit: int) -> None:
    value = plain(text, limit)["text"]
    assert isinstance(value, str)
    assert 1 <= len(value) <= limit


@pytest.mark.parametrize(
    "bad", ["javascript:alert(1)", "data:text/html,x", "https://", "//x", "", "http://[x"]
)
def test_only_web_addresses_become_links(bad: str) -> None:
    assert safe_url(bad) == ""
    assert link(bad, "label") == "label"


def test_a_url_keeps_its_query_and_loses_what_would_end_the_link() -> None:
    assert safe_url("https://a.example/x?a=1&b=<2>|3") == "https://a.example/x?a=1&b=%3C2%3E%7C3"
    assert link("https://a.example/?a=1&b=2", "a|b") == "<https://a.example/?a=1&amp;b=2|a¦b>"


def test_dates_are_in_the_readers_zone_with_utc_to_fall_back_on() -> None:
    assert (
        slack_date(datetime(2026, 3, 14, 3, 7, tzinfo=UTC))
        == "<!date^1773457620^{date_short_pretty} at {time}|2026-03-14 03:07 UTC>"
    )


def test_shorten_shows_that_something_is_missing() -> None:
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcd", 4) == "abcd"
