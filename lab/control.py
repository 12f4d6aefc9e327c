"""The lab's control socket: status, faults, and a hand at the power button, for tests and for people."""

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from lab.chassis import ChassisError
from lab.faults import SOCKET_NAME, FaultError
from lab.machine import Machine
from lab.place import Place

REQUEST_BYTES = 64 * 1024


class Control:
    """One JSON request and one JSON answer a connection; see lab.faults.ask. For the lab's own user alone."""

    def __init__(self, *, machines: Mapping[str, Machine], place: Place) -> None:
        self._machines = machines
        self._place = place
        self._server: asyncio.Server | None = None

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def start(self) -> None:
        path = self._place.state / SOCKET_NAME
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._converse, path, limit=REQUEST_BYTES)
        finally:
            os.umask(mask)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            answer = await self._obey(request)
        except (ValueError, KeyError, TypeError, FaultError, ChassisError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        writer.write(json.dumps(answer).encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async def _obey(self, request: dict[str, Any]) -> dict[str, object]:
        operation, name = request["op"], str(request.get("node") or "")
        if operation == "status" and not name:
            return {"nodes": [self._status(name=each) for each in self._machines]}
        if name not in self._machines:
            raise FaultError(f"no node {name!r}")
        machine = self._machines[name]
        if operation == "fault":
            machine.faults.update(values=request["set"])
        elif operation == "clear":
            machine.faults.clear()
        elif operation == "power":
            await machine.power(str(request["action"]))
        elif operation != "status":
            raise FaultError(f"unknown operation {operation!r}")
        return self._status(name=name)

    def _status(self, *, name: str) -> dict[str, object]:
        machine = self._machines[name]
        node = machine.node
        return {
            "node": name,
            "phase": machine.phase,
            "power_on": machine.power_on,
            "boot_device": machine.boot_device,
            "boots": machine.boots,
            "faults": machine.faults.active(),
            "bmc": f"{node.bmc.protocol} {node.bmc.address}:{node.bmc.port}",
            "ssh": f"{node.ssh.address}:{node.ssh.port}",
            "directory": str(self._place.node_dir(name)),
            "console": str(machine.journal.console_path),
            "protocol_log": str(machine.journal.protocol_path),
        }
