"""What redis-py raises, as errors of ours."""

import pytest
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ConnectionError,  # noqa: A004  # redis-py's own
    InvalidResponse,
    MasterDownError,
    MovedError,
    NoPermissionError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004  # likewise
)

from logcommon.exceptions import (
    ClusterUnsupportedError,
    LogCommonError,
    LoginRefusedError,
    ServerRefusedError,
    ServerUnavailableError,
)
from logcommon.server.errors import describe, is_cluster_error, translate

QUOTING = "unknown command 'ZINCRBY', with args beginning with: 'k' 'secret'"


def test_a_described_error_quotes_no_arguments() -> None:
    """If a server repeats a command's arguments, they are left out."""
    assert describe(ResponseError(QUOTING)) == "ResponseError: unknown command 'ZINCRBY'"
    assert describe(AuthenticationError()) == "AuthenticationError"


def test_the_original_error_quotes_no_arguments_either() -> None:
    """It stays behind ours as its context, and reporters print that."""
    original = ResponseError(QUOTING)
    translated = translate(original, (b"ZINCRBY", b"common:api:info", 1, b"secret"))
    assert str(translated) == (
        "Redis refused ZINCRBY of common:api:info: ResponseError: unknown command 'ZINCRBY'"
    )
    assert "secret" not in str(original)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (AuthenticationError(), LoginRefusedError),
        (AuthorizationError(), ServerUnavailableError),
        (ConnectionError(), ServerUnavailableError),
        (TimeoutError(), ServerUnavailableError),
        (OSError(), ServerUnavailableError),
        (InvalidResponse(), ServerUnavailableError),
        (MovedError("1 host:1"), ClusterUnsupportedError),
        (ClusterDownError("CLUSTERDOWN"), ClusterUnsupportedError),
        (NoPermissionError(), ServerRefusedError),
        (MasterDownError("MASTERDOWN"), ServerRefusedError),
        (ResponseError(), ServerRefusedError),
    ],
)
def test_each_error_has_one_of_ours(
    error: RedisError | OSError, kind: type[LogCommonError]
) -> None:
    """Which one depends on what the user has to do about it."""
    assert type(translate(error)) is kind


def test_a_replica_without_its_primary_is_no_cluster() -> None:
    """redis-py derives that error from one of a cluster."""
    assert not is_cluster_error(MasterDownError("MASTERDOWN"))
    assert is_cluster_error(ClusterDownError("CLUSTERDOWN"))
