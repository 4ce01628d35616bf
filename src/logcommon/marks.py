"""Notes that something has happened, such as a deploy, to compare what was before and after it."""

from datetime import UTC, datetime

from redis.asyncio import Redis

from logcommon.exceptions import InvalidArgumentError
from logcommon.model import LONGEST_NAME, Clock, Mark
from logcommon.read.executor import QueryExecutor
from logcommon.read.queries import Query, marks_query
from logcommon.schema.commands import push_mark


class Marks:
    """The newest marks of all services, a hundred at most."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._executor = QueryExecutor(client)
        self._clock = clock

    async def add(self, text: str) -> Mark:
        """Note that something happens now; raises as `CommonLog.mark` does."""
        mark = self.make(text)
        return await self._executor.ask_one(Query(push_mark(mark), lambda _: mark))

    def make(self, text: str) -> Mark:
        """Return a mark of the time now, without noting it."""
        return Mark(datetime.fromtimestamp(self._clock(), UTC), _checked(text))

    async def newest(self) -> list[Mark]:
        """Return all marks, the newest first."""
        return await self._executor.ask_one(marks_query())


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise InvalidArgumentError(f"a mark must be text, not {type(text).__name__}")
    plain = " ".join(text.split())
    if not 0 < len(plain) <= LONGEST_NAME:
        raise InvalidArgumentError(f"a mark must have 1 to {LONGEST_NAME} characters")
    return plain
