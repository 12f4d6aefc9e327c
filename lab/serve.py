"""The emulated rack: one process, many nodes. `python -m lab.serve --rack RACK.json --state DIR`."""

import argparse
import asyncio
import contextlib
import fcntl
import importlib
import json
import logging
import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import aiohttp

from lab.control import Control
from lab.faults import FaultPlan
from lab.journal import Journal
from lab.machine import Machine
from lab.place import Place, open_node, open_place
from lab.rack import IPMI, Node, Rack, RackError, load, require_loopback
from lab.redfish.certificate import server_context
from lab.redfish.service import RedfishService
from lab.sandbox import SandboxError
from lab.shell import NodeShell
from lab.system import EmulatedSystem

READY_NAME = "ready.json"
LOCK_NAME = "lock"
CONNECTIONS = 200


class Closable(Protocol):
    def close(self) -> object: ...


class Lab:
    """All machines of a rack and their BMCs, on one event loop."""

    def __init__(self, *, rack: Rack, place: Place) -> None:
        self.rack = rack
        self.place = place
        self.machines: dict[str, Machine] = {}
        self._redfish: list[RedfishService] = []
        self._ipmi: list[Closable] = []
        self._http: aiohttp.ClientSession | None = None
        self._control = Control(machines=self.machines, place=place)

    async def start(self) -> None:
        """Bring every BMC up, then the machines that were on when the lab last ended.

        Raises OSError when an address is taken, RackError when a BMC protocol is not to be had.
        """
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ttl_dns_cache=60), trust_env=False
        )
        for node in self.rack.nodes:
            await self._start_node(node, self._http)
        await self._control.start()
        for machine in self.machines.values():
            if machine.recall():
                await machine.power("on")

    async def close(self) -> None:
        self._control.close()
        for bmc in self._ipmi:
            closing = bmc.close()
            if isinstance(closing, Awaitable):
                await closing
        await asyncio.gather(*(service.close() for service in self._redfish), return_exceptions=True)
        await asyncio.gather(*(machine.close() for machine in self.machines.values()), return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    async def _start_node(self, node: Node, http: aiohttp.ClientSession) -> None:
        directory = open_node(place=self.place, node=node)
        faults = FaultPlan(path=directory / "hw" / "faults")
        faults.clear()
        machine = Machine(
            node=node,
            timing=self.rack.timing,
            boot_url=self.rack.boot_url,
            journal=Journal(directory=self.place.logs, name=node.name),
            faults=faults,
            memory=self.place.bmc / f"{node.name}.json",
        )
        shell = NodeShell(
            sandbox=self.place.sandbox,
            node_dir=directory,
            largest_file_bytes=max((drive.size_bytes for drive in node.drives), default=0),
        )
        machine.install(EmulatedSystem(machine=machine, shell=shell, http=http))
        self.machines[node.name] = machine
        if node.bmc.protocol == IPMI:
            self._ipmi.append(await _serve_ipmi(machine))
            return
        context = server_context(path=self.place.bmc / f"{node.name}.pem", serial=node.serial, address=node.bmc.address)
        service = RedfishService(machine=machine, context=context)
        try:
            await service.start()
        except OSError as error:
            raise _taken(node, error) from error
        self._redfish.append(service)


async def _serve_ipmi(machine: Machine) -> Closable:
    try:
        module = importlib.import_module("lab.ipmi")
    except ImportError as error:
        raise RackError(f"{machine.node.name} has an IPMI BMC, and this lab has no IPMI service: {error}") from error
    serve: Callable[..., Awaitable[Closable]] = module.serve_ipmi
    bmc = machine.node.bmc
    try:
        return await serve(
            address=bmc.address,
            port=bmc.port,
            username=bmc.username,
            password=bmc.password,
            suites=(bmc.cipher_suite,),
            chassis=machine,
            guid=machine.node.uuid.bytes,
        )
    except OSError as error:
        raise _taken(machine.node, error) from error


def _taken(node: Node, error: OSError) -> OSError:
    return OSError(
        error.errno, f"{node.name}: cannot listen on {node.bmc.address}:{node.bmc.port}: {error.strerror or error}"
    )


async def serve(*, rack: Rack, state: Path) -> None:
    """Run the lab until SIGINT or SIGTERM. Raises RackError, SandboxError or OSError when it cannot start."""
    place = open_place(state=state)
    lock = _lock(place.state)
    lab = Lab(rack=rack, place=place)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    ready = place.state / READY_NAME
    ready.unlink(missing_ok=True)
    try:
        await lab.start()
        sandbox = place.sandbox
        facts: dict[str, object] = {
            "pid": os.getpid(),
            "nodes": len(rack.nodes),
            "protocols": Counter(node.bmc.protocol for node in rack.nodes),
            "run": str(place.run),
            "node_uid": sandbox.uid if sandbox.uid is not None else os.geteuid(),
            "landlock_abi": sandbox.abi,
        }
        ready.write_text(json.dumps(facts) + "\n", encoding="utf-8")
        if not sandbox.fenced and sandbox.uid is None:
            sys.stderr.write("lab: this kernel has no Landlock: node commands run with all your rights on your files\n")
        sys.stdout.write(f"lab ready: {json.dumps(facts)}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        ready.unlink(missing_ok=True)
        await lab.close()
        os.close(lock)


def _lock(state: Path) -> int:
    """Two labs on one state directory would write the same disks. Raises SandboxError when one runs already."""
    descriptor = os.open(state / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise SandboxError(f"another lab is running on {state}") from error
    return descriptor


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.serve", description="Run the emulated rack on loopback.")
    parser.add_argument("--rack", type=Path, required=True, help="rack file, see python -m lab.rack generate")
    parser.add_argument("--state", type=Path, required=True, help="directory for disks, logs and BMC certificates")
    parser.add_argument("--boot-url", help="address of the platform, instead of the rack file's")
    options = parser.parse_args(argv)
    logging.getLogger("asyncssh").setLevel(logging.ERROR)
    try:
        rack = load(path=options.rack)
        if options.boot_url:
            rack = rack.with_boot_url(options.boot_url)
        for node in rack.nodes:
            require_loopback(address=node.bmc.address, what=node.name)
        _raise_file_limit()
        asyncio.run(serve(rack=rack, state=options.state))
    except (RackError, SandboxError, OSError) as error:
        sys.stderr.write(f"lab: {error}\n")
        return 1
    return 0


def _raise_file_limit() -> None:
    """A thousand nodes hold some thousands of sockets."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if most == resource.RLIM_INFINITY else most
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


if __name__ == "__main__":
    raise SystemExit(main())
