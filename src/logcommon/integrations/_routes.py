"""The template of the route that a framework took, by what it leaves in the scope or environ. Pure.

Starlette and FastAPI leave `route`, `router` and `endpoint`, Litestar `path_template`, Werkzeug its
request. None of them is imported: what is not there is not known.
"""

from collections.abc import Iterable, MutableMapping
from typing import Any, TypeAlias

from logcommon.integrations.requests import NO_ROUTE, ROUTE

Scope: TypeAlias = MutableMapping[str, Any]

_IN_A_MOUNT = "/{path}"
"""What Starlette calls the path below a mount."""


def route_template(scope: Scope) -> str:
    """Return the template of the route that was taken, from the root of the outermost router."""
    template = scope.get("path_template", scope.get(ROUTE))
    if template is None:
        outside = scope.get("app_root_path")  # is there where a mount was entered
        routes = getattr(scope.get("router"), "routes", ())
        if outside is None:
            template = _path(scope, routes)
        elif mounts := _mounts(
            # FastAPI has a mount of an included router beside the routes, with its whole path.
            (getattr(_included(scope), "starlette_route", None), *routes),
            scope["root_path"].removeprefix(outside),
        ):
            prefix, routes = mounts
            template = prefix + (_path(scope, routes) or _IN_A_MOUNT)
    return template if isinstance(template, str) else NO_ROUTE


def wsgi_route_template(environ: Scope) -> str:
    """Return the template that the application left in a WSGI environ, or else Werkzeug's rule."""
    template = environ.get(ROUTE)
    if template is None:
        rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
        template = getattr(rule, "rule", None)
    return template if isinstance(template, str) else NO_ROUTE


def _path(scope: Scope, routes: Iterable[Any]) -> str | None:
    """Return the template of the endpoint's route, from the root of its own router."""
    route = scope.get("route")
    if not hasattr(route, "endpoint"):  # there is none, or only the mount before it
        route = _with_endpoint(scope, routes)
    # FastAPI shares a route among the routers that include it: the whole path is beside it.
    included = _included(scope)
    if included is not None and getattr(included, "original_route", None) is route:
        route = getattr(included, "starlette_route", None) or included
    return getattr(route, "path_format", None) or getattr(route, "path", None)


def _included(scope: Scope) -> Any:
    """Return what FastAPI knows of a route that it has from an included router."""
    return scope.get("fastapi", {}).get("effective_route_context")


def _with_endpoint(scope: Scope, routes: Iterable[Any]) -> Any:
    """Return the route that was taken where only its endpoint is known; there may be several."""
    endpoint, path = scope.get("endpoint"), scope["path"].removeprefix(scope.get("root_path", ""))
    for route in routes:
        same = endpoint is not None and getattr(route, "endpoint", None) is endpoint
        if same and route.path_regex.match(path):
            return route
    return None


def _mounts(routes: Iterable[Any], prefix: str) -> tuple[str, Iterable[Any]] | None:
    """Return the template of the mounts that a path's beginning stands for, and the last's routes.

    Like the routers, this takes the first that matches; the rest of it must match as well.
    """
    if not prefix:
        return "", routes
    for mount in routes:
        below, pattern = getattr(mount, "routes", None), getattr(mount, "path_regex", None)
        if below is None:
            continue
        if pattern is None:  # a host has routes below it, and no path
            found, template = _mounts(below, prefix), ""
        elif match := pattern.match(f"{prefix}/"):
            found = _mounts(below, f"/{match['path']}".rstrip("/"))
            template = mount.path_format.removesuffix(_IN_A_MOUNT)
        else:
            found = None
        if found is not None:
            return template + found[0], found[1]
    return None
