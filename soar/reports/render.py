"""Report → JSON, HTML, Markdown. Pure; every text of the report is an attacker's until it is escaped here."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from soar.model.base import JsonObject, canonical_json
from soar.reports import text
from soar.reports.chart import timeline_chart
from soar.reports.sections import Report, WaitEnd
from soar.reports.summary import IN_PLACE_WORDS

__all__ = ["MEDIA_TYPES", "render", "report_schema", "to_html", "to_json", "to_markdown"]

MEDIA_TYPES = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
}
"""The formats, by the name that is also the file's ending."""


WAIT_ENDS: dict[WaitEnd, str] = {
    "time": "its time was over",
    "condition": "it happened",
    "alert": "an alert came",
    "person": "a person skipped it",
    "stopped": "it was stopped",
    "waiting": "not ended",
}
SEVERITY_CAUSES = {
    "opened": "as it was opened",
    "alert": "an alert",
    "rule": "the playbook",
    "person": "a person",
}


def to_json(report: Report) -> bytes:
    """The report as canonical JSON in UTF-8: whole, raw, keys sorted. `report_schema` describes it."""
    return canonical_json(report).encode()


def report_schema() -> JsonObject:
    """The JSON Schema (draft 2020-12) of what `to_json` writes."""
    schema: JsonObject = Report.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Post-incident report"
    return schema


def to_html(report: Report) -> bytes:
    """The report as one self-contained page: no script, nothing loaded, readable in black and white and on paper."""
    return _render("report.html.j2", report, _html_environment())


def to_markdown(report: Report) -> bytes:
    """The report as Markdown (CommonMark with GitHub's tables)."""
    return _render("report.md.j2", report, _markdown_environment())


def render(report: Report) -> dict[str, bytes]:
    """The report in all formats of `MEDIA_TYPES`."""
    return {"json": to_json(report), "html": to_html(report), "md": to_markdown(report)}


def _render(template: str, report: Report, environment: Environment) -> bytes:
    page = environment.get_template(template).render(
        r=report,
        chart=timeline_chart(report),
        in_place=IN_PLACE_WORDS,
        wait_ends=WAIT_ENDS,
        severity_causes=SEVERITY_CAUSES,
        effects={effect.number: effect for effect in report.effects},
    )
    # A lone surrogate cannot be written in UTF-8; `text.clean` has shown it by its code point already.
    return page.encode("utf-8", "backslashreplace")


def _environment(**options: Any) -> Environment:
    environment = Environment(
        loader=PackageLoader("soar.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.filters.update(
        when=text.when,
        duration=text.duration,
        size=text.size,
        value=text.value,
        provided=text.provided,
        defang=text.indicator,
    )
    return environment


@cache
def _html_environment() -> Environment:
    def finalize(shown: object) -> object:
        # Every expression passes here, so that no field can be forgotten.
        return shown if isinstance(shown, Markup) else escape(text.clean(shown))

    environment = _environment(finalize=finalize)
    environment.filters["long"] = lambda shown: escape(text.clean(shown, 4000))
    environment.filters["block"] = _block
    return environment


@cache
def _markdown_environment() -> Environment:
    environment = _environment(finalize=text.escape_md)
    environment.filters["long"] = lambda shown: text.escape_md(shown, 4000)
    environment.filters["code"] = text.code_md
    environment.filters["indented"] = _indented
    return environment


def _block(source: str) -> Markup:
    """Several lines, each cleaned by itself, for `<pre>`."""
    return Markup("\n").join(escape(text.clean_line(line)) for line in source.split("\n"))


def _indented(source: str) -> Markup:
    """An indented code block: no line of it can end it."""
    lines = "\n".join("    " + text.clean_line(line) for line in source.split("\n"))
    return Markup(lines)  # noqa: S704 - four blanks before each line make it code
