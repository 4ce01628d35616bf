"""Every error that logcommon raises, under one root.

No message of ours carries a logged message or a credential, so an error of this package can be
shown or logged anywhere.
"""

from typing import Any


class LogCommonError(Exception):
    """The root of every error raised by logcommon. Each can be pickled and copied."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with its text, which some of the classes below don't take.
        return _rebuild, (type(self), self.args), self.__dict__


def _rebuild(kind: type[LogCommonError], args: tuple[object, ...]) -> LogCommonError:
    error = kind.__new__(kind)
    error.args = args
    return error


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


class ClusterUnsupportedError(ServerRefusedError):
    """The server is a node of a Redis Cluster, which is not supported yet; nothing was written."""


class EmbeddedServerError(LogCommonError):
    """The embedded server can't be found, started or stopped."""


class SpoolError(LogCommonError):
    """The spool can't be used: its file can't be written to, is in use, or is no spool.

    `path` is the spool's, `problem` what is wrong with it and what to do.
    """

    def __init__(self, path: object, problem: object) -> None:
        self.path: str = str(path)
        self.problem: str = str(problem)
        super().__init__(self.path, self.problem)  # both, so that a copy of it can be made

    def __str__(self) -> str:
        return f"the spool {self.path} can't be used: {self.problem}"
