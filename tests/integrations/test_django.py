"""What Django reports outside of requests; requests are tested behind servers, in `deployment`."""

from django.core.signals import got_request_exception

import logcommon.integrations.django  # noqa: F401  # it listens to the signal


def test_an_exception_without_a_request_is_left_alone() -> None:
    """Other packages may send Django's signal without a request; that must not fail."""
    got_request_exception.send(sender=None, request=None)
