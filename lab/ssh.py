"""The SSH server of one booted node: its own host key, public keys only, read from authorized_keys at each log-in."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from lab.seed import read_plain
from lab.shell import Command, NodeShell, Terminal

LOGIN_TIMEOUT_S = 30
KEEPALIVE_S = 60
KEYS_BYTES = 256 * 1024
CHUNK = 64 * 1024
DRAIN_S = 10.0
SIGNALLED = 128


@dataclass(kw_only=True)
class NodeSsh:
    """`accounts` maps a user to the home directory whose `.ssh/authorized_keys` decides who may be that user.

    `say` writes to the console; `ran` is told how many seconds a command took on the node.
    """

    address: str
    port: int
    host_key: asyncssh.SSHKey
    accounts: Mapping[str, Path]
    shell: NodeShell
    say: Callable[[str], None]
    ran: Callable[[float], None]
    version: str = "OpenSSH_9.2p1"
    _acceptor: asyncssh.SSHAcceptor | None = field(default=None, init=False)
    _connections: set[asyncssh.SSHServerConnection] = field(default_factory=set, init=False)

    async def start(self) -> None:
        """Listen. Raises OSError when the address or port is not to be had."""
        self._acceptor = await asyncssh.listen(
            self.address,
            self.port,
            server_factory=lambda: _Login(self),
            process_factory=self._process,
            server_host_keys=[self.host_key],
            server_version=self.version,
            encoding=None,
            line_editor=False,
            password_auth=False,
            kbdint_auth=False,
            gss_host=None,
            agent_forwarding=False,
            x11_forwarding=False,
            allow_scp=False,
            login_timeout=LOGIN_TIMEOUT_S,
            keepalive_interval=KEEPALIVE_S,
            reuse_address=True,
        )

    async def stop(self) -> None:
        """The node loses power: connections break, nobody says goodbye."""
        if self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None
        for connection in list(self._connections):
            connection.abort()
        self._connections.clear()

    async def _process(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        user = process.get_extra_info("username")
        home = self.accounts[user]
        terminal: Terminal | None = None
        command: Command | None = None
        began_s = time.monotonic()
        try:
            if process.term_type:
                columns, rows, *_ = process.term_size
                terminal = Terminal(kind=process.term_type, columns=columns, rows=rows)
            command = await self.shell.start(command=process.command, user=user, home=home, terminal=terminal)
            if terminal is not None:
                status = await _through_terminal(process, command, terminal)
            else:
                status = await _through_pipes(process, command)
        except OSError as error:
            self.say(f"sshd: cannot run a command: {error}")
            process.exit(255)
            return
        finally:
            if command is not None:
                command.kill()
            if terminal is not None:
                terminal.close()
            self.ran(time.monotonic() - began_s)
        process.exit(SIGNALLED - status if status < 0 else status)
        with contextlib.suppress(TimeoutError, asyncssh.Error, OSError):
            async with asyncio.timeout(DRAIN_S):
                await process.wait_closed()


class _Login(asyncssh.SSHServer):
    """Public key log-ins of one connection."""

    def __init__(self, node: NodeSsh) -> None:
        self._node = node
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._node._connections.add(conn)  # noqa: SLF001 - the two halves of one server

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh calls it so
        if self._connection is not None:
            self._node._connections.discard(self._connection)  # noqa: SLF001 - the two halves of one server

    def begin_auth(self, username: str) -> bool:
        home = self._node.accounts.get(username)
        if home is not None and self._connection is not None:
            keys = authorized_keys(home)
            if keys is not None:
                self._connection.set_authorized_keys(keys)
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def auth_completed(self) -> None:
        if self._connection is not None:
            user = self._connection.get_extra_info("username")
            self._node.say(f"sshd: Accepted publickey for {user}")


def authorized_keys(home: Path) -> asyncssh.SSHAuthorizedKeys | None:
    """The keys in `home`'s file as it is now; lines that are no key are passed over, as sshd does."""
    text = read_plain(home / ".ssh" / "authorized_keys", limit=KEYS_BYTES).decode("utf-8", "replace")
    good: list[str] = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            if line.strip() and not line.lstrip().startswith("#"):
                asyncssh.import_authorized_keys(line + "\n")
                good.append(line)
    return asyncssh.import_authorized_keys("\n".join(good) + "\n") if good else None


async def _through_pipes(process: asyncssh.SSHServerProcess[bytes], command: Command) -> int:
    child = command.child
    # No end-of-file when stdout ends: it is for the whole channel, and what stderr still has to say would be lost.
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr, send_eof=False)
    gone = asyncio.ensure_future(process.channel.wait_closed())
    ended = asyncio.ensure_future(command.wait())
    try:
        await asyncio.wait({gone, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            command.kill()  # the client went away; so does what it started
        status = await ended
        with contextlib.suppress(TimeoutError, asyncssh.Error, OSError):
            async with asyncio.timeout(DRAIN_S):
                await process.stdout.drain()
                await process.stderr.drain()
        return status
    finally:
        gone.cancel()


async def _through_terminal(process: asyncssh.SSHServerProcess[bytes], command: Command, terminal: Terminal) -> int:
    loop = asyncio.get_running_loop()
    master = terminal.master
    os.set_blocking(master, False)
    closed = asyncio.Event()

    def readable() -> None:
        try:
            data = os.read(master, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody holds the other end any more
            data = b""
        if data:
            process.stdout.write(data)
        else:
            loop.remove_reader(master)
            closed.set()

    async def typed() -> None:
        while True:
            try:
                data = await process.stdin.read(CHUNK)
            except asyncssh.TerminalSizeChanged as change:
                terminal.resize(columns=change.width, rows=change.height)
                continue
            except asyncssh.BreakReceived:
                data = b"\x03"
            except asyncssh.SignalReceived:
                continue
            if not data:
                data = b"\x04" if not process.channel.is_closing() else b""
            if not data:
                return
            while data:
                try:
                    data = data[os.write(master, data) :]
                except BlockingIOError:
                    await asyncio.sleep(0.01)
                except OSError:
                    return

    loop.add_reader(master, readable)
    typist = loop.create_task(typed())
    gone = asyncio.ensure_future(process.channel.wait_closed())
    ended = asyncio.ensure_future(command.wait())
    try:
        await asyncio.wait({gone, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            command.kill()
        status = await ended
        terminal.close_slave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await closed.wait()
        return status
    finally:
        loop.remove_reader(master)
        typist.cancel()
        gone.cancel()
