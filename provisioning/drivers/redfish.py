"""Redfish by sushy, trimmed to what an act costs: a look, the act, and nothing else.

Measured against the emulated rack: sushy's constructor and a search for the system take six requests before the first
useful one. So the log-in token and the system's path are kept per BMC in this process, TCP connections a
little longer than a turn: the next step mostly follows at once, and a TLS handshake costs both ends more than its
command. Whoever ends a turn hangs up what others left open.
The token is given back when it is pushed out or the process ends.

Connections are encrypted; the certificate is not checked against authorities, which know no BMC, but pinned by its
SHA-256. At first contact (no pin yet) what is seen is reported for the caller to pin.
"""

import atexit
import hashlib
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import sushy
from requests.adapters import HTTPAdapter
from sushy import auth as sushy_auth
from sushy import connector as sushy_connector
from sushy import exceptions as sushy_errors
from sushy.resources.system import system as sushy_system

from provisioning.drivers.base import BmcIdentity, Endpoint, PowerState
from provisioning.drivers.errors import (
    BmcBusy,
    BmcCredentialsRefused,
    BmcError,
    BmcSecurityMismatch,
    BmcUnreachable,
)

_SESSIONS_KEPT = 512
_CONNECT_TIMEOUT_S = 5
_LINGER_S = 5.0
"""A connection that no turn used for this long is not used again."""
_FRESH_S = 1.0
"""For how long one look at the system serves the acts of one turn: nobody else acts on this BMC meanwhile."""
_ON = {"On", "PoweringOn"}
_OFF = {"Off", "PoweringOff"}


def _tls() -> ssl.SSLContext:
    """One context for all BMCs. Left to itself, urllib3 reads the system's authorities at every connection (18 ms)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is compared with the pin, or seen for the first time
    return context


_TLS = _tls()


class _PinnedAdapter(HTTPAdapter):
    """TLS whose server must show one certificate; checked after the handshake, before anything is sent."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, assert_fingerprint=self._fingerprint, ssl_context=_TLS, **kwargs)


class _Connector(sushy_connector.Connector):  # type: ignore[misc]  # sushy carries no types
    """sushy's connector, which calls ``before`` ahead of every act and never sends anything twice by itself."""

    def __init__(self, *, url: str, fingerprint: str, timeout_s: float) -> None:
        # server_side_retries=1 is one attempt: the default would post a reset three times on a slow answer.
        super().__init__(
            url,
            verify=False,
            server_side_retries=1,
            default_request_timeout=timeout_s,
            connect_timeout=min(_CONNECT_TIMEOUT_S, timeout_s),
        )
        self.before: Callable[[], None] = lambda: None
        self._session.mount("https://", _PinnedAdapter(fingerprint))
        self._session.headers["Connection"] = "keep-alive"
        self._session.trust_env = False

    def _op(self, method: str, path: str = "", **keywords: Any) -> Any:
        if method != "GET":
            self.before()
        return super()._op(method, path, **keywords)


class _SessionAuth(sushy_auth.SessionOrBasicAuth):  # type: ignore[misc]  # likewise
    """Sessions; basic authentication only where the BMC has no session service.

    A refused password is not tried a second time the other way: that is half of what locks an account.
    """

    def _do_authenticate(self) -> None:
        try:
            sushy_auth.SessionAuth._do_authenticate(self)  # noqa: SLF001 - the parent's parent, on purpose
        except (sushy_errors.ResourceNotFoundError, sushy_errors.MissingXAuthToken):
            self._fallback_to_basic_authentication()


@dataclass
class _Service:
    """One BMC's log-in and the path of its system."""

    root: Any
    connector: _Connector
    system_path: str
    idle_since: float | None = None
    """When its last turn ended; None during one and once TCP is closed."""

    def hang_up_if_idle(self) -> None:
        if self.idle_since is not None and time.monotonic() - self.idle_since > _LINGER_S:
            self.idle_since = None
            self.connector.close()

    def log_out(self) -> None:
        self.connector.before = lambda: None
        auth, self.root._auth = self.root._auth, None  # noqa: SLF001 - sushy logs out in __del__ only
        with suppress(Exception):
            auth.close()
        self.connector.close()


_services: OrderedDict[Endpoint, _Service] = OrderedDict()
_services_lock = threading.Lock()


@atexit.register
def log_out_everywhere() -> None:
    """Give every session back; BMCs have few."""
    with _services_lock:
        services = list(_services.values())
        _services.clear()
    for service in services:
        service.log_out()


