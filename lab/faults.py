"""Faults of a node, set while the lab runs: `python -m lab.faults --state DIR NODE key=value ...`.

| key | effect |
|---|---|
| dead | the BMC takes requests and never answers |
| slow_s | the BMC answers this many seconds late |
| wrong_power | the BMC reports the opposite power state |
| power_stuck | power commands are accepted and change nothing |
| boot_ignored | boot overrides are accepted and forgotten |
| auth_broken | the BMC refuses every log-in |
| ssh_dead | no SSH after boot |
| no_report | the rescue system or the OS never reports back |
| erase_fails | every erase command fails |
| erase_lies | every erase command reports success and erases nothing |
| gpu_missing | that many GPUs are gone from the bus |
| gpu_ecc | uncorrectable memory errors on GPU 0 |
| gpu_hot | all GPUs run 60 degrees hotter |
| gpu_xid | that XID in the kernel log |
| pcie_width | GPU 0 has that many PCIe lanes |
| dcgm_fails | the DCGM diagnosis fails |
"""

import argparse
import json
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

KEYS = frozenset(
    {
        *("dead", "slow_s", "wrong_power", "power_stuck", "boot_ignored", "auth_broken", "ssh_dead", "no_report"),
        *("erase_fails", "erase_lies", "gpu_missing", "gpu_ecc", "gpu_hot", "gpu_xid", "pcie_width", "dcgm_fails"),
    }
)
SOCKET_NAME = "control.sock"
ANSWER_TIMEOUT_S = 10.0
HANG_S = 600.0


class FaultError(Exception):
    """The fault plan was refused; the message names the key or the node."""


class FaultPlan:
    """The faults of one node. Values are numbers; 0 takes a fault away. Scripts on the node read them from a file."""

    def __init__(self, *, path: Path) -> None:
        self._path = path
        self._values: dict[str, float] = {}

    def __getitem__(self, key: str) -> float:
        return self._values.get(key, 0.0)

    def active(self) -> dict[str, float]:
        return dict(self._values)

    def update(self, *, values: Mapping[str, object]) -> None:
        """Set or clear faults. Raises FaultError for an unknown key or a value that is no number."""
        checked: dict[str, float] = {}
        for key, value in values.items():
            if key not in KEYS:
                raise FaultError(f"unknown fault {key!r}; known: {', '.join(sorted(KEYS))}")
            if not isinstance(value, bool | int | float):
                raise FaultError(f"fault {key}: {value!r} is not a number")
            checked[key] = float(value)
        self._values = {k: v for k, v in {**self._values, **checked}.items() if v}
        self._path.write_text("".join(f"{k}={v:g}\n" for k, v in sorted(self._values.items())), encoding="utf-8")

    def clear(self) -> None:
        self._values = {}
        self._path.unlink(missing_ok=True)


def ask(*, state: Path, request: Mapping[str, object]) -> dict[str, object]:
    """Send one request to a running lab's control socket and return its answer. Raises OSError or FaultError.

    Requests: `{"op": "status"}`, `{"op": "status", "node": N}`, `{"op": "fault", "node": N, "set": {...}}`,
    `{"op": "clear", "node": N}`, `{"op": "power", "node": N, "action": A}` (somebody at the button).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(ANSWER_TIMEOUT_S)
        peer.connect(str(state / SOCKET_NAME))
        peer.sendall(json.dumps(request).encode() + b"\n")
        with peer.makefile("rb") as stream:
            answer = json.loads(stream.readline() or b"{}")
    if not isinstance(answer, dict) or answer.get("error"):
        raise FaultError(str(answer.get("error") if isinstance(answer, dict) else answer))
    return answer


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.faults", description="Set faults of emulated nodes.")
    parser.add_argument("--state", type=Path, required=True, help="the lab's state directory")
    parser.add_argument("node", nargs="?", help="node name; without one, show all nodes")
    parser.add_argument("faults", nargs="*", metavar="key=value", help="0 takes a fault away; none: show the node")
    options = parser.parse_args(argv)
    request: dict[str, object] = {"op": "status"} | ({"node": options.node} if options.node else {})
    try:
        if options.faults:
            values = {k: float(v or 1) for k, _, v in (item.partition("=") for item in options.faults)}
            request = {"op": "fault", "node": options.node, "set": values}
        answer = ask(state=options.state, request=request)
    except (OSError, FaultError, ValueError) as error:
        sys.stderr.write(f"lab.faults: {error}\n")
        return 1
    sys.stdout.write(json.dumps(answer, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
