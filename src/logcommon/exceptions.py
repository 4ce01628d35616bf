"""Every error that logcommon raises, with one base class.

Their texts never contain a logged message or a credential, so they can be shown or logged anywhere.
"""

from typing import Any


class LogCommonError(Exception):
    """The base class of every error of logcommon. Each can be pickled and copied."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By default the class is called with the text alone, which does not suit all classes below.
        return _rebuild, (type(self), self.args), self.__dict__


def _rebuild(kind: type[LogCommonError], args: tuple[object, ...]) -> LogCommonError:
    error = kind.__new__(kind)
    error.args = args
    return error


class InvalidArgumentError(LogCommonError, ValueError):
    """An argument can't be used; nothing was changed."""


class CommitTimeoutError(LogCommonError, TimeoutError):
    """The function `log_common` ran out of time before its transaction was executed.

    Nothing was counted. `key` is the destination's key in Redis, `attempts` the number of attempts.
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

    It was not sent again, which could have counted it twice. `key` is the destination's key in
    Redis.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"{key}: the connection was lost after EXEC was sent, so the entry was counted once or "
            "not at all; calling again could count it twice (a CommonLog counts it exactly once)"
        )


class NotWrittenError(LogCommonError):
    """An entry that a call waited for was not written to Redis, and will not be."""


class ClientClosedError(LogCommonError):
    """The client is not open: use it inside `async with logcommon.connect(...)`."""


class SyncUseError(LogCommonError, TypeError):
    """`with` was used on a client of `connect`: use `async with`, or `background`."""


class ServerUnavailableError(LogCommonError):
    """Redis can't be reached."""


class LoginRefusedError(ServerUnavailableError):
    """Redis refused the user or the password."""


class ServerRefusedError(LogCommonError):
    """Redis answered a command with an error; that command changed nothing."""


class ClusterUnsupportedError(ServerRefusedError):
    """The server is a node of a Redis Cluster, which is not supported yet; nothing was written."""


class EmbeddedServerError(LogCommonError):
    """The embedded server can't be found, started or stopped."""


class SpoolError(LogCommonError):
    """The spool can't be used: its file can't be written to, is in use, or is not a spool.

    `path` is the path of the spool, `problem` says what is wrong with it and what to do.
    """

    def __init__(self, path: object, problem: object) -> None:
        self.path: str = str(path)
        self.problem: str = str(problem)
        super().__init__(self.path, self.problem)  # both, so that a copy of it can be made

    def __str__(self) -> str:
        return f"the spool {self.path} can't be used: {self.problem}"
