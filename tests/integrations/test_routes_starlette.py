"""Templates of Starlette and FastAPI: a real request in, the template out."""

from typing import Any

import fastapi
import pytest
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute

from logcommon.integrations._routes import asgi_route
from logcommon.integrations.requests import NO_ROUTE
from support.asgi import App, Message, hello, scope_after


async def chat(websocket: Any) -> None:  # of Starlette or of FastAPI
    await websocket.close()


def starlette_shop() -> Starlette:
    """Return an application with routes in mounts, in mounts of mounts, and under hosts."""
    order, room = Route("/orders/{id:int}", hello), WebSocketRoute("/rooms/{room}", chat)
    deep = Mount("/deep/{level}", routes=[order, room])
    admin = Router(routes=[Route("/", hello), order, deep])
    partners = Mount("/{partner}", routes=[Route("/{id}", hello)])

    routes: list[BaseRoute] = [
        order,
        room,
        Route("/files/{path:path}", hello),
        Route("/slash/", hello),
        Route("/both/a", hello),
        Route("/both/{letter}", hello),
        Mount("/admin/{tenant}", admin),
        Mount("/sub", Starlette(routes=[order, partners])),
        Mount("/foreign", foreign),
        Host("api.test", Router(routes=[Mount("/v1", routes=[order]), Route("/top", hello)])),
        Mount("", routes=[Route("/last/{resort}", hello)]),
    ]
    return Starlette(routes=routes)


async def foreign(scope: Message, receive: App, send: App) -> None:
    """An application of no framework, which leaves nothing in the scope."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


@pytest.mark.parametrize(
    ("request_line", "template"),
    [
        ("GET /orders/1", "/orders/{id}"),
        ("DELETE /orders/1", "/{path}"),  # the last mount takes every method
        ("GET /orders/one", "/{path}"),
        ("GET /files/a/b/c", "/files/{path}"),
        ("GET /both/a", "/both/a"),
        ("GET /both/b", "/both/{letter}"),
        ("WEBSOCKET /rooms/1", "/rooms/{room}"),
        ("GET /admin/me/", "/admin/{tenant}/"),
        ("GET /admin/me/orders/1", "/admin/{tenant}/orders/{id}"),
        ("GET /admin/me/deep/2/orders/1", "/admin/{tenant}/deep/{level}/orders/{id}"),
        ("WEBSOCKET /admin/me/deep/2/rooms/1", "/admin/{tenant}/deep/{level}/rooms/{room}"),
        ("GET /admin/me/nothing", "/admin/{tenant}/{path}"),
        ("GET /admin/me/deep/2/nothing", "/admin/{tenant}/deep/{level}/{path}"),
        ("GET /admin/admin/orders/1", "/admin/{tenant}/orders/{id}"),
        ("GET /sub/orders/1", "/sub/orders/{id}"),
        ("GET /sub/sub/sub", "/sub/{partner}/{id}"),
        ("GET /foreign/whatever", "/foreign/{path}"),
        ("GET /last/x", "/last/{resort}"),
        ("GET /nothing", "/{path}"),
    ],
)
@pytest.mark.parametrize("root_path", ["", "/proxy"])
async def test_starlette(request_line: str, template: str, root_path: str) -> None:
    """Templates begin with those of the mounts, without the prefix of a proxy."""
    method, path = request_line.split()
    scope = await scope_after(starlette_shop(), method, root_path + path, root_path=root_path)
    assert asgi_route(scope) == template
    assert asgi_route(as_left_by_older_versions(scope)) == template


def as_left_by_older_versions(scope: Message) -> Message:
    """Return a scope as Starlette 1.3 leaves it, without the route."""
    return {name: value for name, value in scope.items() if name != "route"}


@pytest.mark.parametrize(
    ("path", "template"),
    [("/v1/orders/1", "/v1/orders/{id}"), ("/top", "/top"), ("/v1/none", "/v1/{path}")],
)
async def test_a_host_of_starlette(path: str, template: str) -> None:
    """The name of a host is not part of the template."""
    headers = [(b"host", b"api.test")]
    scope = await scope_after(starlette_shop(), "GET", path, headers=headers)
    assert asgi_route(scope) == template
    assert asgi_route(as_left_by_older_versions(scope)) == template


async def test_starlette_without_a_route() -> None:
    """An unknown path has no template; a method that is not allowed doesn't matter."""
    app = Starlette(routes=[Route("/orders/{id}", hello), Route("/slash/", hello)])
    for path in ("/", "/nothing", "/orders/1/2", "/slash"):
        assert asgi_route(await scope_after(app, "GET", path)) == NO_ROUTE
    assert asgi_route(await scope_after(app, "DELETE", "/orders/1")) == "/orders/{id}"


