"""IPMI by the `ipmitool` program: one short process per command, pinned cipher suite, typed failures.

A process of its own is fork-safe and can be killed, which the IPMI libraries for Python are not. The password goes
into the child's environment, never into its arguments.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Literal

from provisioning.drivers.errors import (
    BmcBusy,
    BmcCredentialsRefused,
    BmcError,
    BmcSecurityMismatch,
    BmcUnreachable,
    DriverToolMissing,
)

PowerState = Literal["on", "off"]
POWER_ACTIONS = ("on", "off", "cycle", "reset", "soft")
BOOT_DEVICES = ("none", "pxe", "disk", "cdrom", "bios")

_PROGRAM = "ipmitool"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_RETRY_S, _RETRIES = 1, 2
_DETAIL_CHARACTERS = 300
# Set System Boot Options, parameter 3: keep the override although no chassis control follows within 60 seconds.
_KEEP_BOOT_FLAGS = ("raw", "0x00", "0x08", "0x03", "0x08")
_GET_SYSTEM_GUID = ("raw", "0x06", "0x37")

# ipmitool's own words, in lower case, in the order of judgement. It gives the reason of a refused login only with
# `-v`; without it a wrong password and a dead BMC read the same.
_CREDENTIALS = (
    "rakp 2 hmac is invalid",
    "rakp 4 message has invalid integrity check value",
    "invalid integrity check value",
    "unauthorized name",
    "invalid name length",
    "unauthorized role or privilege",
    "invalid role",
    "insufficient privilege",
    "privilege level exceeds",
)
_SECURITY = (
    "no matching cipher suite",
    "no cipher suite match",
    "invalid authentication algorithm",
    "invalid integrity algorithm",
    "invalid confidentiality algorithm",
    "no matching authentication payload",
    "no matching integrity payload",
)
_BUSY = (
    "insufficient resources",
    "node busy",
    "timeout",
    "out of space",
    "bmc initialization in progress",
)
_UNREACHABLE = (
    "unable to establish ipmi v2",
    "address lookup for",
    "could not open socket",
)
# A completion code follows a colon or `rsp=`; a line that ends without either means that no answer came.
_NO_ANSWER = re.compile(
    r"unable to (get|set|send) (?!.*(: |rsp=))"
    r"|error setting chassis boot parameter \d+$"
    r"|.*(command|level to \w+) failed$"
)
_PRIVILEGE_REFUSED = re.compile(r"set session privilege level to \w+ failed: ")
_UNSUPPORTED = ("invalid command", "not supported", "invalid data field", "command not present")
# Lines that `-v` adds to every run.
_NOISE = (
    "loading iana pen registry",
    "running get vso capabilities",
    "invalid completion code received",
    "discovered ipmb address",
    "raw req",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IpmiTool:
    """One BMC. `cipher_suite` is 17 or 3; `timeout_s` bounds each process, login and retries included.

    Every method raises BmcUnreachable, BmcCredentialsRefused, BmcSecurityMismatch, BmcBusy or, for all other refusals
    of the BMC, BmcError; DriverToolMissing when ipmitool is not installed.
    """

    address: str
    port: int = 623
    username: str
    password: str = field(repr=False)
    cipher_suite: int = 17
    timeout_s: float = 20.0

    def power_status(self) -> PowerState:
        """Whether the chassis power is on."""
        words = self._run("chassis", "power", "status").split()
        if words[-1:] == ["on"]:
            return "on"
        if words[-1:] == ["off"]:
            return "off"
        raise BmcError("the BMC's power state cannot be read", address=self.address)

    def power(self, *, action: str) -> None:
        """Ask for one of POWER_ACTIONS; the BMC has accepted it on return, the state changes later.

        After BmcUnreachable the BMC may have acted all the same: read the power state before asking again.
        """
        if action not in POWER_ACTIONS:
            raise ValueError(f"{action!r} is not one of {POWER_ACTIONS}")
        self._run("chassis", "power", action)

    def set_boot_device(self, *, device: str, once: bool = True, uefi: bool = True) -> None:
        """Override the boot order with one of BOOT_DEVICES, for the next boot only or until changed."""
        if device not in BOOT_DEVICES:
            raise ValueError(f"{device!r} is not one of {BOOT_DEVICES}")
        if device != "none":
            self._keep_boot_flags()
        options = [*(["efiboot"] if uefi else []), *([] if once else ["persistent"])]
        self._run("chassis", "bootdev", device, *([f"options={','.join(options)}"] if options else []))

    def _keep_boot_flags(self) -> None:
        try:
            self._run(*_KEEP_BOOT_FLAGS)
        except (BmcUnreachable, BmcBusy, BmcCredentialsRefused, BmcSecurityMismatch):
            raise
        except BmcError:
            # Optional by the specification: a BMC without it clears the override after 60 s, or never.
            return

    def power_reading_w(self) -> int | None:
        """Present draw by DCMI, watts; None when this BMC does not measure it."""
        try:
            text = self._run("dcmi", "power", "reading")
        except BmcError as error:
            if type(error) is BmcError and any(phrase in error.message.lower() for phrase in _UNSUPPORTED):
                return None
            raise
        found = re.search(r"instantaneous power reading:\s*(\d+)\s*watts", text, re.IGNORECASE)
        if found is None or re.search(r"power reading state is:\s*deactivated", text, re.IGNORECASE):
            return None
        return int(found[1])

    def identity(self) -> dict[str, str]:
        """What the BMC says it is: `guid` (32 hex digits in wire order, or empty), `firmware`, `ipmi_version`,
        `manufacturer_id`, `product_id`, `device_revision`.
        """
        facts = _facts(self._run("mc", "info"))
        try:
            guid = "".join(self._run(*_GET_SYSTEM_GUID).split())
        except BmcError as error:
            if type(error) is not BmcError:
                raise
            guid = ""
        return {
            "guid": guid if re.fullmatch(r"[0-9a-f]{32}", guid) else "",
            "firmware": facts.get("firmware revision", ""),
            "ipmi_version": facts.get("ipmi version", ""),
            "manufacturer_id": facts.get("manufacturer id", ""),
            "product_id": facts.get("product id", "").split(" ")[0],
            "device_revision": facts.get("device revision", ""),
        }

    def _run(self, *command: str) -> str:
        """Run one command and give its standard output."""
        environment = {
            "PATH": os.environ.get("PATH", _DEFAULT_PATH),
            "LC_ALL": "C",
            "IPMI_PASSWORD": self.password,
        }
        program = shutil.which(_PROGRAM, path=environment["PATH"])
        if program is None:
            raise DriverToolMissing(f"{_PROGRAM} is not on this worker's path", program=_PROGRAM)
        arguments = [
            *(program, "-I", "lanplus", "-H", self.address, "-p", str(self.port), "-U", self.username, "-E"),
            *("-C", str(self.cipher_suite), "-N", str(_RETRY_S), "-R", str(_RETRIES), "-v"),
            *command,
        ]
        try:
            done = subprocess.run(
                arguments,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            # The cause names the arguments and what was printed; nobody needs either beside the message.
            raise BmcUnreachable(
                f"the BMC did not finish within {self.timeout_s:g} s", address=self.address, command=" ".join(command)
            ) from None
        output = done.stdout.decode(errors="replace")
        if done.returncode != 0:
            raise self._failure(command, done.stderr.decode(errors="replace") + "\n" + output)
        return output

    def _failure(self, command: tuple[str, ...], text: str) -> BmcError:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        telling = [line for line in lines if not line.lower().startswith(_NOISE)]
        detail = "; ".join(telling)[:_DETAIL_CHARACTERS] or "no explanation"
        kind = _judge([line.lower() for line in telling])
        return kind(detail, address=self.address, command=" ".join(command))


def _judge(lines: list[str]) -> type[BmcError]:
    """Which failure ipmitool's lines (in lower case) describe."""

    def says(phrases: tuple[str, ...]) -> bool:
        return any(phrase in line for phrase in phrases for line in lines)

    if says(_CREDENTIALS):
        return BmcCredentialsRefused
    if says(_SECURITY):
        return BmcSecurityMismatch
    if says(_BUSY):
        return BmcBusy
    if any(_PRIVILEGE_REFUSED.match(line) for line in lines):
        return BmcCredentialsRefused
    if says(_UNREACHABLE) or any(_NO_ANSWER.match(line) for line in lines):
        return BmcUnreachable
    return BmcError


def _facts(text: str) -> dict[str, str]:
    """The `name : value` lines of ipmitool, names in lower case."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip().lower(): value.strip() for name, value in pairs}
