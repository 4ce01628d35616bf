"""What an open client has, for tests of what is inside it."""

from logcommon.client import CommonLog, _Session


def session_of(log: CommonLog) -> _Session:
    """Return the session of an open client."""
    assert log._session is not None, "the client is not open"
    return log._session
