"""What a node leaves behind for people and tests to read: a console log and a log of every BMC command."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

CONSOLE_BYTES = 256 * 1024
PROTOCOL_BYTES = 8 * 1024 * 1024


class Journal:
    """Append-only text files with a bound; when full, the older half goes. Readable by the lab's own user alone."""

    def __init__(self, *, directory: Path, name: str) -> None:
        self.console_path = directory / f"{name}.console.log"
        self.protocol_path = directory / f"{name}.bmc.jsonl"
        self._booted = time.monotonic()

    def power_on(self) -> None:
        self._booted = time.monotonic()

    def console(self, text: str) -> None:
        """One line, stamped with the seconds since power-on as a kernel does."""
        line = f"[{time.monotonic() - self._booted:12.6f}] {text}\n"
        _append(self.console_path, line, CONSOLE_BYTES)

    def protocol(self, protocol: str, command: str, **detail: object) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "protocol": protocol, "command": command, **detail}, default=str) + "\n"
        _append(self.protocol_path, line, PROTOCOL_BYTES)


def _append(path: Path, line: str, limit: int) -> None:
    with path.open("a+", encoding="utf-8") as stream:
        if stream.tell() + len(line) > limit:
            stream.seek(0)
            kept = stream.read()[-(limit // 2) :].partition("\n")[2]
            stream.seek(0)
            stream.truncate()
            stream.write(kept)
        stream.write(line)
