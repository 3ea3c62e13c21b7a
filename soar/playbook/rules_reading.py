"""The rules for reading files: text, YAML, and the shape of a playbook."""

from __future__ import annotations

from typing import Final

from soar.playbook.rule import Rule

__all__ = ["READING_RULES"]

_REPORT = "lessons_learned:\n  - {id: report, do: report.write}\n"

READING_RULES: Final = (
    Rule(
        id="unreadable",
        severity="error",
        title="The file cannot be read.",
        why="The system refuses it. The message says why: the file may be missing or its rights may forbid it.",
    ),
    Rule(
        id="no-folder",
        severity="error",
        title="A folder of playbooks does not exist.",
        why="A folder that is set but missing would silently mean no playbooks. Correct the setting, or make it.",
    ),
    Rule(
        id="text",
        severity="error",
        title="The file is not UTF-8 text.",
        why="Save it as UTF-8. A lone half of a character pair is no text either, however it is escaped.",
        bad='title: "\\ud800"\n' + _REPORT,
        good='title: "Leaked key"\n' + _REPORT,
    ),
    Rule(
        id="empty",
        severity="error",
        title="The file is empty.",
        why="Remove it, or write the playbook.",
    ),
    Rule(
        id="too-large",
        severity="error",
        title="The file, or what its aliases stand for, is too large.",
        why="Reading is bounded, so that no file can exhaust the memory. Split the playbook: a step can call another.",
    ),
    Rule(
        id="too-deep",
        severity="error",
        title="Something is nested too deep.",
        why="Forty levels are read. Move inner steps into a playbook of their own.",
    ),
    Rule(
        id="yaml",
        severity="error",
        title="The file is not YAML.",
        why="The message names the place where reading stopped; what is wrong often stands a line above it.",
        bad="title: [never closed\n" + _REPORT,
        good="title: closed\n" + _REPORT,
    ),
    Rule(
        id="json",
        severity="error",
        title="The file is not JSON.",
        why="A playbook in CACAO is JSON. The message names the place where reading stopped.",
    ),
    Rule(
        id="tag",
        severity="error",
        title="A YAML tag is used.",
        why="Tags can make objects of a program out of text, so none is read. How a value is written shows its kind.",
        bad="title: !!python/name:os.system x\n" + _REPORT,
        good="title: x\n" + _REPORT,
    ),
    Rule(
        id="merge-key",
        severity="error",
        title="A YAML merge key (<<) is used.",
        why="A reviewer could not see at one place what a step says. Write the fields out, or use `set` and templates.",
        bad="inputs:\n  <<: {}\n" + _REPORT,
        good="inputs: {}\n" + _REPORT,
    ),
    Rule(
        id="key",
        severity="error",
        title="A key is not text.",
        why="Keys are names. Put a key that looks like a number, true or false into quotes.",
        bad="outputs:\n  1: alert.account\n" + _REPORT,
        good="outputs:\n  first: alert.account\n" + _REPORT,
    ),
    Rule(
        id="duplicate-key",
        severity="error",
        title="A key stands twice in one mapping.",
        why="YAML readers keep the last one without a word, so a step could silently lose its approval. Keep one.",
        bad="title: one\ntitle: two\n" + _REPORT,
        good="title: one\n" + _REPORT,
    ),
    Rule(
        id="number",
        severity="error",
        title="A number is too large.",
        why="It cannot be held exactly. Write it as text in quotes if it is an id.",
        bad="title: 1e999\n" + _REPORT,
        good='title: "1e999"\n' + _REPORT,
    ),
    Rule(
        id="shape",
        severity="error",
        title="The file is not a mapping of names to values.",
        why="A playbook begins with fields such as `name:` and `match:`.",
    ),
    Rule(
        id="unknown-field",
        severity="error",
        title="There is no such field.",
        why="A misspelt field would otherwise be passed over, and with it an approval or a condition.",
        bad="recovery:\n  - {id: hold, do: report.write, wen: 'true'}\n",
        good="recovery:\n  - {id: hold, do: report.write, when: 'true'}\n",
        fixable=True,
    ),
    Rule(
        id="missing-field",
        severity="error",
        title="A field that is needed is missing.",
        why="Add it. `soar playbook schema` has every field, for editors.",
        bad="lessons_learned:\n  - {do: report.write}\n",
        good=_REPORT,
    ),
    Rule(
        id="unknown-value",
        severity="error",
        title="A field does not know the word that it is given.",
        why="The field takes one of a few words, which the message lists.",
        bad="lessons_learned:\n  - {id: report, do: report.write, on_error: contiune}\n",
        good="lessons_learned:\n  - {id: report, do: report.write, on_error: continue}\n",
        fixable=True,
    ),
    Rule(
        id="bad-name",
        severity="error",
        title="A name has characters that names do not have.",
        why="Ids become parts of expressions and of records, so they are made of small letters, digits and _.",
        bad="lessons_learned:\n  - {id: Write-Report, do: report.write}\n",
        good="lessons_learned:\n  - {id: write_report, do: report.write}\n",
    ),
    Rule(
        id="bad-value",
        severity="error",
        title="A value is not of the kind that its field holds.",
        why="The message says what is expected: a duration is 15m, a severity is a word, a list is a list.",
        bad="lessons_learned:\n  - {id: report, do: report.write, timeout: 15}\n",
        good="lessons_learned:\n  - {id: report, do: report.write, timeout: 15m}\n",
    ),
    Rule(
        id="duplicate-name",
        severity="error",
        title="Two playbooks have one name.",
        why="Incidents, commands and other playbooks know a playbook by its name. Rename one of them.",
    ),
)
"""In the order of reading."""
