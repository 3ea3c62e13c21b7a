"""The three formats: stable, valid, and inert whatever an alert says."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import build
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from soar.reports.model import Report, build_report
from soar.reports.render import render, report_schema, to_html, to_json, to_markdown
from soar.reports.text import clean, code_md, duration, escape_md, indicator

SNAPSHOTS = Path(__file__).parent / "snapshots"
UPDATE = "SOAR_UPDATE_SNAPSHOTS"

ATTACKS = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style></title></svg><svg onload=alert(1)>",
    "{{ 7*7 }} {% raw %} ${7*7}",
    "# Heading\n## Another\n\n- item\n1. item",
    "- item",
    "1. item",
    "+ item",
    "> quote",
    "    code",
    "```\ncode\n```",
    "a | b | c |\n| --- | --- |",
    "[click](http://evil.example) ![x](http://evil.example/x.png) <http://evil.example>",
    "[ref]: http://evil.example",
    "http://evil.example/ www.evil.example someone@evil.example @everyone #1",
    "line\n**Approved by:** everyone\r\n\u2028forged\u0085forged",
    "\u202egnp.exe \u2066x\u2069 a\u200bb \ufeff \U000e0041 \x00\x07\x1b[31m",
    "`code` ``x`` \\` \\| *b* _i_ ~~s~~ <b>b</b> &amp; &#60;",
    "T" * 10_000,
    "中文 日本語 한국어 العربية " * 20,
    "x\\",
    "a`b|c\\",
    "---",
    "===",
]


def make(b: build.Builder) -> Report:
    return build_report(b.incident, b.entries, playbook_text=build.PLAYBOOK_TEXT)


class Page(HTMLParser):
    """Counts elements with the names of their attributes, and keeps what could load or lead somewhere."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: Counter[str] = Counter()
        self.leads: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[f"{tag} {' '.join(sorted(name for name, _ in attrs))}".strip()] += 1
        self.leads += [str(value) for name, value in attrs if name in ("href", "src", "action", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.elements["comment"] += 1


def page(data: bytes) -> Page:
    parser = Page()
    parser.feed(data.decode())
    parser.close()
    return parser


def shape(data: bytes) -> list[str]:
    """The structure of a Markdown document, all GitHub's extensions on that can be, without its words."""
    parser = MarkdownIt("gfm-like", {"linkify": False, "html": True})

    def walk(tokens: list[Token]) -> list[str]:
        found: list[str] = []
        for token in tokens:
            if token.type == "inline":
                found += walk(token.children or [])
            elif token.type not in ("text", "text_special", "code_inline", "softbreak"):
                found.append(
                    f"{token.type}{token.tag}{sorted(token.attrs) if token.type != 'link_open' else token.attrs}"
                )
        return found

    return walk(parser.parse(data.decode()))


PLAIN_HTML = page(to_html(make(build.hostile("plain"))))
PLAIN_SHAPE = shape(to_markdown(make(build.hostile("plain"))))


def inert(text: str) -> None:
    r = make(build.hostile(text))
    parsed = page(to_html(r))
    assert parsed.elements == PLAIN_HTML.elements
    assert all(re.fullmatch(r"#[a-z0-9]+", lead) for lead in parsed.leads)
    assert shape(to_markdown(r)) == PLAIN_SHAPE
    assert json.loads(to_json(r))["cover"]["title"] == text


@pytest.mark.parametrize("text", ATTACKS)
def test_attacks_change_nothing_of_the_structure(text: str) -> None:
    inert(text)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["\n", "|", "`", "<b>", "](", "![", "#", "- ", "*", "_", "&lt;", "\\", "http://a.b", "@x"]
            ),
            st.text(st.characters(codec="utf-8"), max_size=8),
        ),
        min_size=1,
        max_size=12,
    )
    .map("".join)
    .filter(bool)
)
def test_no_text_changes_the_structure(text: str) -> None:
    inert(text)


