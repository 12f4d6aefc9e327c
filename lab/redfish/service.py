"""The HTTPS service of one emulated Redfish BMC."""

import asyncio
import contextlib
import hashlib
import json
import ssl
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from lab.chassis import ChassisError
from lab.faults import HANG_S
from lab.machine import Machine
from lab.redfish.errors import RedfishError, bad_value, error_response, missing, no_session
from lab.redfish.resources import BOOT_TARGETS, RESET_ACTIONS, system, tree
from lab.redfish.sessions import Sessions
from lab.redfish.shapes import MANAGER_RESET_PATH, RESET_PATH, ROOT, SESSIONS_PATH, SYSTEM_PATH, Body

BODY_BYTES = 64 * 1024
URI_LENGTH = 2048
SHUTDOWN_S = 0.5
_OPEN_PATHS = frozenset({"/redfish", ROOT, f"{ROOT}/odata", f"{ROOT}/$metadata"})
_POST_PATHS = frozenset({SESSIONS_PATH, RESET_PATH, MANAGER_RESET_PATH})
_METADATA = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"'
    ' Version="4.0"><edmx:DataServices/></edmx:Edmx>\n'
)


class RedfishService:
    """Serves one machine. Start with `start`, stop with `close`."""

    def __init__(self, *, machine: Machine, context: ssl.SSLContext) -> None:
        self._machine = machine
        self._context = context
        bmc = machine.node.bmc
        self._sessions = Sessions(username=bmc.username, password=bmc.password)
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=SHUTDOWN_S)

    async def start(self) -> None:
        """Listen on the node's BMC address. Raises OSError when it is taken."""
        bmc = self._machine.node.bmc
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, bmc.address, bmc.port, ssl_context=self._context, backlog=64, reuse_address=True
        )
        await site.start()

    async def close(self) -> None:
        await self._runner.shutdown()
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        faults = self._machine.faults
        if faults["dead"]:
            await asyncio.sleep(HANG_S)
        if faults["slow_s"]:
            await asyncio.sleep(faults["slow_s"])
        path = request.path.rstrip("/")
        detail: dict[str, object] = {}
        try:
            response = await self._answer(request, path, detail)
        except RedfishError as error:
            response = error_response(error)
        except ChassisError as error:
            response = error_response(RedfishError(HTTPStatus.CONFLICT, "OperationFailed", str(error)))
        response.headers.setdefault("OData-Version", "4.0")
        response.headers.setdefault("Cache-Control", "no-store")
        self._machine.log("redfish", f"{request.method} {path or '/'}", status=response.status, **detail)
        return response

    async def _answer(self, request: web.BaseRequest, path: str, detail: dict[str, object]) -> web.Response:
        method = request.method
        if method in {"GET", "HEAD"} and path in _OPEN_PATHS:
            return self._open_document(path)
        if method == "POST" and path == SESSIONS_PATH:
            return await self._log_in(request, detail)
        self._require_login(request)
        if method in {"GET", "HEAD"}:
            body = tree(machine=self._machine, sessions=self._sessions).get(path)
            if body is None:
                raise missing(path)
            etag = self._etag() if path == SYSTEM_PATH else _digest(body)
            if request.headers.get("If-None-Match") == etag:
                return web.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
            return web.json_response(body, headers={"ETag": etag, "Allow": _allow(path)})
        if method == "PATCH" and path == SYSTEM_PATH:
            return await self._patch_system(request, detail)
        if method == "POST" and path == RESET_PATH:
            return await self._reset(request, detail)
        if method == "POST" and path == MANAGER_RESET_PATH:
            self._sessions.close_all()
            return web.Response(status=HTTPStatus.NO_CONTENT)
        if method == "DELETE" and path.startswith(f"{SESSIONS_PATH}/"):
            if not self._sessions.close(session_id=path.rpartition("/")[2]):
                raise missing(path)
            return web.Response(status=HTTPStatus.NO_CONTENT)
        if path not in _POST_PATHS and path not in tree(machine=self._machine, sessions=self._sessions):
            raise missing(path)
        response = error_response(
            RedfishError(HTTPStatus.METHOD_NOT_ALLOWED, "OperationNotAllowed", f"{method} is not allowed on {path}.")
        )
        response.headers["Allow"] = _allow(path)
        return response

    def _open_document(self, path: str) -> web.Response:
        if path == "/redfish":
            return web.json_response({"v1": f"{ROOT}/"})
        if path.endswith("$metadata"):
            return web.Response(text=_METADATA, content_type="application/xml")
        root = tree(machine=self._machine, sessions=self._sessions)[ROOT]
        if path.endswith("odata"):
            links = [
                {"name": k, "kind": "Singleton", "url": v["@odata.id"]}
                for k, v in root.items()
                if isinstance(v, dict) and "@odata.id" in v
            ]
            return web.json_response({"@odata.context": f"{ROOT}/$metadata", "value": links})
        return web.json_response(root, headers={"ETag": _digest(root), "Allow": "GET, HEAD"})

    def _require_login(self, request: web.BaseRequest) -> None:
        token, basic = request.headers.get("X-Auth-Token"), request.headers.get("Authorization")
        if self._machine.faults["auth_broken"] or not self._sessions.authenticated(token=token, authorization=basic):
            raise no_session()

    async def _log_in(self, request: web.BaseRequest, detail: dict[str, object]) -> web.Response:
        body = await _json(request)
        username, password = body.get("UserName"), body.get("Password")
        if not isinstance(username, str) or not isinstance(password, str):
            raise RedfishError(HTTPStatus.BAD_REQUEST, "PropertyMissing", "UserName and Password are required.")
        detail["user"] = username
        good = self._sessions.password_matches(username=username, password=password)
        if not good or self._machine.faults["auth_broken"]:
            raise no_session()
        session = self._sessions.open(username=username)
        if session is None:
            raise RedfishError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "SessionLimitExceeded",
                "The session establishment failed due to the number of simultaneous sessions exceeding the limit.",
            )
        location = f"{SESSIONS_PATH}/{session.id}"
        return web.json_response(
            {
                "@odata.id": location,
                "@odata.type": "#Session.v1_7_0.Session",
                "Id": session.id,
                "Name": f"Session {session.id}",
                "UserName": username,
            },
            status=HTTPStatus.CREATED,
            headers={"X-Auth-Token": session.token, "Location": location},
        )

    async def _patch_system(self, request: web.BaseRequest, detail: dict[str, object]) -> web.Response:
        wanted = request.headers.get("If-Match")
        if wanted not in {None, "*", self._etag(), self._etag().removeprefix("W/")}:
            raise RedfishError(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed", "The ETag did not match.")
        body = await _json(request)
        boot = body.pop("Boot", {})
        if body or not isinstance(boot, dict) or not boot:
            unknown = ", ".join(body) or "Boot"
            raise RedfishError(HTTPStatus.BAD_REQUEST, "PropertyNotWritable", f"Cannot be written: {unknown}.")
        await self._set_boot(boot, detail)
        return web.json_response(system(machine=self._machine), headers={"ETag": self._etag()})

    async def _set_boot(self, boot: dict[str, Any], detail: dict[str, object]) -> None:
        now = system(machine=self._machine)["Boot"]
        target = boot.get("BootSourceOverrideTarget", now["BootSourceOverrideTarget"])
        current = now["BootSourceOverrideEnabled"]
        enabled = boot.get("BootSourceOverrideEnabled", "Once" if current == "Disabled" else current)
        mode = boot.get("BootSourceOverrideMode", now["BootSourceOverrideMode"])
        uri = boot.get("HttpBootUri", now["HttpBootUri"])
        detail.update(target=target, enabled=enabled, mode=mode)
        for name, value, known in (
            ("BootSourceOverrideTarget", target, tuple(BOOT_TARGETS)),
            ("BootSourceOverrideEnabled", enabled, ("Once", "Continuous", "Disabled")),
            ("BootSourceOverrideMode", mode, ("UEFI", "Legacy")),
        ):
            if value not in known:
                raise bad_value(name, value)
        unknown = set(boot) - {
            *("BootSourceOverrideTarget", "BootSourceOverrideEnabled", "BootSourceOverrideMode", "HttpBootUri"),
        }
        if unknown:
            raise RedfishError(HTTPStatus.BAD_REQUEST, "PropertyUnknown", f"Unknown: {', '.join(sorted(unknown))}.")
        if uri is not None and not _is_http(uri):
            raise bad_value("HttpBootUri", "(not shown)")
        if target == "UefiHttp" and mode != "UEFI":
            raise RedfishError(HTTPStatus.BAD_REQUEST, "PropertyValueConflict", "UefiHttp needs the mode UEFI.")
        self._machine.set_http_boot_uri(uri or "")
        device = "none" if enabled == "Disabled" else BOOT_TARGETS[target]
        await self._machine.set_boot(device, once=enabled != "Continuous", uefi=mode == "UEFI")

    async def _reset(self, request: web.BaseRequest, detail: dict[str, object]) -> web.Response:
        body = await _json(request)
        kind = body.get("ResetType")
        detail["reset_type"] = kind
        if kind not in RESET_ACTIONS:
            raise RedfishError(
                HTTPStatus.BAD_REQUEST, "ActionParameterNotSupported", "ResetType is missing or not supported."
            )
        machine = self._machine
        if kind == "Nmi":
            machine.journal.console("NMI received for unknown reason 2d on CPU 0")
        elif kind == "PushPowerButton":
            await machine.power("soft" if machine.power_on else "on")
        else:
            await machine.power(RESET_ACTIONS[kind])
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _etag(self) -> str:
        """The system's ETag covers what can be written; a power state that moves is no conflict."""
        return _digest(system(machine=self._machine)["Boot"])


def _allow(path: str) -> str:
    if path == SYSTEM_PATH:
        return "GET, HEAD, PATCH"
    if path == SESSIONS_PATH:
        return "GET, HEAD, POST"
    if path in {RESET_PATH, MANAGER_RESET_PATH}:
        return "POST"
    return "GET, HEAD, DELETE" if path.startswith(f"{SESSIONS_PATH}/") else "GET, HEAD"


def _digest(body: Body) -> str:
    return 'W/"' + hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16] + '"'


def _is_http(uri: object) -> bool:
    if not isinstance(uri, str) or len(uri) > URI_LENGTH:
        return False
    with contextlib.suppress(ValueError):
        return urlsplit(uri).scheme in {"http", "https"} and bool(urlsplit(uri).hostname)
    return False


async def _json(request: web.BaseRequest) -> dict[str, Any]:
    if (request.content_length or 0) > BODY_BYTES:
        raise RedfishError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "MalformedJSON", "The request is too large.")
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RedfishError(HTTPStatus.BAD_REQUEST, "MalformedJSON", "The request body was malformed JSON.")
    return body
