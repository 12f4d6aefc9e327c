"""One emulated machine: power rail, boot override, and the way from power-on to a running system."""

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

from lab.chassis import BOOT_DEVICES, POWER_ACTIONS, ChassisError
from lab.faults import FaultPlan
from lab.journal import Journal
from lab.rack import Node, Timing

OFF, POST, SETUP, NETWORK, RESCUE, STARTING, SYSTEM, HALTED = (
    *("off", "post", "setup", "network", "rescue", "starting", "system", "halted"),
)
STANDBY_W = 62
# Watts of a whole eight-GPU server: idle, and under full load.
DRAW_W = {"H200": (2650, 10200), "B300": (3500, 14300)}
OTHER_DRAW_W = (400, 1200)


class Software(Protocol):
    """What the machine runs once its firmware hands over; lab.system is the emulated one."""

    async def boot_network(self, *, url: str, uefi: bool) -> bool:
        """Boot from an iPXE script; False when the firmware must go on to the next boot option."""
        ...

    async def boot_disk(self) -> bool:
        """Boot the installed system; False when no drive has one."""
        ...

    async def stop(self) -> None:
        """Power is gone: everything that runs ends now."""
        ...


class Machine:
    """The Chassis both BMC protocols command. `phase` is one of the constants above."""

    def __init__(
        self, *, node: Node, timing: Timing, boot_url: str, journal: Journal, faults: FaultPlan, memory: Path
    ) -> None:
        self.node = node
        self.timing = timing
        self.boot_url = boot_url.rstrip("/")
        self.journal = journal
        self.faults = faults
        self.phase = OFF
        self.http_boot_uri = ""
        self.boot_once = True
        self.boot_uefi = True
        self.boots = 0
        self._boot_device = "none"
        self._powered = False
        self._memory = memory
        self._software: Software | None = None
        self._boot: asyncio.Task[None] | None = None
        self._rail = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watchers: list[Callable[[str], None]] = []

    def install(self, software: Software) -> None:
        self._software = software

    # What the BMC sees

    @property
    def power_on(self) -> bool:
        return self._powered != bool(self.faults["wrong_power"])

    @property
    def boot_device(self) -> str:
        return self._boot_device

    async def power(self, action: str) -> None:
        if action not in POWER_ACTIONS:
            raise ChassisError(f"unknown power action {action!r}", code="bad_action")
        if action in {"cycle", "reset"} and not self._powered and not self._rail.locked():
            raise ChassisError("the machine is off", code="not_powered")
        if self.faults["power_stuck"]:
            return
        steps: dict[str, Callable[[], Awaitable[None]]] = {
            "on": self._energise,
            "off": self._cut,
            "soft": self._shut_down,
            "cycle": self._cycle,
            "reset": self._restart,
        }
        # Commands take effect in the order given; the BMC itself answers at once.
        self._start(self._in_turn(steps[action]))
        await asyncio.sleep(0)

    async def set_boot(self, device: str, *, once: bool, uefi: bool) -> None:
        if device not in BOOT_DEVICES:
            raise ChassisError(f"unknown boot device {device!r}", code="bad_device")
        if self.faults["boot_ignored"]:
            return
        self._boot_device, self.boot_once, self.boot_uefi = device, once, uefi
        self._remember()

    def power_reading_w(self) -> int:
        if not self._powered:
            return STANDBY_W
        idle, full = DRAW_W.get(self.node.gpu_model, OTHER_DRAW_W)
        phase = sum(self.node.name.encode()) % 100
        wave = math.sin(time.time() / 90 + phase) * 0.08 + math.sin(time.time() / 7 + phase) * 0.02
        load = 0.62 + wave if self.phase == SYSTEM else 0.02 + abs(wave) / 20
        return round(idle + (full - idle) * load)

    def log(self, protocol: str, command: str, **detail: object) -> None:
        self.journal.protocol(protocol, command, **detail)

    # What happens inside

    def on_phase(self, watcher: Callable[[str], None]) -> None:
        """Call `watcher` with each new phase."""
        self._watchers.append(watcher)

    def enter(self, phase: str) -> None:
        self.phase = phase
        for watcher in self._watchers:
            watcher(phase)

    def recall(self) -> bool:
        """Take up the state kept from the lab's last run; True when the machine was on and must come back."""
        try:
            kept = json.loads(self._memory.read_text(encoding="utf-8"))
            self._boot_device = str(kept["boot_device"])
            self.boot_once, self.boot_uefi = bool(kept["once"]), bool(kept["uefi"])
            self.http_boot_uri = str(kept["http_boot_uri"])
            return bool(kept["on"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def set_http_boot_uri(self, uri: str) -> None:
        self.http_boot_uri = uri
        self._remember()

    async def close(self) -> None:
        """The lab ends: stop what runs, keep what the machine remembers."""
        for task in list(self._tasks):
            task.cancel()
        await self._halt()

    def _remember(self) -> None:
        kept = {"on": self._powered, "boot_device": self._boot_device, "once": self.boot_once, "uefi": self.boot_uefi}
        self._memory.write_text(json.dumps({**kept, "http_boot_uri": self.http_boot_uri}), encoding="utf-8")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_turn(self, step: Callable[[], Awaitable[None]]) -> None:
        async with self._rail:
            await step()

    async def _energise(self) -> None:
        if self._powered:
            return
        self._powered = True
        self._remember()
        self.journal.power_on()
        self._boot_now()

    async def _cut(self) -> None:
        if not self._powered:
            return
        await asyncio.sleep(self.timing.off_s)
        await self._halt()
        self._powered = False
        self._remember()
        self.enter(OFF)
        self.journal.console("power off")

    async def _shut_down(self) -> None:
        if self._powered:
            self.journal.console("ACPI: power button pressed, shutting down")
            await self._cut()

    async def _cycle(self) -> None:
        await self._cut()
        await self._energise()

    async def _restart(self) -> None:
        if not self._powered:
            return
        await self._halt()
        self.journal.console("reset")
        self._boot_now()

    def _boot_now(self) -> None:
        self.boots += 1
        self.enter(POST)
        self._boot = asyncio.get_running_loop().create_task(self._run_boot())

    async def _halt(self) -> None:
        if self._boot is not None:
            self._boot.cancel()
            await asyncio.gather(self._boot, return_exceptions=True)
            self._boot = None
        if self._software is not None:
            await self._software.stop()

    async def _run_boot(self) -> None:
        software = self._software
        if software is None:
            return
        node = self.node
        self.journal.console(f"POST {node.serial} {node.cpu_cores} cores {node.memory_gib} GiB, {node.gpu_count} GPUs")
        await asyncio.sleep(self.timing.post_s)
        device, uri = self._boot_device, self.http_boot_uri
        if device != "none" and self.boot_once:
            self._boot_device = "none"
            self._remember()
        if device == "bios":
            self.enter(SETUP)
            self.journal.console("entering setup")
            return
        if device in {"pxe", "http"}:
            self.enter(NETWORK)
            by_uri = device == "http" and bool(uri)
            url = uri if by_uri else f"{self.boot_url}/boot/mac/{node.mac}"
            if await software.boot_network(url=url, uefi=by_uri):
                return
            self.journal.console("network boot failed, trying the next boot option")
        if await software.boot_disk():
            return
        self.enter(HALTED)
        self.journal.console("no bootable device")
