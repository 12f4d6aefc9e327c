"""IpmiTool against the emulated BMC, and its judgement of everything that goes wrong."""

import os
import shutil
import socket
import stat
import sys
from dataclasses import replace

import pytest

from common.errors import Fault
from lab.chassis import ChassisError
from lab.ipmi import Limits, wire
from provisioning.drivers import ipmitool
from provisioning.drivers.errors import (
    BmcBusy,
    BmcCredentialsRefused,
    BmcError,
    BmcSecurityMismatch,
    BmcUnreachable,
    DriverToolMissing,
)
from provisioning.drivers.ipmitool import IpmiTool
from tests.lab.ipmi_bench import PASSWORD, USER, Console, Machine, running_bmc

CHASSIS_CONTROL = 0x02
with_ipmitool = pytest.mark.skipif(shutil.which("ipmitool") is None, reason="ipmitool is not on the path")


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def bmc(machine):
    with running_bmc(machine) as server:
        yield server


@pytest.fixture(params=[3, 17], ids=["suite3", "suite17"])
def tool(bmc, request):
    return tool_for(bmc, cipher_suite=request.param)


def tool_for(bmc, **more):
    settings = {"address": "127.0.0.1", "port": bmc.port, "username": USER, "password": PASSWORD, "timeout_s": 20}
    return IpmiTool(**(settings | more))


@with_ipmitool
def test_power_actions_reach_the_machine_and_the_state_reads_back(tool, machine):
    assert tool.power_status() == "off"
    for action, state in (
        ("on", "on"),
        ("on", "on"),
        ("cycle", "on"),
        ("reset", "on"),
        ("soft", "off"),
        ("off", "off"),
    ):
        tool.power(action=action)
        assert tool.power_status() == state
    assert machine.done == [("power", action) for action in ("on", "on", "cycle", "reset", "soft", "off")]


@with_ipmitool
@pytest.mark.parametrize("device", ["pxe", "disk", "cdrom", "bios"])
@pytest.mark.parametrize(("once", "uefi"), [(True, True), (False, False)])
def test_a_boot_override_is_set_as_asked_and_does_not_lapse(machine, device, once, uefi):
    with running_bmc(machine, limits=Limits(boot_flags_s=0)) as bmc:
        tool_for(bmc).set_boot_device(device=device, once=once, uefi=uefi)
        tool_for(bmc).power_status()
    assert machine.done == [("boot", device, once, uefi)]


@with_ipmitool
def test_a_boot_override_can_be_taken_back(tool, machine):
    tool.set_boot_device(device="pxe")
    tool.set_boot_device(device="none")
    assert machine.boot_device == "none"


@with_ipmitool
def test_the_power_reading_is_watts(tool, machine):
    assert tool.power_reading_w() == 190
    machine.power_on = True
    assert tool.power_reading_w() == 5210


@with_ipmitool
def test_identity_is_the_same_from_call_to_call(tool):
    expected = {
        "guid": "000102030405060708090a0b0c0d0e0f",
        "firmware": "1.00",
        "ipmi_version": "2.0",
        "manufacturer_id": "0",
        "product_id": "0",
        "device_revision": "1",
    }
    assert tool.identity() == tool.identity() == expected


@with_ipmitool
@pytest.mark.parametrize("change", [{"password": "wrong"}, {"username": "stranger"}])
def test_refused_credentials_are_told_apart_and_nothing_was_repeated(tool, bmc, machine, change):
    with pytest.raises(BmcCredentialsRefused) as refusal:
        replace(tool, **change).power(action="on")
    assert (refusal.value.retryable, refusal.value.fault) == (False, Fault.OPERATOR)
    assert machine.done == []
    # A name is refused by the BMC; a password by ipmitool, which leaves its one handshake unfinished.
    refusals = [line for line in machine.lines if line[1] == "session refused"]
    assert len(refusals) + len(bmc.sessions) == 1


