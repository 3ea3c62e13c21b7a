"""YAML that is made to cost too much, or to be something else than it seems."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["yaml_texts"]

_HEAD = "name: a\nmatch: {source: test}\ncorrelate_by: [alert.uid]\n"
_STEP = "{id: s, do: lamp.look, with: {lamp: hall}}"


def _aliases(levels: int, each: int) -> str:
    rows = ["a0: &a0 [x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * each)}]" for n in range(1, levels)]
    return "\n".join(rows)


def _nested_steps(levels: int) -> str:
    rows = [f"{_HEAD}containment:"]
    for n in range(levels):
        pad = "  " * n
        rows += [f"{pad}- if: 'true'", f"{pad}  then:"]
    return "\n".join([*rows, "  " * levels + f"- {_STEP}"])


def _many_steps(count: int) -> str:
    return f"{_HEAD}containment:\n" + "".join(f"- {{id: s{n}, do: lamp.look}}\n" for n in range(count))


def yaml_texts() -> Iterator[tuple[str, str | bytes]]:
    """Each text with its name."""
    yield "aliases that grow tenfold at each level", _aliases(12, 10)
    yield "aliases that double at each level", _aliases(60, 2)
    yield "aliases as mappings", "a: &a {x: 1}\n" + "\n".join(f"b{n}: *a" for n in range(9000))
    yield "an alias to what is around it", "a: &a [*a]"
    yield "an alias to the whole file", "&a\nname: *a"
    yield "an alias to a mapping around it", "&a {b: {c: *a}}"
    yield "an alias without an anchor", "a: *nothing"
    yield "an anchor twice", "a: &x 1\nb: &x 2\nc: *x"
    yield "many anchors", "\n".join(f"a{n}: &a{n} x" for n in range(9000))
    for levels in (41, 200, 5_000, 100_000):
        yield f"{levels} lists in brackets", "a: " + "[" * levels + "]" * levels
        yield f"{levels} lists that are not closed", "a: " + "[" * levels
        yield f"{levels} mappings in braces", "{a: " * levels + "1" + "}" * levels
        yield f"{levels} lists in a block", "a:\n  " + "- " * levels + "x"
        yield f"{levels} keys in a row", "a: " * levels
        yield f"{levels} explicit keys", "? " * levels
    for levels in (200, 600):
        yield f"{levels} mappings in a block", "".join(" " * n + "a:\n" for n in range(levels))
        yield f"{levels} steps in each other", _nested_steps(levels)
    yield "steps as deep as is read", _nested_steps(12)
    for count in (100_000, 9_000, 3_000, 1_000):
        yield f"{count} steps", _many_steps(count)
    yield "as many values as fit into a file", "a: [" + "1," * 120_000 + "]"
    yield "as many empty lists as fit into a file", "a: [" + "[]," * 80_000 + "]"
    yield "as many keys as fit into a file", "\n".join(f"k{n}: 1" for n in range(25_000))
    yield "a text that is as long as a file", "name: " + "x" * 260_000
    yield "a text that is longer than a file", "name: " + "x" * 5_000_000
    yield "a quoted text", 'name: "' + "x\\n" * 80_000 + '"'
    yield "a quoted text that is not closed", 'name: "' + "x " * 120_000
    yield "a single-quoted text over many lines", "name: '" + "x\n\n" * 80_000 + "'"
    yield "a block of text", "name: |\n" + "  x\n" * 60_000
    yield "a folded block of text", "name: >\n" + "  x\n\n" * 40_000
    yield "plain text over many lines", "name: a\n" + "  b\n" * 60_000
    yield "a line of spaces", "name:" + " " * 250_000 + "x"
    yield "empty lines", "\n" * 250_000 + "name: a"
    yield "comments", "# x\n" * 60_000 + "name: a"
    yield "a long key", "x" * 250_000 + ": 1"
    yield "a key that is too long to be one", "name: a\n" + "x" * 2_000 + ": 1"
    yield "many documents", "--- a\n" * 40_000
    yield "directives", "%TAG ! tag:x,2000:\n" * 10_000 + "---\nname: a"
    yield "a directive of another version", "%YAML 3.14\n---\nname: a"
    for number in (
        "9" * 99,
        "9" * 5_000,
        "1e400",
        "-1e400",
        "0x" + "f" * 90,
        "0b1111",
        "1_000",
        "1:30:00",
        ".inf",
        ".nan",
    ):
        yield (
            f"the number {number[:10]} ({len(number)})",
            f"{_HEAD}inputs: {{n: {{type: number, default: {number}}}}}\ncontainment: [{_STEP}]",
        )
        yield (
            f"a step's number {number[:10]} ({len(number)})",
            f"{_HEAD}containment: [{{id: s, do: lamp.look, with: {{lamp: {number}}}}}]",
        )
        yield (
            f"attempts {number[:10]} ({len(number)})",
            f"{_HEAD}containment: [{{id: s, do: lamp.look, retry: {{attempts: {number}}}}}]",
        )
    yield "a number of many digits", "name: " + "9" * 200_000
    yield "a key twice", "name: a\nname: b"
    yield "a merge key", "a: &a {x: 1}\nb: {<<: *a}"
    yield "a merge of many", "a: &a {x: 1}\nb: {<<: [" + "*a," * 5_000 + "]}"
    yield (
        "merges in merges",
        "\n".join(["m0: &m0 {k: v}", *(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}" for n in range(1, 40))]),
    )
    for tag in (
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "!!python/object:object {}",
        "!!python/module:os",
        "!<tag:yaml.org,2002:python/object/new:os.system> ['true']",
        "!!set {a}",
        "!!omap [a: 1]",
        "!!binary aGk=",
        "!!timestamp 2001-01-01",
        "!!float x",
        "!!int 'x'",
        "!!null x",
        "!!bool x",
        "!local x",
        "! x",
        "!!merge <<",
        "!!value =",
        "!" + "x" * 100_000 + " y",
        "!%00 x",
        "!%ff%fe x",
        "!%zz x",
        "!!str 1",
    ):
        yield f"the tag {tag[:40]}", f"name: {tag}"
    yield "a date", "name: 2001-12-14t21:59:43.10-05:00"
    yield "a date that is none", "name: 2001-99-99"
    yield "bytes that are no UTF-8", b"name: \xff\xfe\xfa"
    yield "UTF-16", "name: a".encode("utf-16")
    yield "UTF-32", "name: a".encode("utf-32")
    yield "half a character, encoded", b"name: \xed\xa0\x80"
    yield "half a character, escaped", 'name: "\\ud800"'
    yield "a mark of the byte order", "\ufeffname: a"
    yield "marks of the byte order in the middle", "name: \ufeffa\ufeff\n\ufeffb: 1"
    yield "nothing", ""
    yield "only a mark of the byte order", "\ufeff"
    yield "zero bytes", b"\0" * 1_000
    yield "a zero byte", "name: a\0b"
    for code in (1, 7, 8, 0x1B, 0x7F, 0x80, 0x85, 0x9F, 0x2028, 0x202E, 0xFFFE, 0xFFFF, 0x10FFFF):
        yield f"the character {code:04x}", f"name: a{chr(code)}b\n{chr(code)}: 1"
        yield (
            f"the character {code:04x} in a step",
            f"{_HEAD}containment: [{{id: s, do: lamp.look, name: 'a{chr(code)}b'}}]",
        )
    yield "an escape too large", 'name: "\\U7fffffff"'
    yield "an escape that is cut off", 'name: "\\x'
    yield "carriage returns", "name: a\rmatch: b\r\r\n"
    yield "tabs", "name:\n\t- a\n\tb: c"
    yield "a list for a key", "? [a, b]\n: c"
    yield "a mapping for a key", "{{a: b}: c}"
    yield "a number for a key", f"{_HEAD}1: 2"
    yield "null for a key", "~: 1"
    yield "an endless row of commas", "a: [" + "," * 100_000
    yield "an endless row of question marks", "?" * 200_000
    yield "an endless row of dashes", "-" * 200_000
    yield "an endless row of colons", ":" * 200_000
    yield "an endless row of exclamation marks", "!" * 200_000
    yield "an endless row of ampersands", "&" * 200_000
    yield "an endless row of percent signs", "%" * 200_000
    yield "an endless row of quotes", "'" * 200_000
    yield "an endless row of bars", "a: " + "|" * 100_000
    yield "braces that open and close", "{}" * 100_000
    yield "errors at every step", f"{_HEAD}containment:\n" + "- {ix: 1}\n" * 8_000
    yield "many unknown fields", _HEAD + "".join(f"matc{n}: 1\n" for n in range(9_000))
    yield "many errors that are near to something", _HEAD + "containment:\n" + "- {id: s, doo: x}\n" * 5_000
    yield (
        "a when of many names",
        f"{_HEAD}containment: [{{id: s, do: lamp.look, when: '{' + '.join(['alert.title'] * 300)}'}}]",
    )
    yield (
        "a when that is nested",
        f"{_HEAD}containment: [{{id: s, do: lamp.look, when: '{'(' * 2000}1{')' * 2000}'}}]",
    )
    yield "a name of a million letters in a text", f"{_HEAD}containment: [{{id: s, do: {'x' * 200_000}}}]"
    long_when = "alert.title == 1 or " * 200 + "true"
    yield (
        "a long when in many steps",
        f"{_HEAD}containment:\n" + f"- {{id: s, do: lamp.look, when: '{long_when}'}}\n" * 50,
    )
