"""The templates by which the ASGI middleware counts requests."""

from collections import Counter

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import Host, Mount, Route
from starlette.staticfiles import StaticFiles

import logcommon
from logcommon.integrations.asgi import CommonLogMiddleware
from support.asgi import App, Message, ask, hello, respond, shop
from support.web import counted


async def test_responses_are_counted_by_method_template_and_status(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """All paths of a route count as one; made-up paths and methods are not messages."""
    app = shop(
        Route("/orders/{order:int}", hello),
        Route("/file/{path:path}", hello),
        Route("/slash/", hello),
        log=log,
    )

    await ask(app, "GET /orders/1", "GET /orders/2?a=b", "HEAD /orders/3", "DELETE /orders/4")
    await ask(app, "GET /orders/one", "GET /no/such/path", "GET /file/a/b/c", "GET /slash")
    await ask(app, "BREW /orders/1", "BREAK /orders/1")

    assert await counted(log, valkey) == {
        "info": Counter(
            {
                "GET /orders/{order} 200": 2,
                "HEAD /orders/{order} 200": 1,
                "GET /file/{path} 200": 1,
                "GET <no route> 307": 1,
            }
        ),
        "warning": Counter(
            {
                "DELETE /orders/{order} 405": 1,
                "<other method> /orders/{order} 405": 2,
                "GET <no route> 404": 2,
            }
        ),
    }


async def test_a_mounted_route_has_its_whole_template(
    log: logcommon.CommonLog, valkey: Redis
) -> None:
    """It begins with the templates of the mounts; an unknown path below a mount is `{path}`."""
    inner = Starlette(routes=[Route("/same/{id}", hello)])
    app = shop(
        Mount("/{id}/plain", app=StaticFiles(directory="/nonexistent", check_dir=False)),
        Mount("/{id}", routes=[Route("/{id}", hello), Mount("/deep", inner)]),
        Mount("", routes=[Route("/", hello)]),
        log=log,
    )

    await ask(app, "GET /x/y", "GET /y/x", "GET /deep/deep/same/deep", "GET /a/b/c/d", "GET /")
    assert await counted(log, valkey) == {
        "info": Counter(
            {"GET /{id}/{id} 200": 2, "GET /{id}/deep/same/{id} 200": 1, "GET / 200": 1}
        ),
        "warning": Counter({"GET /{id}/{path} 404": 1}),
    }


async def test_a_host_is_no_part_of_the_template(log: logcommon.CommonLog, valkey: Redis) -> None:
    """Routes of a host are found, directly and in mounts."""
    under = Mount("/api", routes=[Route("/orders/{id}", hello)])
    app = shop(Host("{name}.test", Starlette(routes=[under, Route("/top", hello)])), log=log)
    await ask(app, "GET /api/orders/1", "GET /top", "GET /none")
    assert await counted(log, valkey) == {
        "info": Counter({"GET /api/orders/{id} 200": 1, "GET /top 200": 1}),
        "warning": Counter({"GET <no route> 404": 1}),
    }


def fastapi_shop() -> FastAPI:
    """Return an application with every kind of route of FastAPI."""
    inner, router, sub, app = APIRouter(), APIRouter(prefix="/own"), FastAPI(), FastAPI()

    @inner.get("/inner/{id}")
    @router.get("/orders/{id}")
    @sub.get("/sub/{id}")
    @app.get("/top/{id}")
    async def order(id: int) -> int:  # noqa: A002
        return id

    router.include_router(inner, prefix="/in")
    router.mount("/within", Starlette(routes=[Route("/{id}", hello)]))
    sub.include_router(router, prefix="/again")
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2/{tenant}")
    app.add_route("/another/{id}", hello)
    app.add_route("/plain/{id}", hello)
    app.mount("/mounted/{tenant}", sub)
    app.mount("/static", StaticFiles(directory="/nonexistent", check_dir=False))
    return app


FASTAPI_PATHS = {
    "/top/1": "/top/{id} 200",
    "/top/one": "/top/{id} 422",
    "/v1/own/orders/1": "/v1/own/orders/{id} 200",
    "/v2/me/own/orders/1": "/v2/{tenant}/own/orders/{id} 200",
    "/v1/own/in/inner/1": "/v1/own/in/inner/{id} 200",
    "/v2/me/within/1": "/v2/{tenant}/within/{id} 200",
    "/plain/1": "/plain/{id} 200",
    "/docs": "/docs 200",
    "/mounted/me/sub/1": "/mounted/{tenant}/sub/{id} 200",
    "/mounted/me/again/own/orders/1": "/mounted/{tenant}/again/own/orders/{id} 200",
    "/mounted/me/docs": "/mounted/{tenant}/docs 200",
    "/mounted/me/none": "/mounted/{tenant}/{path} 404",
    "/none": "<no route> 404",
}


@pytest.mark.parametrize("root", ["", "/proxy"])
async def test_templates_of_fastapi(log: logcommon.CommonLog, valkey: Redis, root: str) -> None:
    """Prefixes of routers and mounted applications are part of them; that of a proxy is not."""
    app = CommonLogMiddleware(fastapi_shop(), log)
    transport = httpx.ASGITransport(app, root_path=root)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        for path in FASTAPI_PATHS:
            await client.get(root + path)
    messages = await counted(log, valkey)
    assert sum(messages.values(), Counter()) == Counter(
        f"GET {message}" for message in FASTAPI_PATHS.values()
    )


async def test_a_middleware_inside_a_mount(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A mounted application with its own middleware counts under the whole template."""
    sub = shop(Route("/orders/{id}", hello), log=log, service="sub")
    app = shop(Mount("/api/{version}", sub), Route("/top", hello), log=log)
    await ask(app, "GET /api/v1/orders/1", "GET /top")
    whole = "GET /api/{version}/orders/{id} 200"
    assert await counted(log, valkey, "sub") == {"info": Counter({whole: 1})}
    assert await counted(log, valkey) == {"info": Counter({whole: 1, "GET /top 200": 1})}


async def test_templates_of_other_frameworks(log: logcommon.CommonLog, valkey: Redis) -> None:
    """A template in the scope counts, by whoever has left it; without one there is no route."""

    async def app(scope: Message, receive: App, send: App) -> None:
        scope.update(LEFT[scope["path"]])
        await respond(send)

    await ask(CommonLogMiddleware(app, log), *(f"GET {path}" for path in LEFT))
    assert await counted(log, valkey) == {
        "info": Counter({"GET /orders/{id:int} 200": 1, "GET <no route> 200": 4})
    }


LEFT: dict[str, Message] = {
    "/template": {"path_template": "/orders/{id:int}"},
    "/nothing": {},
    "/text": {"route": "of another kind", "router": "of another kind"},
    "/wrong": {"path_template": 1},
    "/mount": {"app_root_path": "", "root_path": "/mount", "router": Starlette().router},
}
