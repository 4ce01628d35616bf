"""`logcommon copy`, as a person uses it."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

import logcommon
from cli.processes import RunCommand
from support.layout import total
from support.servers import valkey_server


async def test_copying(run_command: RunCommand, valkey_url: str, tmp_path: Path) -> None:
    """It says how much was copied; again, that it was; and what is in its way."""
    async with logcommon.connect(valkey_url) as log:
        for name in ("shop", "mail"):
            for _ in range(3):
                await log.log_common(name, "m")
    with valkey_server(tmp_path) as server:
        url = f"redis://127.0.0.1:{server.port}"
        finished = run_command("copy", valkey_url, url, "shop")
        assert (finished.returncode, finished.stdout) == (0, "")
        assert finished.stderr == "logcommon: hours copied: 1, with 3 calls\n"
        finished = run_command("copy", valkey_url, url)
        assert finished.stderr == ("logcommon: hours copied: 1, with 3 calls; copied before: 1\n")
        async with Redis(port=server.port) as client:
            assert [await total(client, name) for name in ("shop", "mail")] == [3, 3]
            for key in await client.keys("logcommon:producer:*"):
                await client.delete(key)
        finished = run_command("copy", valkey_url, url)
        assert finished.returncode == 1
        assert "shop \u00b7 info, 20" in finished.stderr
        assert "2 hours were not copied exactly (--add adds" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("redis://h", "redis://h"), 2, "the same"),
        (("http://h", "redis://h"), 2, "http:// is unknown"),
        (("redis://127.0.0.1:1", "redis://127.0.0.1:2"), 3, "can't be reached"),
    ],
)
def test_what_cannot_be_copied(
    run_command: RunCommand, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """It is one line, at once."""
    finished = run_command("copy", *arguments)
    assert (finished.returncode, finished.stderr.count("\n")) == (code, 1)
    assert said in finished.stderr
