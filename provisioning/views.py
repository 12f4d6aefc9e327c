"""HTTP for nodes. They have no session and no account: a token in the path is all that opens anything, once.

A wrong, used, expired or foreign token reads as 404 like any page that does not exist, and is noted in the platform's
audit log, at most REFUSALS_PER_MINUTE times per minute and process, so that a scanner cannot flood it.
"""

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import wraps
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import transaction
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseNotFound, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST, require_safe

from common.actors import system_actor
from common.clock import database_now
from compliance.audit import services as audit
from provisioning import boots

log = structlog.get_logger(__name__)

REFUSALS_PER_MINUTE = 10
MAX_BODY_BYTES = 16 * 1024
_BINARY = "application/octet-stream"
_CHUNK_BYTES = 1024 * 1024
_MAC = re.compile(r"^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}\Z")
_FILE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}\Z")
_HOST_KEY = re.compile(r"^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]{40,1500}={0,2}\Z")
_View = Callable[..., HttpResponseBase]


class _Refusals:
    """How many refusals were noted in the present minute, and how many were left out before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = 0
        self._count = 0

    def admit(self) -> int | None:
        """None when this one is one too many, else how many were left out since the last one noted."""
        minute = int(time.monotonic() // 60)
        with self._lock:
            left_out = max(0, self._count - REFUSALS_PER_MINUTE) if minute != self._minute else 0
            if minute != self._minute:
                self._minute, self._count = minute, 0
            self._count += 1
            return left_out if self._count <= REFUSALS_PER_MINUTE else None


_refusals = _Refusals()


def _not_found() -> HttpResponse:
    """For a boot loader: no page, no redirect."""
    return HttpResponseNotFound("not found\n", content_type="text/plain")


def _refuse(request: HttpRequest, what: str) -> HttpResponse:
    left_out = _refusals.admit()
    if left_out is not None:
        with transaction.atomic():
            audit.record(
                log_tenant_id=None,
                kind="boot.token_refused",
                subject_ref="boot",
                actor=system_actor(name="boot", request_id=str(request.META.get("chapek.request_id", ""))),
                details={"what": what, "from": request.META.get("REMOTE_ADDR", ""), "left_out_before": left_out},
                at=database_now(),
            )
    return _not_found()


def from_where_nodes_boot(view: _View) -> _View:
    """Elsewhere the address does not exist. Not for phoning home, which comes from a tenant's network."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if settings.CHAPEK_BOOT_NETWORKS and not _is_in(request.META.get("REMOTE_ADDR", "")):
            return _not_found()
        return view(request, *args, **kwargs)

    return guarded


def _is_in(text: str) -> bool:
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in settings.CHAPEK_BOOT_NETWORKS)


@from_where_nodes_boot
@require_GET
@never_cache
def script_for_mac(_request: HttpRequest, mac: str) -> HttpResponse:
    """Site DHCP names this address to every node that boots over the network."""
    if not _MAC.match(mac):
        return _not_found()
    return HttpResponse(boots.script_for_mac(mac=mac.replace("-", ":")), content_type="text/plain; charset=utf-8")


@from_where_nodes_boot
@require_safe
def loader(request: HttpRequest, token: str) -> HttpResponseBase:
    """IPXE itself, for UEFI HTTP boot; it then asks for ``autoexec.ipxe`` beside it, which is the one-time script."""
    if not boots.loader_is_waited_for(token=token):
        return _refuse(request, "loader")
    return _file(request, Path(settings.CHAPEK_BOOT_ARTEFACTS_DIR), settings.CHAPEK_IPXE_LOADER)


@from_where_nodes_boot
@require_GET
@never_cache
def script(request: HttpRequest, token: str) -> HttpResponse:
    text = boots.take_script(token=token)
    if text is None:
        return _refuse(request, "script")
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


@csrf_exempt
@from_where_nodes_boot
@require_POST
def report(request: HttpRequest, token: str) -> HttpResponse:
    """The rescue system: ``{"mac", "serial", "host_keys"}``."""
    try:
        body = json.loads(_body(request))
        mac, serial, host_keys = str(body["mac"]), str(body["serial"]), [str(key) for key in body["host_keys"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return HttpResponse(status=400)
    if not (_MAC.match(mac) and serial.isprintable()):
        return HttpResponse(status=400)
    if not 1 <= len(host_keys) <= boots.MAX_HOST_KEYS or not all(_HOST_KEY.match(key) for key in host_keys):
        return HttpResponse(status=400)
    if not boots.take_report(token=token, mac=mac, serial=serial, host_keys=host_keys):
        return _refuse(request, "report")
    return HttpResponse(status=204)


@csrf_exempt
@require_POST
def phone_home(request: HttpRequest, token: str) -> HttpResponse:
    """cloud-init's phone_home: a form with the host key and the instance id."""
    try:
        _body(request)
    except ValueError:
        return HttpResponse(status=400)
    key = " ".join(request.POST.get("pub_key_ed25519", "").split()[:2])
    instance_id = request.POST.get("instance_id", "")
    if not (_HOST_KEY.match(key) and instance_id.isprintable()):
        return HttpResponse(status=400)
    if not boots.take_phone_home(token=token, instance_id=instance_id, host_key=key):
        return _refuse(request, "phone-home")
    return HttpResponse(status=204)


@from_where_nodes_boot
@require_GET
def artefact(request: HttpRequest, name: str) -> HttpResponseBase:
    """Kernel and initrd of the rescue system: the same for all, and no secret."""
    return _file(request, Path(settings.CHAPEK_BOOT_ARTEFACTS_DIR), name)


@from_where_nodes_boot
@require_GET
def image(request: HttpRequest, token: str, name: str) -> HttpResponseBase:
    """The image of one deployment, while it runs."""
    job = boots.image_job(token=token)
    if job is None or job.image is None or Path(job.image.path).name != name:
        return _refuse(request, "image")
    return _file(request, Path(settings.CHAPEK_IMAGES_DIR), job.image.path)


def _file(request: HttpRequest, folder: Path, name: str) -> HttpResponseBase:
    """A file below the folder, and nowhere else: neither by dots nor by links that lead out."""
    if not all(_FILE_NAME.match(part) for part in name.split("/")):
        return _not_found()
    root = folder.resolve()
    found = (root / name).resolve()
    if not found.is_relative_to(root) or not found.is_file():
        log.warning("file for a node is missing", folder=str(root), name=name)
        return _not_found()
    if not isinstance(request, ASGIRequest):
        return FileResponse(found.open("rb"), content_type=_BINARY)
    # Under ASGI Django would read a file's synchronous iterator to its end into memory before sending a byte.
    response = StreamingHttpResponse(_chunks(found), content_type=_BINARY)
    response["Content-Length"] = str(found.stat().st_size)
    return response


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield chunk
    finally:
        file.close()


def _body(request: HttpRequest) -> bytes:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not str(length).isdigit() or int(length) > MAX_BODY_BYTES:
        raise ValueError("too long")
    return request.body
