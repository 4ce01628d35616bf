"""A shop on Django, for both kinds of server."""

from collections.abc import AsyncIterator, Iterator

import django
from common import COUNTING, SERVICE, bug, handler_of_server, take, without_path
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from logcommon.integrations import asgi, wsgi

settings.configure(
    ALLOWED_HOSTS=["*"],
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"server": {"()": handler_of_server, "message": without_path}},
        "loggers": {"django.request": {"handlers": ["server"]}},
    },
    MIDDLEWARE=["logcommon.integrations.django.route_middleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
)
django.setup()


def order(request: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse(take(number))


def stream(request: HttpRequest) -> HttpResponse:
    def chunks() -> Iterator[str]:
        yield from "abc"

    async def chunks_of_async() -> AsyncIterator[str]:
        for chunk in "abc":
            yield chunk

    asynchronous = isinstance(request, ASGIRequest)
    return StreamingHttpResponse(chunks_of_async() if asynchronous else chunks())


def fail(request: HttpRequest) -> HttpResponse:
    return HttpResponse(bug())


urlpatterns = [path("orders/<int:number>", order), path("stream", stream), path("bug", fail)]
wsgi_app = wsgi.CommonLogMiddleware(get_wsgi_application(), service=SERVICE, **COUNTING)
asgi_app = asgi.CommonLogMiddleware(get_asgi_application(), service=SERVICE, **COUNTING)
