"""Errors that a user can act on, and the exit codes of every command.

One sentence says what was wrong and where, a second one what to do. A traceback is for our own mistakes only.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line; documented in docs/cli.md."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    INCONCLUSIVE = 3
    UNVERIFIED = 4
    PREREQUISITE = 5
    WRITE = 6
    UNMEASURED = 7
    INTERNAL = 70
    INTERRUPTED = 130


class NocereError(Exception):
    """Base of every error that is shown to a user.

    Args:
        message: what was wrong, and where.
        hint: what to do about it; empty when the message says it.
    """

    exit_code: Exit = Exit.USAGE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[type[NocereError], tuple[str, str]]:
        return type(self), (self.message, self.hint)


class UsageError(NocereError):
    """The request cannot be carried out as it was put."""


class DataError(NocereError):
    """A case, label or manifest is not what it should be."""


class TargetError(NocereError):
    """The model cannot be loaded, asked or trusted."""


class PlanError(NocereError):
    """The audit plan is not valid."""


class PrerequisiteError(NocereError):
    """An optional package or system program is missing."""

    exit_code = Exit.PREREQUISITE


class VerificationError(NocereError):
    """Evidence does not verify: changed, missing, or not reproducible."""

    exit_code = Exit.UNVERIFIED


class WriteError(NocereError):
    """A result could not be written; nothing half written is left under its final name."""

    exit_code = Exit.WRITE


class AttackFaultError(Exception):
    """An attack broke its contract (NaN, wrong rows, out of access); costs that attack only."""
