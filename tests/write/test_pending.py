"""The counts that wait to be drained: who publishes, and who has to try again."""

from logcommon.settings import Settings
from logcommon.write.pending import Pending


def test_nobody_publishes_in_the_middle_of_a_publication() -> None:
    """A finalizer that runs in the middle of one finds no version, and has to try again."""
    pending = Pending(Settings())
    assert pending.seal(close=False)
    pending._version.clear()
    assert not pending.seal(close=True)
    assert not pending.is_closed
