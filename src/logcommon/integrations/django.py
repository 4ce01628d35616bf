"""Django's routes and exceptions, for the middleware around its WSGI or ASGI application.

In `wsgi.py`, and likewise in `asgi.py` with `logcommon.integrations.asgi`:

    application = CommonLogMiddleware(get_wsgi_application(), log="redis://localhost:6379/0")

In `settings.py`, so that requests count by route, and exceptions by type and place:

    MIDDLEWARE = ["logcommon.integrations.django.route_middleware", ...]
"""

import sys
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from logcommon.integrations._extras import require_extra
from logcommon.integrations._routes import django_route
from logcommon.integrations.requests import ERROR_KEY, ROUTE_KEY

with require_extra("django>=4.2"):
    from django.core.signals import got_request_exception
    from django.utils.decorators import sync_and_async_middleware


def _route_middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Leave the route of each request where `CommonLogMiddleware` looks for it."""

    async def asynchronous(request: Any) -> Any:
        response = await get_response(request)
        _leave_route(request)
        return response

    def synchronous(request: Any) -> Any:
        response = get_response(request)
        _leave_route(request)
        return response

    return asynchronous if iscoroutinefunction(get_response) else synchronous


route_middleware: Callable[[Callable[[Any], Any]], Callable[[Any], Any]]
route_middleware = sync_and_async_middleware(_route_middleware)


def _leave_route(request: Any) -> None:
    route = django_route(request)
    if route is not None:
        _carrier(request)[ROUTE_KEY] = route


def _leave_error(sender: object, request: Any, **_: object) -> None:
    """Leave the exception that Django is about to answer with a 500."""
    # https://github.com/django/django/blob/5.2/django/core/handlers/exception.py#L139
    if request is not None:
        _carrier(request)[ERROR_KEY] = sys.exc_info()[1]


got_request_exception.connect(_leave_error)


def _carrier(request: Any) -> dict[str, Any]:
    """Return the scope or environ of a request, which `CommonLogMiddleware` sees too."""
    carrier: dict[str, Any] = request.scope if hasattr(request, "scope") else request.environ
    return carrier
