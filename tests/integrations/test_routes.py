"""Templates of the other frameworks, and those that an application leaves itself."""

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import aiohttp.web
import flask
import litestar
import pytest
from aiohttp.test_utils import make_mocked_request
from django.urls.resolvers import ResolverMatch
from starlette.applications import Starlette
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from logcommon.integrations._routes import aiohttp_route, asgi_route, django_route, wsgi_route
from logcommon.integrations.requests import NO_ROUTE, ROUTE_KEY
from support.asgi import Message, hello, scope_after


def litestar_shop() -> litestar.Litestar:
    """Return an application with a route of its own and one of a router."""

    @litestar.get("/orders/{number:int}")
    async def order() -> int:
        return 1

    return litestar.Litestar([order, litestar.Router("/api/{version:str}", route_handlers=[order])])


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/orders/1", "/orders/{number}"),
        ("/api/v1/orders/1", "/api/{version}/orders/{number}"),
        ("/orders/one", NO_ROUTE),
        ("/nothing", NO_ROUTE),
    ],
)
async def test_litestar(path: str, template: str) -> None:
    """Templates are Litestar's own; an unknown path has none."""
    assert asgi_route(await scope_after(litestar_shop(), "GET", path)) == template


class Odd:
    """Has the attributes of routers and routes, with values of other types."""

    routes = (object(), None, 1)
    endpoint = path_format = path = original_route = starlette_route = 7


@pytest.mark.parametrize(
    ("left", "template"),
    [
        ({}, NO_ROUTE),
        ({"path_template": "/orders/{id}"}, "/orders/{id}"),
        ({ROUTE_KEY: "/orders/{id}"}, "/orders/{id}"),
        ({"path_template": "/first", ROUTE_KEY: "/second"}, "/first"),
        ({"path_template": 1}, NO_ROUTE),
        ({"path_template": b"/bytes"}, NO_ROUTE),
        ({ROUTE_KEY: ["/list"]}, NO_ROUTE),
        ({"route": "of another kind", "router": "of another kind"}, NO_ROUTE),
        ({"route": Odd(), "router": Odd()}, NO_ROUTE),
        ({"route": object(), "router": object(), "endpoint": object()}, NO_ROUTE),
        ({"router": Odd(), "endpoint": 7, "path": "/"}, NO_ROUTE),
        ({"fastapi": "of another kind", "route": Odd()}, NO_ROUTE),
        ({"fastapi": {"effective_route_context": Odd()}, "route": Odd()}, NO_ROUTE),
        ({"app_root_path": "", "root_path": "/a", "router": Starlette().router}, NO_ROUTE),
        ({"app_root_path": "", "root_path": "/a", "router": Odd()}, NO_ROUTE),
        ({"app_root_path": "", "root_path": "/a"}, NO_ROUTE),
    ],
)
def test_what_is_left_in_a_scope(left: Message, template: str) -> None:
    """An application can leave a template; values of other types are ignored."""
    assert asgi_route(left) == template


def flask_shop() -> flask.Flask:
    """Return an application with a route of its own and one of a blueprint."""
    app, blueprint = flask.Flask(__name__), flask.Blueprint("blueprint", __name__)

    @app.get("/orders/<int:number>")
    @blueprint.get("/orders/<int:number>")
    def order(number: int) -> str:
        return str(number)

    app.register_blueprint(blueprint, url_prefix="/api/<version>")
    return app


def wsgi_route_of(app: Callable[..., Iterable[bytes]], path: str) -> str:
    """Return the template that is found when the response starts, as the middleware looks then."""
    environ = flask.Flask(__name__).test_request_context(path).request.environ
    del environ["werkzeug.request"]
    found: list[str] = []

    def start_response(*_: object) -> Callable[[bytes], object]:
        found.append(wsgi_route(environ))
        return print

    for _ in app(environ, start_response):
        pass
    (template,) = found
    return template


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/orders/1", "/orders/<int:number>"),
        ("/api/v1/orders/1", "/api/<version>/orders/<int:number>"),
        ("/sub/orders/1", "/orders/<int:number>"),
        ("/orders/one", NO_ROUTE),
        ("/nothing", NO_ROUTE),
    ],
)
def test_flask(path: str, template: str) -> None:
    """Rules have the prefix of their blueprint, but not that of a dispatcher around Flask."""
    app = DispatcherMiddleware(flask_shop(), {"/sub": flask_shop()})
    assert wsgi_route_of(app, path) == template


@pytest.mark.parametrize(
    ("left", "template"),
    [
        ({}, NO_ROUTE),
        ({ROUTE_KEY: "/orders/{id}"}, "/orders/{id}"),
        ({ROUTE_KEY: 1}, NO_ROUTE),
        ({"werkzeug.request": None}, NO_ROUTE),
        ({"werkzeug.request": object()}, NO_ROUTE),
        ({"werkzeug.request": SimpleNamespace(url_rule="of another kind")}, NO_ROUTE),
        ({"werkzeug.request": SimpleNamespace(url_rule=SimpleNamespace(rule=1))}, NO_ROUTE),
        ({"werkzeug.request": SimpleNamespace(url_rule=SimpleNamespace(rule="/a"))}, "/a"),
    ],
)
def test_what_is_left_in_an_environ(left: dict[str, Any], template: str) -> None:
    """An application can leave a template; values of other types are ignored."""
    assert wsgi_route(left) == template


@pytest.mark.parametrize(
    ("match", "route"),
    [
        (ResolverMatch(hello, (), {}, route="orders/<int:number>"), "/orders/<int:number>"),
        (ResolverMatch(hello, (), {}, route=""), "/"),
        (None, None),
    ],
)
def test_django(match: ResolverMatch | None, route: str | None) -> None:
    """The route begins with a slash; a request that matched nothing has none."""
    assert django_route(SimpleNamespace(resolver_match=match)) == route


def aiohttp_shop() -> aiohttp.web.Application:
    """Return an application with routes of its own and of sub-applications."""

    async def order(_: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response()

    shop, api, admin = (aiohttp.web.Application() for _ in range(3))
    for app in (shop, api, admin):
        app.router.add_get(r"/orders/{id:\d+}", order)
    api.add_subapp("/admin", admin)
    shop.add_subapp("/api", api)
    return shop


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/orders/1", "/orders/{id}"),
        ("/api/orders/1", "/api/orders/{id}"),
        ("/api/admin/orders/1", "/api/admin/orders/{id}"),
        ("/orders/one", NO_ROUTE),
        ("/api/nothing", NO_ROUTE),
        ("/nothing", NO_ROUTE),
    ],
)
async def test_aiohttp(path: str, template: str) -> None:
    """Paths of resources have the prefixes of their sub-applications."""
    found = await aiohttp_shop().router.resolve(make_mocked_request("GET", path))
    assert aiohttp_route(SimpleNamespace(match_info=found)) == template
