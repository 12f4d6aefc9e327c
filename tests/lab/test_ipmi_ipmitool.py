"""The BMC judged by ipmitool, a client that shares no line of code with it."""

import os
import shutil
import subprocess

import pytest

from lab.ipmi import Limits
from tests.lab.ipmi_bench import PASSWORD, USER, Machine, running_bmc

IPMITOOL = shutil.which("ipmitool", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
pytestmark = pytest.mark.skipif(IPMITOOL is None, reason="ipmitool is not on the path")
SUITES = pytest.mark.parametrize("suite", [3, 17])


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def bmc(machine):
    with running_bmc(machine) as server:
        yield server


def ask(bmc, *command, suite=17, user=USER, password=PASSWORD, verbose=True):
    """Run one ipmitool command; give exit code and everything it printed."""
    arguments = ["-I", "lanplus", "-H", "127.0.0.1", "-p", str(bmc.port), "-U", user, "-E", "-C", str(suite)]
    done = subprocess.run(
        [IPMITOOL, *arguments, "-N", "1", "-R", "2", *(["-v"] if verbose else []), *command],
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "IPMI_PASSWORD": password},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stdout


@SUITES
def test_power_on_reset_cycle_soft_and_off_reach_the_machine_and_the_status_follows(bmc, machine, suite):
    assert "Chassis Power is off" in ask(bmc, "power", "status", suite=suite)[1]
    for action, state in (
        ("on", "on"),
        ("reset", "on"),
        ("cycle", "on"),
        ("soft", "off"),
        ("on", "on"),
        ("off", "off"),
    ):
        assert ask(bmc, "power", action, suite=suite)[0] == 0
        assert f"Chassis Power is {state}" in ask(bmc, "power", "status", suite=suite)[1]
    assert [action for _, action in machine.done] == ["on", "reset", "cycle", "soft", "on", "off"]


def test_cycle_of_a_machine_that_is_off_is_refused(bmc, machine):
    code, text = ask(bmc, "power", "cycle")
    assert code == 1
    assert "Command not supported in present state" in text
    assert machine.done == []


@SUITES
@pytest.mark.parametrize(
    ("device", "options", "done"),
    [
        ("pxe", "options=efiboot", ("pxe", True, True)),
        ("disk", "options=efiboot,persistent", ("disk", False, True)),
        ("cdrom", "options=valid", ("cdrom", True, False)),
        ("bios", "options=efiboot", ("bios", True, True)),
        ("none", "options=valid", ("none", True, False)),
    ],
)
def test_boot_devices_reach_the_machine(bmc, machine, suite, device, options, done):
    assert ask(bmc, "chassis", "bootdev", device, options, suite=suite)[0] == 0
    assert machine.done == [("boot", *done)]


def test_boot_flags_read_back_as_they_were_set(bmc):
    ask(bmc, "chassis", "bootdev", "pxe", "options=efiboot")
    text = ask(bmc, "chassis", "bootparam", "get", "5")[1]
    for line in ("Boot Flag Valid", "Options apply to only next boot", "BIOS EFI boot", "Device Selector : Force PXE"):
        assert line in text


def test_the_boot_flag_countdown_can_be_switched_off_and_read_back(bmc):
    assert ask(bmc, "raw", "0x00", "0x08", "0x03", "0x08")[0] == 0
    assert ask(bmc, "chassis", "bootparam", "get", "3")[0] == 0
    assert ask(bmc, "raw", "0x00", "0x09", "0x03", "0x00", "0x00")[1].endswith(" 01 03 08\n")


@SUITES
def test_dcmi_power_reading_is_the_draw_of_the_machine(bmc, machine, suite):
    machine.power_on = True
    code, text = ask(bmc, "dcmi", "power", "reading", suite=suite)
    assert code == 0
    assert "Instantaneous power reading:                  5210 Watts" in text
    assert "activated" in text


def test_dcmi_says_what_it_can_and_that_no_limit_is_set(bmc):
    assert "Power management available" in ask(bmc, "dcmi", "discover")[1]
    assert "No Active Power Limit" in ask(bmc, "dcmi", "power", "get_limit")[1]


def test_the_power_sensor_is_listed_with_its_name_unit_and_value(bmc, machine):
    machine.power_on = True
    code, text = ask(bmc, "sensor", verbose=False)
    assert code == 0
    # 8-bit readings in steps of 80 W: 5210 W is 65 counts.
    line = next(line for line in text.splitlines() if line.startswith("Node Power"))
    assert [cell.strip() for cell in line.split("|")[:4]] == ["Node Power", "5200.000", "Watts", "ok"]
    sdr = next(line for line in ask(bmc, "sdr", "list", verbose=False)[1].splitlines() if "Watts" in line)
    assert [cell.strip() for cell in sdr.split("|")] == ["Node Power", "5200 Watts", "ok"]


def test_who_the_controller_is(bmc):
    text = ask(bmc, "mc", "info")[1]
    for line in (
        "Firmware Revision         : 1.00",
        "IPMI Version              : 2.0",
        "Device Available          : yes",
    ):
        assert line in text
    assert "000102030405060708090A0B0C0D0E0F" in ask(bmc, "mc", "guid")[1].replace("-", "").upper()
    assert "Selftest: passed" in ask(bmc, "mc", "selftest")[1]


def test_chassis_status_and_restart_cause_know_the_last_command(bmc):
    assert "unknown" in ask(bmc, "chassis", "restart_cause")[1]
    ask(bmc, "power", "on")
    assert "Last Power Event     : command" in ask(bmc, "chassis", "status")[1]
    assert "chassis power control command" in ask(bmc, "chassis", "restart_cause")[1]


def test_the_offered_suites_are_the_allowed_ones(machine):
    with running_bmc(machine, suites=(17,)) as bmc:
        text = ask(bmc, "channel", "getciphers", "ipmi")[1]
    rows = [line.split()[0] for line in text.splitlines() if "aes_cbc_128" in line]
    assert rows == ["17"]


@SUITES
def test_a_wrong_password_and_an_unknown_user_are_refused_at_once_and_change_nothing(bmc, machine, suite):
    code, text = ask(bmc, "power", "on", suite=suite, password="wrong")
    assert (code, "RAKP 2 HMAC is invalid" in text) == (1, True)
    code, text = ask(bmc, "power", "on", suite=suite, user="stranger")
    assert (code, "unauthorized name" in text) == (1, True)
    assert machine.done == []
    assert bmc.sessions.active() == 0


@pytest.mark.parametrize(("allowed", "suite"), [(17, 3), (3, 17)])
def test_a_suite_that_is_not_allowed_is_refused_and_the_allowed_one_works(machine, allowed, suite):
    with running_bmc(machine, suites=(allowed,)) as bmc:
        code, text = ask(bmc, "power", "on", suite=suite)
        assert (code, "no matching cipher suite" in text) == (1, True)
        assert machine.done == []
        assert ask(bmc, "power", "on", suite=allowed)[0] == 0
    assert machine.done == [("power", "on")]


def test_suite_0_without_any_password_check_does_not_exist(bmc, machine):
    assert ask(bmc, "power", "on", suite=0)[0] == 1
    assert machine.done == []


def test_every_command_closes_its_session_so_that_a_limit_of_one_suffices(machine):
    with running_bmc(machine, limits=Limits(sessions=1)) as bmc:
        assert [ask(bmc, "power", "status")[0] for _ in range(4)] == [0, 0, 0, 0]
