"""What the tests of every part share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from hypothesis import settings
from postgres import NoPostgres, postgres_server

# No test asserts a time: a busy machine must not fail one.
settings.register_profile("soar", deadline=None)
settings.load_profile("soar")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL; without one the test is skipped, but never in CI."""
    try:
        with postgres_server() as url:
            yield url
    except NoPostgres as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
