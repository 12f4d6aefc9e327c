"""SSH to nodes: one script per call, by ``sh -s`` with the script on stdin.

The host key is pinned to what the node reported over its one-time token; anything else is refused before a log-in is
tried. Everything is bounded: connecting, the script's time, its output.
"""

import io
import shlex
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from provisioning.errors import HostKeyMismatch, LoginRefused, NodeUnreachable, ScriptFailed, StepTimedOut

_SCRIPTS = Path(__file__).parent / "scripts"
MAX_OUTPUT_BYTES = 4 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024


def new_key_pair(*, comment: str) -> tuple[str, str]:
    """(private key as OpenSSH PEM, authorized_keys line) of a fresh Ed25519 key."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return private, f"{public} {comment}"


@cache
def script(name: str) -> str:
    return (_SCRIPTS / f"{name}.sh").read_text(encoding="utf-8")


def with_parameters(text: str, parameters: Mapping[str, str | int]) -> str:
    """The script with its parameters assigned at its head, each quoted for sh."""
    head = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in parameters.items())
    return head + text


@dataclass(frozen=True, kw_only=True)
class Login:
    """Where to, as whom, and which host keys (``ssh-ed25519 AAAA...``) are believed."""

    address: str
    port: int
    user: str
    private_key: str = field(repr=False)
    host_keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Output:
    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """What was printed; without zero bytes, which no column takes and no program of ours prints."""
        return self.stdout.decode(errors="replace").replace("\0", "")

    @property
    def last_words(self) -> str:
        """The last lines of standard error, fit for a log and a page whoever wrote them."""
        text = self.stderr.decode(errors="replace")
        lines = ["".join(char if char.isprintable() else " " for char in line) for line in text.splitlines()[-3:]]
        return " | ".join(line.strip() for line in lines if line.strip())[:500]

    def sections(self) -> dict[str, str]:
        """Parts of an output that the script has headed by lines ``==name==``."""
        parts: dict[str, list[str]] = {}
        current: list[str] = []
        for line in self.text.splitlines(keepends=True):
            mark = line.strip()
            if len(mark) > 4 and mark.startswith("==") and mark.endswith("=="):
                current = parts.setdefault(mark[2:-2], [])
            else:
                current.append(line)
        return {name: "".join(lines) for name, lines in parts.items()}


class Ssh:
    """A connection to one node, made at the first script and kept for the next ones."""

    def __init__(self, *, login: Login, check: Callable[[], None], timeout_s: float) -> None:
        """``check`` is called before every script and raises when the caller's lease is lost."""
        self._login = login
        self._check = check
        self._timeout_s = timeout_s
        self._client: paramiko.SSHClient | None = None

    def run(
        self,
        name: str,
        *,
        parameters: Mapping[str, str | int] | None = None,
        timeout_s: float,
        accept: tuple[int, ...] = (0,),
    ) -> Output:
        """Run ``scripts/<name>.sh``. Raises ScriptFailed (status not in ``accept``), StepTimedOut, NodeUnreachable."""
        self._check()
        client = self.connect()
        try:
            output = self._execute(client, with_parameters(script(name), parameters or {}), timeout_s)
        except (paramiko.SSHException, EOFError, OSError) as error:
            self.close()
            raise NodeUnreachable(f"SSH broke off during {name}: {type(error).__name__}", script=name) from error
        if output.status not in accept:
            raise ScriptFailed(
                f"{name} ended with status {output.status}: {output.last_words}",
                script=name,
                exit_status=output.status,
            )
        return output

    def connect(self) -> paramiko.SSHClient:
        """Raises HostKeyMismatch, LoginRefused, NodeUnreachable."""
        if self._client is not None:
            transport = self._client.get_transport()
            if transport is not None and transport.is_active():
                return self._client
            self.close()
        login = self._login
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        place = login.address if login.port == 22 else f"[{login.address}]:{login.port}"
        for line in login.host_keys:
            entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{place} {line}")
            if entry is not None and entry.key is not None:
                client.get_host_keys().add(place, entry.key.get_name(), entry.key)
        sock: socket.socket | None = None
        try:
            sock = socket.create_connection((login.address, login.port), timeout=self._timeout_s)
            # Small messages back and forth: waiting to fill a packet costs 40 ms twice per log-in.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.connect(
                login.address,
                port=login.port,
                username=login.user,
                pkey=paramiko.Ed25519Key.from_private_key(io.StringIO(login.private_key)),
                sock=sock,
                timeout=self._timeout_s,
                banner_timeout=self._timeout_s,
                auth_timeout=self._timeout_s,
                channel_timeout=self._timeout_s,
                allow_agent=False,
                look_for_keys=False,
            )
        except paramiko.AuthenticationException as error:
            _hang_up(client, sock)
            raise LoginRefused(f"{login.user} is not let in with the key of this job") from error
        except (paramiko.BadHostKeyException, paramiko.SSHException, EOFError, OSError) as error:
            _hang_up(client, sock)
            if isinstance(error, paramiko.BadHostKeyException) or "not found in known_hosts" in str(error):
                raise HostKeyMismatch(f"{place} shows a host key that this node has not reported") from error
            raise NodeUnreachable(f"no SSH at {place}: {type(error).__name__}", address=place) from error
        self._client = client
        return client

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                client.close()

    def _execute(self, client: paramiko.SSHClient, text: str, timeout_s: float) -> Output:
        transport = client.get_transport()
        if transport is None:
            raise EOFError
        deadline = time.monotonic() + timeout_s
        with transport.open_session(timeout=self._timeout_s) as channel:
            channel.settimeout(timeout_s)
            try:
                channel.exec_command("sh -s")
                channel.sendall(text.encode())
                channel.shutdown_write()
                stdout = _read(channel, channel.recv, MAX_OUTPUT_BYTES, deadline)
                stderr = _read(channel, channel.recv_stderr, MAX_ERROR_BYTES, deadline)
                if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
            except TimeoutError as error:
                raise StepTimedOut(f"a script on the node took longer than {timeout_s:.0f} s") from error
            if channel.exit_status < 0:
                raise EOFError
            return Output(status=channel.exit_status, stdout=stdout, stderr=stderr)


def _read(channel: paramiko.Channel, receive: Callable[[int], bytes], limit: int, deadline: float) -> bytes:
    """All of one stream; what is over the limit is read and dropped, so that the script is not held up."""
    kept = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        channel.settimeout(left)
        data = receive(65536)
        if not data:
            return bytes(kept)
        kept += data[: max(0, limit - len(kept))]


def _hang_up(client: paramiko.SSHClient, sock: socket.socket | None) -> None:
    with suppress(Exception):
        client.close()
    if sock is not None:
        with suppress(OSError):
            sock.close()
