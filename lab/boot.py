"""Network boot as iPXE does it: fetch the script over HTTP, follow it, fetch kernel and initrd in full."""

import asyncio
import base64
import binascii
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import aiohttp

SCRIPT_BYTES = 64 * 1024
LOADER_BYTES = 16 * 1024 * 1024
EFI_MAGIC = b"MZ"
FILE_BYTES = 4 * 1024**3
CHAIN_DEPTH = 8
TRIES = 8
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 3.0
KERNEL_MAGIC_AT = 0x202
KERNEL_MAGIC = b"HdrS"
_TIMEOUT = aiohttp.ClientTimeout(total=600, connect=5, sock_read=60)
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


class BootError(Exception):
    """The boot attempt ended; the message goes to the console."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What iPXE hands over to: the command line of the kernel it loaded."""

    arguments: dict[str, str]

    @property
    def report_url(self) -> str:
        return self.arguments.get("chapek.report", "")

    @property
    def hostname(self) -> str:
        return self.arguments.get("chapek.hostname", "")

    @property
    def authorized_key(self) -> str:
        """The one line for root's authorized_keys; empty when none was given. Raises BootError."""
        try:
            return base64.b64decode(self.arguments.get("chapek.sshkey", ""), validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise BootError("chapek.sshkey is not base64 of an authorized_keys line") from error


@dataclass(kw_only=True)
class Firmware:
    """An iPXE with this node's variables. `say` writes to the console."""

    http: aiohttp.ClientSession
    variables: dict[str, str]
    say: Callable[[str], None]
    _kernel: Kernel | None = field(default=None, init=False)

    async def http_boot(self, *, url: str) -> Kernel | None:
        """UEFI HTTP boot: firmware loads an EFI program, and nothing else; that iPXE looks for a script beside it.

        Raises BootError, also when the address holds a script: firmware cannot run one.
        """
        self.say(f"UEFI: {_shown(url)}")
        if not (await self._get(url, limit=LOADER_BYTES)).startswith(EFI_MAGIC):
            raise BootError("not an EFI application: Unsupported")
        return await self.boot(url=urljoin(url, "autoexec.ipxe"))

    async def boot(self, *, url: str) -> Kernel | None:
        """Run the script at `url`; the kernel it boots, None when it says `exit`. Raises BootError."""
        for _ in range(CHAIN_DEPTH):
            self.say(f"iPXE: {_shown(url)}")
            script = (await self._get(url, limit=SCRIPT_BYTES)).decode("utf-8", "replace")
            if not script.startswith("#!ipxe"):
                raise BootError("not an iPXE script: Exec format error")
            following = await self._run(script, base=url)
            if following is None or isinstance(following, Kernel):
                return following
            url = following
        raise BootError("too many chained scripts")

    async def _run(self, script: str, *, base: str) -> str | Kernel | None:
        """The URL to chain to, the kernel to boot, or None for exit (and for a script that ends)."""
        for raw in script.replace("\\\n", " ").splitlines()[1:]:
            verdict = await self._line(self._alternatives(raw), base=base)
            if verdict != "":
                return verdict
        return None

    async def _line(self, options: list[list[str]], *, base: str) -> str | Kernel | None:
        """Run the first alternative that works; the last one's failure is the script's. Returns as `_command`."""
        for position, (command, *words) in enumerate(options, start=1):
            try:
                return await self._command(command, words, base=base)
            except BootError as error:
                if position == len(options):
                    raise
                self.say(f"iPXE: {error}")
        return ""

    def _alternatives(self, raw: str) -> list[list[str]]:
        """The commands of one line: `a || b` runs b only when a failed."""
        line = raw.strip()
        if not line or line.startswith(("#", ":")):
            return []
        line = _VARIABLE.sub(lambda match: self.variables.get(match.group(1).split(":")[0], ""), line)
        options = [shlex.split(part) for part in line.split("||")]
        return [option for option in options if option]

    async def _command(self, command: str, words: list[str], *, base: str) -> str | Kernel | None:
        """What `_run` returns, or an empty string to go on with the next line."""
        operands = [word for word in words if not word.startswith("--")]
        if command == "chain" and operands:
            return urljoin(base, operands[0])
        if command == "kernel" and operands:
            url = urljoin(base, operands[0])
            self.say(f"iPXE: kernel {_shown(url)}")
            await self._download(url, magic=True)
            pairs = (word.partition("=") for word in operands[1:])
            self._kernel = Kernel(arguments={key: value for key, _, value in pairs})
        elif command in {"initrd", "module"} and operands:
            url = urljoin(base, operands[0])
            self.say(f"iPXE: initrd {_shown(url)}")
            await self._download(url, magic=False)
        elif command == "boot":
            if self._kernel is None:
                raise BootError("nothing to boot: no kernel was loaded")
            return self._kernel
        elif command == "exit":
            return None
        elif command == "set" and words:
            self.variables[words[0]] = " ".join(words[1:])
        elif command not in {"echo", "dhcp", "ifconf", "ifopen", "imgfree", "sleep", "clear", "iseq"}:
            raise BootError(f"{command}: command not found")
        return ""

    async def _get(self, url: str, *, limit: int) -> bytes:
        body = bytearray()
        await self._fetch(url, body.extend, limit=limit, restart=body.clear)
        return bytes(body)

    async def _download(self, url: str, *, magic: bool) -> None:
        """Fetch a file in full and forget it, as nothing runs on an emulated processor; a kernel must be one."""
        head = bytearray()
        size = 0

        def take(chunk: bytes) -> None:
            nonlocal size
            size += len(chunk)
            if len(head) < KERNEL_MAGIC_AT + 4:
                head.extend(chunk)

        await self._fetch(url, take, limit=FILE_BYTES, restart=head.clear)
        if not size:
            raise BootError(f"{_shown(url)}: empty file")
        if magic and head[KERNEL_MAGIC_AT : KERNEL_MAGIC_AT + 4] != KERNEL_MAGIC:
            raise BootError(f"{_shown(url)}: not a Linux kernel: Exec format error")
        self.say(f"iPXE: ok, {size} bytes")

    async def _fetch(self, url: str, take: Callable[[bytes], None], *, limit: int, restart: Callable[[], None]) -> None:
        require_http_loopback(url)
        pause = FIRST_PAUSE_S
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
                restart()
            try:
                async with self.http.get(url, timeout=_TIMEOUT, allow_redirects=False) as answer:
                    if answer.status >= 500 or answer.status == 429:
                        self.say(f"iPXE: HTTP {answer.status}, retrying")
                        continue
                    if answer.status != 200:
                        raise BootError(f"{_shown(url)}: HTTP {answer.status}: No such file or directory")
                    left = limit
                    async for chunk in answer.content.iter_chunked(1 << 18):
                        left -= len(chunk)
                        if left < 0:
                            raise BootError(f"{_shown(url)}: too large")
                        take(chunk)
                    return
            except (aiohttp.ClientError, TimeoutError) as error:
                self.say(f"iPXE: {type(error).__name__}, retrying")
        raise BootError(f"{_shown(url)}: Connection timed out")


def require_http_loopback(url: str) -> None:
    """Nodes of the lab reach loopback only. Raises BootError."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http" or not (host == "localhost" or host.startswith("127.") or host == "::1"):
        raise BootError(f"{parts.scheme}://{host}: Network unreachable (nodes of the lab reach http on loopback only)")


def _shown(url: str) -> str:
    """The URL without its last secret parts: console logs are read by people, tokens are not for them."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{_TOKEN.sub('***', parts.path)}"


_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,}")
