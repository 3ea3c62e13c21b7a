"""The organisation's policy, read from its file whenever that changes."""

from __future__ import annotations

from pathlib import Path

from soar.playbook.diagnostics import Diagnostic, PlaybookError
from soar.playbook.library import read_text
from soar.playbook.policy import Policy, load_policy

__all__ = ["PolicyFile"]


class PolicyFile:
    """Gives the policy that is in force.

    A file that is there and cannot be used is never taken for no policy, nor is an older version kept in force:
    whoever asks gets the error, and changes wait until it is mended.

    Args:
        path: The file; None: there is no policy.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._policy: Policy | None = None

    def current(self) -> Policy | None:
        """The policy as the file says it now.

        Raises:
            PlaybookError: The file cannot be read, or is no policy; the message has its line.
        """
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError as error:
            raise PlaybookError(
                [
                    Diagnostic(
                        file=str(self._path),
                        line=1,
                        column=1,
                        severity="error",
                        rule="policy-file",
                        message=f"the policy cannot be read: {error.strerror}",
                        hint="put it back, or correct SOAR_POLICY_FILE",
                    )
                ]
            ) from error
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp != self._stamp:
            self._policy = load_policy(read_text(self._path), file=str(self._path))
            self._stamp = stamp
        return self._policy
