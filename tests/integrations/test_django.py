"""What Django leaves of a request for the middleware; servers are tested in `deployment`."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.signals import got_request_exception
from django.urls.resolvers import ResolverMatch

from logcommon.integrations.django import route_middleware
from logcommon.integrations.requests import ERROR_KEY, ROUTE_KEY

MATCH = ResolverMatch(lambda: None, (), {}, route="orders/<int:number>")


def request(carrier: str, match: ResolverMatch | None = MATCH) -> Any:
    """Return what the middleware needs of a request of WSGI (`environ`) or ASGI (`scope`)."""
    return SimpleNamespace(**{carrier: {}}, resolver_match=match)


def test_the_route_of_a_wsgi_request() -> None:
    """It is left in the environ once the view has answered."""
    asked = request("environ")
    assert route_middleware(lambda _: "response")(asked) == "response"
    assert asked.environ == {ROUTE_KEY: "/orders/<int:number>"}


async def test_the_route_of_an_asgi_request() -> None:
    """It is left in the scope, and an asynchronous view is awaited without a thread."""

    async def view(_: object) -> str:
        return "response"

    asked = request("scope")
    assert await route_middleware(view)(asked) == "response"
    assert asked.scope == {ROUTE_KEY: "/orders/<int:number>"}


def test_a_request_that_no_route_matches() -> None:
    """Nothing is left."""
    asked = request("environ", None)
    route_middleware(lambda _: "response")(asked)
    assert asked.environ == {}


@pytest.mark.parametrize("carrier", ["environ", "scope"])
def test_an_exception_that_django_answers(carrier: str) -> None:
    """It is left for the middleware, which sees a response with status 500 only."""
    asked, error = request(carrier), ValueError("secret")
    try:
        raise error
    except ValueError:
        got_request_exception.send(sender=None, request=asked)
    assert getattr(asked, carrier) == {ERROR_KEY: error}


def test_an_exception_without_a_request_is_left_alone() -> None:
    """Other packages may send Django's signal without a request; that must not fail."""
    got_request_exception.send(sender=None, request=None)