def fastapi_shop() -> fastapi.FastAPI:
    """Return an application with routes of its own, of routers and of sub-applications."""
    app, sub = fastapi.FastAPI(), fastapi.FastAPI()
    outer, inner = fastapi.APIRouter(prefix="/outer"), fastapi.APIRouter()

    @app.get("/orders/{id}")
    @sub.get("/orders/{id}")
    @outer.get("/orders/{id}")
    @inner.get("/orders/{id}")
    async def order(id: str) -> str:  # noqa: A002
        return id

    app.websocket("/rooms/{room}")(chat)
    outer.websocket("/rooms/{room}")(chat)
    outer.add_route("/plain/{id}", hello)
    outer.mount("/mount", Starlette(routes=[Route("/{id}", hello)]))
    outer.include_router(inner, prefix="/inner/{shelf}")
    sub.include_router(outer, prefix="/sub")
    app.include_router(outer)
    app.include_router(outer, prefix="/{tenant}")
    app.mount("/mounted/{tenant}", sub)
    return app


FASTAPI = [
    ("GET /orders/1", "/orders/{id}"),
    ("DELETE /orders/1", "/orders/{id}"),
    ("WEBSOCKET /rooms/1", "/rooms/{room}"),
    ("GET /outer/orders/1", "/outer/orders/{id}"),
    ("GET /me/outer/orders/1", "/{tenant}/outer/orders/{id}"),
    ("WEBSOCKET /me/outer/rooms/1", "/{tenant}/outer/rooms/{room}"),
    ("GET /plain/1", "/plain/{id}"),
    ("GET /me/plain/1", "/{tenant}/plain/{id}"),
    ("GET /mounted/me/sub/plain/1", "/mounted/{tenant}/sub/plain/{id}"),
    ("GET /outer/inner/2/orders/1", "/outer/inner/{shelf}/orders/{id}"),
    ("GET /me/outer/inner/2/orders/1", "/{tenant}/outer/inner/{shelf}/orders/{id}"),
    ("GET /mounted/me/orders/1", "/mounted/{tenant}/orders/{id}"),
    ("GET /mounted/me/sub/outer/orders/1", "/mounted/{tenant}/sub/outer/orders/{id}"),
    ("GET /mounted/me/nothing", "/mounted/{tenant}/{path}"),
    ("GET /openapi.json", "/openapi.json"),
    ("GET /nothing", NO_ROUTE),
]


@pytest.mark.parametrize(("request_line", "template"), FASTAPI)
async def test_fastapi(request_line: str, template: str) -> None:
    """Included routers and sub-applications add their prefixes, as templates."""
    assert asgi_route(await scope_after(fastapi_shop(), *request_line.split())) == template


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/mount/1", "/mount/{id}"),
        ("/me/mount/1", "/{tenant}/mount/{id}"),
        ("/mounted/me/sub/mount/1", "/mounted/{tenant}/sub/mount/{id}"),
    ],
)
async def test_a_mount_in_a_router_of_fastapi(path: str, template: str) -> None:
    """A mount has the prefix of its router."""
    assert asgi_route(await scope_after(fastapi_shop(), "GET", path)) == template
