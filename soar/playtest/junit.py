"""Results as JUnit XML, which CI systems show."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from soar.playtest.run import TestResult

__all__ = ["junit_xml"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold (section 2.2), however it is written."""


def junit_xml(results: Sequence[TestResult]) -> bytes:
    """Write results as one suite for each test file."""
    root = ElementTree.Element("testsuites", _counts(results))
    for file in dict.fromkeys(result.file for result in results):
        mine = [result for result in results if result.file == file]
        suite = ElementTree.SubElement(root, "testsuite", {"name": _text(file), **_counts(mine)})
        for result in mine:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                {
                    "classname": _text(result.playbook or file),
                    "name": _text(result.name),
                    "file": _text(file),
                    "line": str(result.line),
                    "time": f"{result.seconds:.3f}",
                },
            )
            if result.status == "passed":
                continue
            kind = "failure" if result.status == "failed" else "error"
            first = result.failures[0].message if result.failures else result.status
            told = ElementTree.SubElement(case, kind, {"message": _text(first)})
            told.text = _text("\n".join(map(str, result.failures)))
            ElementTree.SubElement(case, "system-out").text = _text("\n".join(result.timeline))
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _counts(results: Sequence[TestResult]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(r.status == "failed" for r in results)),
        "errors": str(sum(r.status == "error" for r in results)),
        "time": f"{sum(r.seconds for r in results):.3f}",
    }


def _text(value: str) -> str:
    return _NOT_XML.sub("\ufffd", value)
