"""Blocking calls beside the event loop, and waiting that a cancellation does not end."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from logcommon.runtime.threads import run_in_thread, wait_shielded
from support.until import until


async def test_a_call_runs_in_another_thread_and_its_result_comes_back() -> None:
    """The function runs in another thread, and its result or error comes back."""
    assert await run_in_thread(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await run_in_thread(divmod, 1, 0)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancellation_waits_for_the_call(fails: bool) -> None:
    """However often the task is cancelled, it ends only when the function has returned."""
    begun, gate = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert gate.wait(30)
        if fails:
            raise ValueError

    task = asyncio.create_task(run_in_thread(work))
    await until(begun.is_set)
    for _ in range(3):
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_scope_that_is_cancelled_waits_too() -> None:
    """The same for a cancellation by anyio."""
    done: list[bool] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        await run_in_thread(done.append, True)
    assert done == [True]


async def test_without_threads_it_is_called_here() -> None:
    """If no thread can be started, as at Python's exit, the function is called in this one."""
    executor = ThreadPoolExecutor()
    executor.shutdown()
    asyncio.get_running_loop().set_default_executor(executor)
    assert await run_in_thread(threading.get_ident) == threading.get_ident()


async def test_what_the_future_came_to_is_left_to_the_caller() -> None:
    """Waiting for a future that was cancelled, or has failed, is no error."""
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    await wait_shielded(cancelled)
    failed = asyncio.get_running_loop().create_future()
    failed.set_exception(ValueError())
    await wait_shielded(failed)
    assert isinstance(failed.exception(), ValueError)
