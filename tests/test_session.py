"""What a client has while it is open, seen from another event loop than its own."""

import asyncio
import gc
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import pytest

import logcommon
from logcommon import ClientClosedError, CommonLog, session

CALLS: dict[str, Callable[[CommonLog], Awaitable[object]]] = {
    "flush": lambda log: log.flush(),
    "log_common": lambda log: log.log_common("api", "m"),
    "log_recent": lambda log: log.log_recent("api", "m"),
    "top": lambda log: log.top("api"),
}


@pytest.fixture
def silent_url() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_waiter_learns_that_the_loop_of_the_client_was_closed(
    silent_url: str,
    call: Callable[[CommonLog], Awaitable[object]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A call from another event loop raises, for nobody is left to answer it."""
    monkeypatch.setattr("logcommon.session._CHECK_INTERVAL", 0.01)
    log = logcommon.connect(silent_url)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(log.__aenter__())

    async def wait() -> None:
        waiting = asyncio.ensure_future(call(log))
        await asyncio.sleep(0)
        loop.close()
        with pytest.raises(ClientClosedError, match="was closed"):
            await asyncio.wait_for(waiting, 20)

    asyncio.run(wait())
    gc.collect()  # what the loop was doing ends here, with complaints that are not of interest
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_waiter_in_another_loop_that_gives_up_is_forgotten(
    silent_url: str, call: Callable[[CommonLog], Awaitable[object]]
) -> None:
    """A deadline in another event loop ends the wait there, and nothing of it stays behind."""
    async with logcommon.connect(silent_url, drain_timeout=0) as log:
        log.log_common_nowait("api", "pending")

        async def give_up() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await call(log)

        await asyncio.to_thread(asyncio.run, give_up())
        assert log._session is not None
        assert not log._session.writer._waiters


class Failing:
    """Stands in for a writer that ends with an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def run(self, _: object) -> None:
        raise self._error

    async def copy_regularly(self) -> None:
        await asyncio.Event().wait()

    def close(self, _: float) -> None:
        pass


async def test_an_error_of_the_task_is_reported() -> None:
    """Closing the session hands the error of its task to the event loop, which logs it."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    error = RuntimeError("unexpected")
    running = session.Session.start(
        cast("Any", None), cast("Any", None), cast("Any", Failing(error))
    )
    await running.close(1)
    assert [context["exception"] for context in reported] == [error]
    assert "logcommon has failed" in reported[0]["message"]


def test_an_exit_behind_an_error_is_found() -> None:
    """SystemExit that anyio has turned into a RuntimeError still ends the program."""
    error, behind = RuntimeError("of a scope"), SystemExit(3)
    error.__context__ = ValueError("between")
    error.__context__.__context__ = behind
    assert session._exit_behind(error) is behind
    assert session._exit_behind(ValueError()) is None
