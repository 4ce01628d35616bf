"""Applications that have mounted the page, on a server of their own."""

import os
import sys
from pathlib import Path

import httpx
from fastapi import FastAPI

import logcommon.dashboard
from support.http import serving
from support.servers import free_port

HOST_APPLICATION = """
import logcommon
import logcommon.dashboard
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException

page = logcommon.dashboard.app({url!r}, guarded=True)


def require_admin(authorization: str = Header("")) -> None:
    if authorization != "admin":
        raise HTTPException(403)


app = FastAPI()
app.mount("/logs", page)
router = APIRouter(prefix="/guarded", dependencies=[Depends(require_admin)])
router.add_api_route("/logs/{{path:path}}", logcommon.dashboard.route(page))
app.include_router(router)
"""


async def test_a_host_that_has_mounted_it(tmp_path: Path, valkey_url: str) -> None:
    """It is at any path, behind the host's guards, and the host ends as it does without it."""
    (tmp_path / "host.py").write_text(HOST_APPLICATION.format(url=valkey_url))
    port = free_port()
    command = (sys.executable, "-m", "uvicorn", "host:app", "--port", str(port))
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
        host = serving(
            *command, port=port, directory=tmp_path, environment=environment, exit_code=None
        )
        async with host:  # which waits for its end
            assert (await http.get("/logs")).headers["location"].endswith("/logs/")
            assert 'src="static/page.js"' in (await http.get("/logs/")).text
            assert (await http.get("/logs/static/page.js")).status_code == 200
            assert (await http.get("/logs/api/summary")).json()["rows"] == []

            assert (await http.get("/guarded/logs/api/summary")).status_code == 403
            admin = {"Authorization": "admin"}
            for path in ("", "static/page.js", "api/summary"):
                answer = await http.get(f"/guarded/logs/{path}", headers=admin)
                assert answer.status_code == 200

            stream = await http.send(http.build_request("GET", "/logs/api/stream"), stream=True)
            await anext(stream.aiter_lines())
        await stream.aclose()


async def test_a_route_hands_requests_on(valkey_url: str) -> None:
    """Below any prefix, with the rest of the path."""
    page = logcommon.dashboard.app(valkey_url, guarded=True)
    application = FastAPI()
    application.add_api_route("/a/b/{path:path}", logcommon.dashboard.route(page))
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://host") as http:
        assert 'src="static/page.js"' in (await http.get("/a/b/")).text
        assert (await http.get("/a/b/static/page.js")).status_code == 200
        assert (await http.get("/a/b/api/health")).json()["calls"] == 0
        assert (await http.get("/a/b/nothing")).status_code == 404
