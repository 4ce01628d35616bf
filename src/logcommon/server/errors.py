"""Translates errors of redis-py, and keeps messages and credentials out of their text."""

from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,  # noqa: A004  # redis-py's own, which is not the built-in one
    InvalidResponse,
    MasterDownError,
    RedisError,
    TimeoutError,  # noqa: A004  # likewise
    TryAgainError,
)

from logcommon.exceptions import (
    ClusterUnsupportedError,
    LogCommonError,
    LoginRefusedError,
    ServerRefusedError,
    ServerUnavailableError,
)
from logcommon.schema.commands import Command

CLUSTER_UNSUPPORTED = (
    "Redis Cluster is not supported yet: connect to a server that runs without cluster mode"
)

CONNECTION_LOST = (ConnectionError, TimeoutError, OSError)
"""What redis-py raises if there is no connection, or no longer one."""


def translate(error: RedisError | OSError, command: Command = ()) -> LogCommonError:
    """Return our error for one of redis-py's; its text names the key of `command`, if given."""
    if is_cluster_error(error):
        return ClusterUnsupportedError(describe(error))

    text = describe(error)
    # Error reporters may print the original as our error's context, so that must be clean too.
    error.args = (text,)
    if isinstance(error, AuthenticationError):
        return LoginRefusedError(
            f"Redis refused the login: {text}; check the user and the password"
        )
    if isinstance(error, (*CONNECTION_LOST, InvalidResponse)):
        return ServerUnavailableError(
            f"Redis can't be reached: {text}; check the URL and the server"
        )
    return ServerRefusedError(f"Redis refused {_name_of(command)}: {text}")


def describe(error: BaseException) -> str:
    """Return an error's type and text, without the command's arguments that servers quote."""
    if is_cluster_error(error):
        return CLUSTER_UNSUPPORTED
    text = str(error).partition(", with args")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_cluster_error(error: BaseException) -> bool:
    """Return whether only a node of a Redis Cluster answers with such an error."""
    # MovedError is an AskError. MasterDownError is a ClusterDownError, but any replica sends it.
    return isinstance(
        error, AskError | ClusterCrossSlotError | ClusterDownError | TryAgainError
    ) and not isinstance(error, MasterDownError)


def _name_of(command: Command) -> str:
    """Return a command and its first key, without the arguments after that."""
    parts = (part.decode("utf-8", "replace") for part in command[:2] if isinstance(part, bytes))
    return " of ".join(parts) or "a command"
