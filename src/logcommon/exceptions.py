"""Every error that logcommon raises, under one root.

No message of ours carries a logged message or a credential, so an error of this package can be
shown or logged anywhere.
"""


class LogCommonError(Exception):
    """The root of every error raised by logcommon."""


class InvalidArgumentError(LogCommonError, ValueError):
    """An argument can't be used; nothing was changed."""


class CommitTimeoutError(LogCommonError, TimeoutError):
    """`log_common` did not get its transaction through in time; nothing was counted.

    `key` is the destination's key in Redis, `attempts` how many transactions were tried.
    """

    def __init__(self, key: str, attempts: int, fault: str | None = None) -> None:
        self.key = key
        self.attempts = attempts
        because = f" (the last fault was {fault})" if fault else ""
        super().__init__(
            f"{key}: not counted: time ran out after {attempts} attempts{because}; "
            "call again, or give a longer timeout"
        )


class OutcomeUnknownError(LogCommonError):
    """The connection was lost after EXEC was sent: the entry was counted once or not at all.

    It is never sent again, so it can't be counted twice. `key` is the destination's key in Redis.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"{key}: the connection was lost after EXEC was sent, so the entry was counted once or "
            "not at all; calling again could count it twice (CommonLog would settle it exactly)"
        )


class NotWrittenError(LogCommonError):
    """An entry that was waited for did not reach Redis, and will not."""


class ClientClosedError(LogCommonError):
    """The client is not open: use it inside `async with logcommon.connect(...)`."""


class SyncUseError(LogCommonError, TypeError):
    """`with` was used where `async with` is needed, or `logcommon.background`."""


class ServerUnavailableError(LogCommonError):
    """Redis can't be reached."""


class LoginRefusedError(ServerUnavailableError):
    """Redis was reached and refused the name or the password."""


class ServerRefusedError(LogCommonError):
    """Redis answered a command with an error; the command changed nothing."""


class EmbeddedServerError(LogCommonError):
    """The embedded server can't be found, started or stopped."""


class SpoolError(LogCommonError):
    """The spool can't be used: its file can't be written to, is in use, or is no spool."""

    def __init__(self, path: object, error: Exception) -> None:
        advice = (
            "another client has it: give each process a spool of its own"
            if "locked" in str(error)
            else f"{type(error).__name__}: {error}"
        )
        super().__init__(f"the spool {path} can't be used: {advice}")
