"""The template of the route that a request took, one function per framework. No I/O.

No framework is imported: each function reads what its framework leaves in the ASGI scope, the WSGI
environ or the request. Its comments link to the lines upstream that it relies on, and name the
versions that `tests/integrations/test_routes.py` was run with.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from logcommon.integrations.requests import NO_ROUTE, ROUTE_KEY

_BELOW_MOUNT = "/{path}"
"""The end of Starlette's template for a mount, which matches everything below it."""


def asgi_route(scope: Mapping[str, Any]) -> str:
    """Return the route's template, from the root of the outermost router."""
    template = litestar_route(scope)
    if template is None:
        template = scope.get(ROUTE_KEY)
    if template is None:
        template = starlette_route(scope)
    return template if isinstance(template, str) else NO_ROUTE


def wsgi_route(environ: Mapping[str, Any]) -> str:
    """Return the route's template."""
    template = environ.get(ROUTE_KEY)
    if template is None:
        template = werkzeug_route(environ)
    return template if isinstance(template, str) else NO_ROUTE


def litestar_route(scope: Mapping[str, Any]) -> Any:
    """Return what Litestar, or an application in another framework, leaves in the scope."""
    # https://github.com/litestar-org/litestar/blob/v2.24.0/litestar/_asgi/asgi_router.py#L106
    # Litestar 2.12.0, 2.24.0, 2.25.0. Quart leaves nothing; docs/integrations.md says what to add.
    return scope.get("path_template")


def starlette_route(scope: Mapping[str, Any]) -> Any:
    """Return the template from Starlette's router and its mounts, or from FastAPI's context."""
    # The outermost router, and the root path outside all mounts next to the one inside them:
    # https://github.com/Kludex/starlette/blob/1.3.1/starlette/routing.py#L665-L666
    # https://github.com/Kludex/starlette/blob/1.3.1/starlette/routing.py#L413-L415
    # Starlette 0.38.6, 1.3.1, 1.10.0.
    routes = getattr(scope.get("router"), "routes", ())
    outside = scope.get("app_root_path")
    if outside is None:
        return _template_in_router(scope, routes)

    # FastAPI keeps a mount that comes from an included router, with its whole path, in the context.
    included = getattr(_fastapi_context(scope), "starlette_route", None)
    mounted_at = scope.get("root_path", "").removeprefix(outside)
    found = _follow_mounts(routes, mounted_at, included)
    if found is None:
        return None
    prefix, routes = found
    return prefix + (_template_in_router(scope, routes) or _BELOW_MOUNT)


def werkzeug_route(environ: Mapping[str, Any]) -> Any:
    """Return the rule that Flask, or another user of Werkzeug's request, has matched."""
    # https://github.com/pallets/werkzeug/blob/3.1.8/src/werkzeug/wrappers/request.py#L132-L133
    # https://github.com/pallets/flask/blob/3.1.3/src/flask/ctx.py#L361-L363
    # Flask 3.0.0 and 3.1.3 on Werkzeug 3.1.9.
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return getattr(rule, "rule", None)


def django_route(request: Any) -> str | None:
    """Return the route that Django's URL resolver has matched."""
    # https://github.com/django/django/blob/5.2/django/core/handlers/base.py#L313-L314
    # Django 4.2, 5.2.19.
    match = request.resolver_match
    return None if match is None else f"/{match.route}"


def aiohttp_route(request: Any) -> str:
    """Return the path of the resource that aiohttp has found, with those of sub-applications."""
    # https://github.com/aio-libs/aiohttp/blob/v3.14.3/aiohttp/web_urldispatcher.py#L119-L124
    # aiohttp 3.11.0, 3.14.5.
    resource = request.match_info.route.resource
    return NO_ROUTE if resource is None else str(resource.canonical)


def _template_in_router(scope: Mapping[str, Any], routes: Iterable[Any]) -> Any:
    """Return the template of the endpoint's route, from the root of its own router."""
    # FastAPI leaves the route, and newer versions of Starlette do, also for a mount:
    # https://github.com/fastapi/fastapi/blob/0.141.1/fastapi/routing.py#L1251-L1259
    route = scope.get("route")
    if not hasattr(route, "endpoint"):
        route = _route_of_endpoint(scope, routes)

    # FastAPI shares one route among the routers that include it; the context has the whole path:
    # https://github.com/fastapi/fastapi/blob/0.141.1/fastapi/routing.py#L1373-L1378
    # https://github.com/fastapi/fastapi/blob/0.141.1/fastapi/routing.py#L1793-L1799
    # FastAPI 0.115.0 (which copies routes instead, and no mounts), 0.141.1, 0.165.0.
    context = _fastapi_context(scope)
    shared = getattr(context, "original_route", None)
    if shared is not None and (shared is route or (route is None and _leads_to(shared, scope))):
        route = getattr(context, "starlette_route", None) or context
    return getattr(route, "path_format", None) or getattr(route, "path", None)


def _fastapi_context(scope: Mapping[str, Any]) -> Any:
    """Return what FastAPI knows about a route that comes from an included router."""
    # https://github.com/fastapi/fastapi/blob/0.141.1/fastapi/routing.py#L840-L841
    state = scope.get("fastapi")
    return state.get("effective_route_context") if isinstance(state, Mapping) else None


def _route_of_endpoint(scope: Mapping[str, Any], routes: Iterable[Any]) -> Any:
    """Return the route that leads to the endpoint; several may, so the path must match as well."""
    # https://github.com/Kludex/starlette/blob/1.3.1/starlette/routing.py#L249-L253
    path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
    for route in routes:
        if _leads_to(route, scope) and route.path_regex.match(path):
            return route

        below = getattr(route, "routes", None)
        if below and not getattr(route, "path", ""):  # a Host, or a Mount that adds nothing
            found = _route_of_endpoint(scope, below)
            if found is not None:
                return found
    return None


def _leads_to(route: Any, scope: Mapping[str, Any]) -> bool:
    endpoint = scope.get("endpoint")
    return endpoint is not None and getattr(route, "endpoint", None) is endpoint


def _follow_mounts(
    routes: Iterable[Any], path: str, included: Any
) -> tuple[str, Iterable[Any]] | None:
    """Return the template of the mounts that `path` leads through, and the routes of the last.

    As in the router, the first mount counts that matches; what is left of the path must match too.
    The mount `included` may stand at any level.
    """
    if not path:
        return "", routes

    for mount in (included, *routes):
        below, pattern = getattr(mount, "routes", None), getattr(mount, "path_regex", None)
        if below is None:
            continue
        if pattern is None:  # a Host, which has routes but no path
            found, template = _follow_mounts(below, path, included), ""
        elif match := pattern.match(f"{path}/"):
            found = _follow_mounts(below, f"/{match['path']}".rstrip("/"), included)
            template = mount.path_format.removesuffix(_BELOW_MOUNT)
        else:
            found = None
        if found is not None:
            return template + found[0], found[1]
    return None
