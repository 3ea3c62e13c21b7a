"""The health file of processes without a port."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from soar.runtime import health


async def test_beats_while_healthy_and_goes_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "alive"
    monkeypatch.setenv("SOAR_HEALTH_FILE", str(path))
    assert health.main() == 1
    asked = asyncio.Event()
    answers = iter(["no", "error", "yes"])

    async def healthy() -> bool:
        answer = next(answers, "yes")
        if answer == "error":
            raise RuntimeError("no Temporal")
        if path.exists():
            asked.set()
        return answer == "yes"

    task = asyncio.create_task(health.keep_alive_file(path, healthy, every=0.001))
    await asyncio.wait_for(asked.wait(), 20)
    assert health.main() == 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert health.main() == 1


def test_an_old_file_is_unhealthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "alive"
    path.touch()
    long_ago = time.time() - 120
    os.utime(path, (long_ago, long_ago))
    monkeypatch.setenv("SOAR_HEALTH_FILE", str(path))
    assert health.main() == 1
    assert "last touched 12" in capsys.readouterr().err
    monkeypatch.delenv("SOAR_HEALTH_FILE")
    assert health.main() == 1