def seen_certificate(*, address: str, port: int, timeout_s: float) -> str:
    """SHA-256 of the certificate that a BMC shows, lower-case hex. Raises BmcUnreachable, BmcSecurityMismatch."""
    try:
        with (
            socket.create_connection((address, port), timeout=min(_CONNECT_TIMEOUT_S, timeout_s)) as plain,
            _TLS.wrap_socket(plain) as secure,
        ):
            certificate = secure.getpeercert(binary_form=True)
    except ssl.SSLError as error:
        raise BmcSecurityMismatch(f"no TLS with the BMC: {error.reason}", address=address) from error
    except OSError as error:
        raise BmcUnreachable(f"no connection to the BMC: {type(error).__name__}", address=address) from error
    if certificate is None:
        raise BmcSecurityMismatch("the BMC shows no certificate", address=address)
    return hashlib.sha256(certificate).hexdigest()


class RedfishDriver:
    """One BMC over Redfish; see ``drivers.base`` for the rules. At first contact the certificate seen is the pin."""

    def __init__(self, *, endpoint: Endpoint, before: Callable[[], None]) -> None:
        self._endpoint = endpoint
        self._before = before
        self._service: _Service | None = None
        self._seen: tuple[float, Any] = (0.0, None)

    def power_state(self) -> PowerState:
        with self._errors():
            return self._power_of(self._system(fresh=True))

    def power_on(self) -> bool:
        with self._errors():
            system = self._system()
            if self._power_of(system) is PowerState.ON:
                return False
            self._reset(system, sushy.RESET_ON)
            return True

    def power_off(self, *, soft: bool = False) -> bool:
        with self._errors():
            system = self._system()
            if self._power_of(system) is PowerState.OFF:
                return False
            allowed = system.get_allowed_reset_system_values()
            graceful = sushy.RESET_GRACEFUL_SHUTDOWN
            self._reset(system, graceful if soft and graceful in allowed else sushy.RESET_FORCE_OFF)
            return True

    def reset(self) -> None:
        with self._errors():
            self._reset(self._system(), sushy.RESET_FORCE_RESTART)

    def boot_from_network(self, *, url: str) -> bool:
        with self._errors():
            system = self._system()
            boot = system.json.get("Boot") or {}
            by_url = (
                sushy.BOOT_SOURCE_TARGET_UEFI_HTTP in system.get_allowed_system_boot_source_values()
                and "HttpBootUri" in boot
            )
            # All of target, duration and mode each time: some BMCs reset what is not sent along.
            system.set_system_boot_options(
                target=sushy.BOOT_SOURCE_TARGET_UEFI_HTTP if by_url else sushy.BOOT_SOURCE_TARGET_PXE,
                enabled=sushy.BOOT_SOURCE_ENABLED_ONCE,
                mode=sushy.BOOT_SOURCE_MODE_UEFI,
                http_boot_uri=url if by_url else None,
            )
            system.refresh(force=True)
            self._seen = (time.monotonic(), system)
            boot = system.json.get("Boot") or {}
            if boot.get("BootSourceOverrideTarget") not in {"UefiHttp", "Pxe"} or (
                by_url and boot.get("HttpBootUri") != url
            ):
                raise BmcError("the BMC accepted a boot override and does not show it", address=self._endpoint.address)
            return by_url

    def boot_from_disk(self) -> None:
        with self._errors():
            self._system().set_system_boot_options(
                target=sushy.BOOT_SOURCE_TARGET_HDD,
                enabled=sushy.BOOT_SOURCE_ENABLED_ONCE,
                mode=sushy.BOOT_SOURCE_MODE_UEFI,
            )

    def power_reading_w(self) -> int | None:
        with self._errors():
            service = self._connected()
            for chassis in service.root.get_chassis_collection().members_identities:
                document = service.connector.get(chassis).json()
                for name, read in (("EnvironmentMetrics", _environment_power_w), ("Power", _legacy_power_w)):
                    link = document.get(name, {}).get("@odata.id")
                    watts = read(service.connector.get(link).json()) if link else None
                    if watts is not None:
                        return watts
            return None

    def identity(self) -> BmcIdentity:
        with self._errors():
            system = self._system()
            facts = system.json
            firmware = ""
            for link in facts.get("Links", {}).get("ManagedBy", [])[:1]:
                firmware = self._connected().connector.get(link["@odata.id"]).json().get("FirmwareVersion") or ""
            return BmcIdentity(
                serial=facts.get("SerialNumber") or "",
                manufacturer=facts.get("Manufacturer") or "",
                model=facts.get("Model") or "",
                firmware=firmware,
                uuid=facts.get("UUID") or "",
                certificate_sha256=self._endpoint.certificate_sha256,
            )

    def close(self) -> None:
        """The turn is over: the log-in stays for the next one, TCP for some seconds."""
        service, self._service = self._service, None
        self._seen = (0.0, None)
        with _services_lock:
            if service is not None:
                service.connector.before = lambda: None
                service.idle_since = time.monotonic()
                if _services.get(self._endpoint) is not service:  # pushed out meanwhile: nobody else will look at it
                    service.connector.close()
            for known in _services.values():
                known.hang_up_if_idle()

    def _system(self, *, fresh: bool = False) -> Any:
        """The system as it is now, or was within this turn a moment ago: one request or none."""
        seen_at, system = self._seen
        if fresh or system is None or time.monotonic() - seen_at > _FRESH_S:
            service = self._connected()
            system = sushy_system.System(
                service.connector, service.system_path, redfish_version=service.root.redfish_version, root=service.root
            )
            self._seen = (time.monotonic(), system)
        return system

    def _reset(self, system: Any, kind: Any) -> None:
        self._seen = (0.0, None)
        system.reset_system(kind)

    def _power_of(self, system: Any) -> PowerState:
        said = system.json.get("PowerState")
        if said in _ON:
            return PowerState.ON
        if said in _OFF:
            return PowerState.OFF
        raise BmcError(f"the BMC says its power is {said!r}", address=self._endpoint.address)

    def _connected(self) -> _Service:
        if self._service is None:
            with _services_lock:
                self._service = _services.get(self._endpoint)
                if self._service is not None:
                    _services.move_to_end(self._endpoint)
                    self._service.hang_up_if_idle()  # may be dead by now; the first request opens a fresh one
                    self._service.idle_since = None
            if self._service is None:
                self._service = self._log_in()
            self._service.connector.before = self._before
        return self._service

    def _log_in(self) -> _Service:
        endpoint = self._endpoint
        self._before()
        pin = endpoint.certificate_sha256
        if not pin:
            pin = seen_certificate(address=endpoint.address, port=endpoint.port, timeout_s=endpoint.timeout_s)
            self._endpoint = endpoint = Endpoint(**{**vars(endpoint), "certificate_sha256": pin})
        url = f"https://{endpoint.address}:{endpoint.port}"
        connector = _Connector(url=url, fingerprint=pin, timeout_s=endpoint.timeout_s)
        auth = _SessionAuth(username=endpoint.username, password=endpoint.password)
        try:
            root = sushy.Sushy(url, auth=auth, connector=connector)
            paths = root.get_system_collection().members_identities
        except Exception:
            connector.close()
            raise
        if len(paths) != 1:
            raise BmcError(f"the BMC lists {len(paths)} systems, one expected", address=endpoint.address)
        service = _Service(root=root, connector=connector, system_path=paths[0])
        dropped: list[_Service] = []
        with _services_lock:
            # At first contact the pin is learnt anew each time, so the same BMC may be known already.
            known = _services.pop(endpoint, None)
            dropped += [known] if known is not None else []
            _services[endpoint] = service
            while len(_services) > _SESSIONS_KEPT:
                dropped.append(_services.popitem(last=False)[1])
        for old in dropped:
            old.log_out()
        return service

    def _forget(self) -> None:
        with _services_lock:
            service = _services.pop(self._endpoint, None)
        self._service = None
        if service is not None:
            service.connector.close()
            service.root._auth = None  # noqa: SLF001 - keeps sushy's __del__ from talking to a BMC that just failed

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Sushy's exceptions as ours."""
        address = self._endpoint.address
        try:
            yield
        except sushy_errors.AccessError as error:
            self._forget()
            raise BmcCredentialsRefused("the BMC refuses the log-in", address=address) from error
        except sushy_errors.ConnectionError as error:
            self._forget()
            text = str(error)
            if "Fingerprints did not match" in text or "fingerprint" in text.lower():
                raise BmcSecurityMismatch(
                    "the BMC shows another certificate than the one pinned at intake",
                    hint="find out who answers there; clear the pin only when the BMC was replaced",
                    address=address,
                    certificate_changed=True,
                ) from error
            if "SSLError" in text or "SSL" in text:
                raise BmcSecurityMismatch("no TLS with the BMC", address=address) from error
            raise BmcUnreachable("the BMC does not answer in time", address=address) from error
        except sushy_errors.HTTPError as error:
            if error.status_code in {429, 503}:
                raise BmcBusy("the BMC is busy", address=address, status=error.status_code) from error
            raise BmcError(
                f"the BMC answers {error.status_code}", address=address, status=error.status_code, said=str(error)[:300]
            ) from error
        except sushy_errors.SushyError as error:
            raise BmcError(f"the BMC cannot do this: {str(error)[:300]}", address=address) from error


def _environment_power_w(document: dict[str, Any]) -> int | None:
    reading = (document.get("PowerWatts") or {}).get("Reading")
    return None if reading is None else round(float(reading))


def _legacy_power_w(document: dict[str, Any]) -> int | None:
    for control in document.get("PowerControl") or []:
        if control.get("PowerConsumedWatts") is not None:
            return round(float(control["PowerConsumedWatts"]))
    return None