@with_ipmitool
@pytest.mark.parametrize(("allowed", "asked"), [(3, 17), (17, 3)])
def test_a_suite_that_the_bmc_does_not_allow_is_the_operators_to_correct(machine, allowed, asked):
    with running_bmc(machine, suites=(allowed,)) as bmc, pytest.raises(BmcSecurityMismatch) as refusal:
        tool_for(bmc, cipher_suite=asked).power_status()
    assert refusal.value.retryable is False


@with_ipmitool
def test_a_bmc_without_free_sessions_is_busy_and_can_be_asked_again(machine):
    with running_bmc(machine, limits=Limits(sessions=1)) as bmc, Console(bmc.port) as console:
        console.log_in()
        with pytest.raises(BmcBusy) as refusal:
            tool_for(bmc).power_status()
        assert refusal.value.retryable is True


@with_ipmitool
def test_a_dead_port_is_unreachable(machine):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        dead = IpmiTool(
            address="127.0.0.1", port=silent.getsockname()[1], username=USER, password=PASSWORD, timeout_s=1
        )
        with pytest.raises(BmcUnreachable, match="did not finish within 1 s") as failure:
            dead.power_status()
        assert PASSWORD not in f"{failure.value.context} {failure.value!r}"
        assert failure.value.__cause__ is None
        assert failure.value.retryable is True


@with_ipmitool
def test_a_bmc_that_falls_silent_after_the_login_is_unreachable_and_acts_once_at_most(bmc, machine):
    answering = bmc.payloads[wire.PAYLOAD_IPMI]

    async def mute(session, payload, peer):
        bmc._send = (lambda *_: None) if wire.parse_request(payload).command == CHASSIS_CONTROL else send
        await answering(session, payload, peer)

    send = bmc._send
    bmc.payloads[wire.PAYLOAD_IPMI] = mute
    machine.power_on = True
    with pytest.raises(BmcUnreachable, match="Unable to set Chassis Power Control to Cycle"):
        tool_for(bmc).power(action="cycle")
    assert machine.done == [("power", "cycle")]


@with_ipmitool
def test_a_command_that_the_state_does_not_allow_is_the_bmcs_refusal_in_its_own_words(tool):
    with pytest.raises(BmcError, match="Command not supported in present state") as refusal:
        tool.power(action="cycle")
    assert (type(refusal.value), refusal.value.retryable) == (BmcError, False)