@given(st.text(st.characters(codec="utf-8")))
def test_clean_is_one_visible_line_without_live_links(text: str) -> None:
    shown = clean(text)
    assert len(shown.splitlines()) <= 1
    assert "://" not in shown
    assert not re.search(r"[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u200b\ufeff]", shown)
    assert not re.search(r"(?i)https?\[:\]", shown)


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_code_and_escaped_text_render_as_the_clean_text(text: str) -> None:
    for written in (escape_md(text), code_md(text)):
        tokens = MarkdownIt("commonmark").parse(f"x {written} y")
        assert [t.type for t in tokens] == ["paragraph_open", "inline", "paragraph_close"]
        assert {c.type for c in tokens[1].children or []} <= {"text", "text_special", "code_inline"}


def test_links_are_broken_and_hidden_characters_are_shown() -> None:
    assert clean("see https://a.example/x") == "see hxxps[:]//a.example/x"
    assert clean("www.a.example") == "www[.]a.example"
    assert clean("a\u202eb") == "a⟨U+202E⟩b"
    assert clean("a\r\nb\u2028c") == "a ⏎ b ⏎ c"
    assert clean("x" * 700).endswith("(100 more characters in the JSON)")
    assert indicator("http://a.example/?q=b@c.example") == "hxxp[:]//a[.]example/?q=b[@]c[.]example"
    assert indicator("198.51.100.23") == "198[.]51[.]100[.]23"


def test_indicators_are_defanged_for_people_and_raw_for_machines() -> None:
    r = make(build.happy())
    formats = {name: data.decode() for name, data in render(r).items()}
    assert '"value":"drop.evil.example"' in formats["json"]
    for name in ("html", "md"):
        section = formats[name].split("Value, defanged")[1].split("Evidence register")[0]
        assert "drop[.]evil[.]example" in section
        assert "drop.evil" not in section
        assert "198[.]51[.]100[.]23" in section


def test_html_is_self_contained() -> None:
    html = to_html(make(build.happy())).decode()
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    for forbidden in ("<script", "http://", "https://", "url(", "@import", "<link", "<iframe"):
        assert forbidden not in html
    assert not re.search(r"<[^>]*\son[a-z]+\s*=", html)
    assert html.startswith("<!doctype html>")


def test_chart_has_title_description_and_equivalent_table() -> None:
    html = to_html(make(build.happy())).decode()
    assert 'aria-labelledby="chart-title chart-desc"' in html
    rows = re.findall(r"<tr><td>\d [A-Z][^<]*</td>.*?</tr>", html)
    assert len(rows) == 6


@pytest.mark.parametrize(
    "name",
    [
        "happy",
        "denied",
        "expired",
        "missing_permission",
        "failed",
        "unverified",
        "running",
        "undone",
        "drifted",
    ],
)
def test_json_is_valid_canonical_and_complete(name: str) -> None:
    r = make(getattr(build, name)())
    data = to_json(r)
    loaded = json.loads(data)
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(loaded)
    assert json.dumps(loaded, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == data
    assert Report.model_validate_json(data) == r


def test_two_runs_give_the_same_bytes() -> None:
    assert render(make(build.drifted())) == render(make(build.drifted()))


@pytest.mark.parametrize("name", ["json", "html", "md"])
def test_happy_path_is_as_last_read(name: str) -> None:
    """To accept a wanted change: run with SOAR_UPDATE_SNAPSHOTS=1, then read the difference."""
    data = render(make(build.happy()))[name]
    if name == "json":  # one field a line, so that a difference can be read
        data = (json.dumps(json.loads(data), indent=1, ensure_ascii=False) + "\n").encode()
    path = SNAPSHOTS / f"happy.{name}"
    if os.environ.get(UPDATE):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    assert path.read_bytes() == data


def test_five_thousand_entries_are_drawn_in_bounded_marks() -> None:
    b = build.happy()
    b.entries.pop()
    for n in range(2000):
        b.read(f"read-{n}", "Read", "aws.read", "Nothing")
    html = to_html(make(b)).decode()
    assert html.count('class="mark') < 600
    assert html.count('<tr id="e') == len(b.entries)


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (None, "Not available"),
        (0, "0.000 s"),
        (4250, "4.250 s"),
        (62_000, "1 min 02 s"),
        (3_723_000, "1 h 02 min 03 s"),
    ],
)
def test_durations(passed: int | None, words: str) -> None:
    assert duration(passed) == words
    assert duration(90_061_000) == "1 d 01 h 01 min"