@with_ipmitool
def test_a_fault_of_the_machine_is_a_bmc_error(tool, machine):
    machine.fault = ChassisError("board", code="fault")
    with pytest.raises(BmcError) as refusal:
        tool.power(action="on")
    assert type(refusal.value) is BmcError


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("RAKP 2 message indicates an error : insufficient resources to create a session", BmcBusy),
        ("Error in open session response message : insufficient resources for session", BmcBusy),
        ("Set Chassis Power Control to Reset failed: Node busy", BmcBusy),
        ("Get Device ID command failed: Timeout", BmcBusy),
        ("Get Device ID command failed: Out of space", BmcBusy),
        ("Get Device ID command failed: BMC initialization in progress", BmcBusy),
        ("Set Session Privilege Level to ADMINISTRATOR failed: Node busy", BmcBusy),
        ("Set Session Privilege Level to ADMINISTRATOR failed: Unknown (0x81)", BmcCredentialsRefused),
        ("Set Chassis Power Control to Reset failed: Insufficient privilege level", BmcCredentialsRefused),
        ("RAKP 2 message indicates an error : unauthorized role or privilege level requested", BmcCredentialsRefused),
        ("> RAKP 4 message has invalid integrity check value", BmcCredentialsRefused),
        ("Error in open session response message : invalid authentication algorithm", BmcSecurityMismatch),
        ("Address lookup for bmc.example failed", BmcUnreachable),
        ("Error: Unable to establish IPMI v2 / RMCP+ session", BmcUnreachable),
        ("Set Session Privilege Level to ADMINISTRATOR failed", BmcUnreachable),
        ("Get Device ID command failed", BmcUnreachable),
        ("Unable to get Chassis Power Status", BmcUnreachable),
        ("Unable to get DCMI information", BmcUnreachable),
        ("Error setting Chassis Boot Parameter 5", BmcUnreachable),
        ("Unable to send RAW command (channel=0x0 netfn=0x0 lun=0x0 cmd=0x8)", BmcUnreachable),
        ("Unable to send RAW command (channel=0x0 netfn=0x0 lun=0x0 cmd=0x8 rsp=0x80): Unknown (0x80)", BmcError),
        ("Set Chassis Power Control to Reset failed: Unspecified error", BmcError),
        ("", BmcError),
    ],
)
def test_what_ipmitool_prints_is_sorted_by_what_to_do(stub, line, kind):
    stub(f"import sys; print('Loading IANA PEN Registry...', file=sys.stderr); sys.exit({line!r} or 1)")
    with pytest.raises(BmcError) as failure:
        IpmiTool(address="127.0.0.1", username=USER, password=PASSWORD).power_status()
    assert type(failure.value) is kind
    assert failure.value.message == (line or "no explanation")


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Put a Python program in place of ipmitool."""

    def place(source):
        program = tmp_path / "ipmitool"
        program.write_text(f"#!{sys.executable}\n{source}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}")

    return place


def test_the_password_travels_in_the_environment_of_the_child_alone(stub, monkeypatch):
    stub(
        "import os, sys\n"
        f"clean = {PASSWORD!r} not in ' '.join(sys.argv) and os.environ['IPMI_PASSWORD'] == {PASSWORD!r}\n"
        "few = set(os.environ) <= {'PATH', 'LC_ALL', 'LC_CTYPE', 'IPMI_PASSWORD'}\n"
        "print('Chassis Power is', 'on' if clean and few else 'off')"
    )
    monkeypatch.setenv("DATABASE_PASSWORD", "not for children")
    tool = IpmiTool(address="127.0.0.1", username=USER, password=PASSWORD)
    assert tool.power_status() == "on"
    assert PASSWORD not in repr(tool)
    assert "IPMI_PASSWORD" not in os.environ


def test_a_hanging_child_is_killed_at_the_timeout(stub, tmp_path):
    pid_file = tmp_path / "pid"
    stub(f"import os, signal; open({str(pid_file)!r}, 'w').write(str(os.getpid())); signal.pause()")
    with pytest.raises(BmcUnreachable):
        IpmiTool(address="127.0.0.1", username=USER, password=PASSWORD, timeout_s=1).power_status()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@pytest.mark.parametrize(
    ("output", "watts"),
    [
        ("    Instantaneous power reading:  4321 Watts\n    Power reading state is:  activated", 4321),
        ("    Instantaneous power reading:  0 Watts\n    Power reading state is:  deactivated", None),
        ("nothing of the kind", None),
    ],
)
def test_a_bmc_that_does_not_measure_power_gives_none(stub, output, watts):
    stub(f"print({output!r})")
    assert IpmiTool(address="127.0.0.1", username=USER, password=PASSWORD).power_reading_w() == watts


def test_a_bmc_without_dcmi_gives_no_power_reading(stub):
    stub("import sys; sys.exit('DCMI request failed because: Invalid command (c1)')")
    assert IpmiTool(address="127.0.0.1", username=USER, password=PASSWORD).power_reading_w() is None


def test_a_missing_program_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DriverToolMissing, match="ipmitool is not on this worker's path"):
        IpmiTool(address="127.0.0.1", username=USER, password=PASSWORD).power_status()


def test_unknown_actions_and_devices_start_no_process(monkeypatch):
    monkeypatch.setattr(ipmitool.subprocess, "run", lambda *_a, **_k: pytest.fail("a process was started"))
    tool = IpmiTool(address="127.0.0.1", username=USER, password=PASSWORD)
    with pytest.raises(ValueError):
        tool.power(action="on; reboot")
    with pytest.raises(ValueError):
        tool.set_boot_device(device="http")
