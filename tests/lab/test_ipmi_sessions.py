"""Opening, using and losing an RMCP+ session, message by message."""

import asyncio
import hmac
import struct

import pytest

from lab.chassis import ChassisError
from lab.ipmi import Limits, serve_ipmi
from lab.ipmi.sessions import ReplayWindow
from tests.lab.ipmi_bench import AUTH_CAPABILITIES, GUID, PASSWORD, USER, Console, Machine, running_bmc

PING = bytes.fromhex("0600ff06000011be80190000")


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def bmc(machine):
    with running_bmc(machine) as server:
        yield server


def test_presence_ping_is_answered_with_a_pong_that_names_ipmi(bmc):
    with Console(bmc.port) as console:
        assert console.ask(PING) == bytes.fromhex("0600ff06000011be40190010000011be000000008100000000000000")


def test_authentication_capabilities_in_the_old_envelope_offer_rmcp_plus_alone(bmc):
    with Console(bmc.port) as console:
        answer = console.ask(AUTH_CAPABILITIES)
    assert answer[:14] == bytes.fromhex("0600ff0700000000000000000010")
    assert answer[14:-1] == bytes.fromhex("811c63200038000180040200000000")


@pytest.mark.parametrize("suite", [3, 17])
def test_both_sides_prove_the_password_and_derive_the_same_keys(bmc, suite):
    with Console(bmc.port, suite=suite) as console:
        console.open()
        rakp_2 = console.rakp_1()
        ids = struct.pack("<II", console.console_id, console.bmc_id)
        message = ids + console.random + console.bmc_random + GUID + console.identity
        assert rakp_2[24:40] == GUID
        assert rakp_2[40:] == hmac.digest(PASSWORD.encode(), message, console.suite.digest)
        rakp_4 = console.rakp_3()
        check = console.random + struct.pack("<I", console.bmc_id) + GUID
        assert rakp_4[8:] == console.suite.short_mac(console.keys.session_integrity, check)
        assert console.command(0x06, 0x08) == (0, GUID)


def test_an_unknown_user_is_refused_as_unauthorized_name_and_learns_no_hash(bmc):
    with Console(bmc.port, user="stranger") as console:
        console.open()
        assert console.rakp_1() == struct.pack("<BB2xI", 2, 0x0D, console.console_id)
    assert len(bmc.sessions) == 0


def test_a_wrong_password_is_refused_as_a_failed_integrity_check(bmc, machine):
    with Console(bmc.port, password="not the password") as console:
        console.open()
        console.rakp_1()
        assert console.rakp_3() == struct.pack("<BB2xI", 3, 0x0F, console.console_id)
    assert len(bmc.sessions) == 0
    assert machine.lines == [("ipmi", "session refused", {"reason": "INTEGRITY_CHECK_FAILED"})]


@pytest.mark.parametrize(
    ("suites", "algorithms", "status"),
    [
        ((17,), (1, 1, 1), 0x11),  # suite 3 where 17 alone is allowed
        ((3,), (3, 4, 1), 0x11),
        ((3, 17), (1, 4, 1), 0x11),  # algorithms of two suites mixed
        ((3, 17), (0, 1, 1), 0x04),  # no authentication: suite 0 does not exist here
        ((3, 17), (3, 0, 1), 0x05),
        ((3, 17), (3, 4, 0), 0x10),
    ],
)
def test_a_suite_that_is_not_allowed_is_refused_with_the_reason(machine, suites, algorithms, status):
    with running_bmc(machine, suites=suites) as bmc, Console(bmc.port) as console:
        assert console.open(algorithms=algorithms) == struct.pack("<BBBxI", 1, status, 0, console.console_id)
        assert len(bmc.sessions) == 0


def test_roles_out_of_range_and_above_the_session_are_refused(bmc):
    with Console(bmc.port) as console:
        assert console.open(privilege=5)[1] == 0x09
        console.open(privilege=2)
        assert console.rakp_1(role=0x14)[1] == 0x0A
        console.open()
        assert console.rakp_1(role=0x15)[1] == 0x09


def test_a_repeated_handshake_message_gets_the_same_answer(bmc):
    with Console(bmc.port) as console:
        console.open()
        packet = console.rakp_1_packet()
        first, second = console._set_up(0x12, packet), console._set_up(0x12, packet)
        assert first == second
        console.take_rakp_2(first)
        assert console.rakp_3() == console.rakp_3()
        assert console.command(0x06, 0x04) == (0, b"\x55\x00")


def test_the_session_limit_holds_until_a_session_is_closed(machine):
    limits = Limits(sessions=2)
    with (
        running_bmc(machine, limits=limits) as bmc,
        Console(bmc.port) as one,
        Console(bmc.port) as two,
        Console(bmc.port) as three,
    ):
        one.log_in()
        two.log_in()
        assert three.open()[1] == 0x01
        assert one.command(0x06, 0x3C, struct.pack("<I", one.bmc_id)) == (0, b"")
        three.log_in()
        assert one.silent(one.packet(0x06, 0x04))


def test_one_peer_cannot_take_all_sessions(machine):
    limits = Limits(sessions=8, sessions_per_peer=2)
    with running_bmc(machine, limits=limits) as bmc, Console(bmc.port) as greedy, Console(bmc.port) as other:
        assert [greedy.open()[1] for _ in range(3)] == [0, 0, 1]
        other.log_in()


def test_idle_sessions_and_unfinished_handshakes_expire(machine):
    clock_s = [0.0]
    limits = Limits(handshake_s=10, idle_s=60)
    with (
        running_bmc(machine, limits=limits, clock=lambda: clock_s[0]) as bmc,
        Console(bmc.port) as active,
        Console(bmc.port) as half,
    ):
        active.log_in()
        half.open()
        assert len(bmc.sessions) == 2
        clock_s[0] = 10.5
        assert len(bmc.sessions) == 1
        assert half.rakp_1()[1] == 0x02
        clock_s[0] = 60.0
        assert active.command(0x06, 0x04)[0] == 0
        clock_s[0] = 120.0
        assert active.command(0x06, 0x04)[0] == 0
        clock_s[0] = 180.5
        assert active.silent(active.packet(0x06, 0x04))


def test_replayed_stale_and_far_ahead_packets_are_dropped(bmc, machine):
    machine.power_on = True
    with Console(bmc.port) as console:
        console.log_in().command(0x06, 0x3B, b"\x04")
        reset = console.packet(0x00, 0x02, b"\x03")
        assert console.read(console.ask(reset)) == (0, b"")
        assert console.silent(reset)
        assert console.silent(console.packet(0x00, 0x02, b"\x03", sequence=console.sequence + 17))
        assert console.silent(console.packet(0x00, 0x02, b"\x03", sequence=0))
        assert machine.done == [("power", "reset")]


def test_a_retry_of_the_same_request_is_answered_again_without_a_second_effect(bmc, machine):
    machine.power_on = True
    with Console(bmc.port) as console:
        console.log_in().command(0x06, 0x3B, b"\x04")
        assert console.command(0x00, 0x02, b"\x02") == (0, b"")
        assert console.read(console.ask(console.packet(0x00, 0x02, b"\x02", again=True))) == (0, b"")
        assert machine.done == [("power", "cycle")]
        assert console.command(0x00, 0x02, b"\x02") == (0, b"")
        assert machine.done == [("power", "cycle")] * 2


@pytest.mark.parametrize("where", [4, 5, 12, 30, -1, -16, -18])
def test_a_packet_changed_in_one_bit_is_dropped(bmc, machine, where):
    with Console(bmc.port) as console:
        console.log_in()
        packet = bytearray(console.packet(0x00, 0x02, b"\x01"))
        packet[where] ^= 0x01
        assert console.silent(bytes(packet))
    assert machine.done == []


def test_a_packet_without_signature_or_encryption_is_dropped_inside_a_session(bmc, machine):
    with Console(bmc.port) as console:
        console.log_in()
        plain = bytearray(console.packet(0x00, 0x02, b"\x01"))
        for flags in (0x00, 0x40, 0x80):
            plain[5] = flags
            assert console.silent(bytes(plain))
    assert machine.done == []


def test_privilege_begins_at_user_and_rises_no_higher_than_was_asked_for(bmc, machine):
    with Console(bmc.port) as console:
        console.log_in(privilege=3)
        assert console.command(0x00, 0x02, b"\x01") == (0xD4, b"")
        assert console.command(0x06, 0x3B, b"\x00") == (0, b"\x02")
        assert console.command(0x06, 0x3B, b"\x04") == (0x81, b"")
        assert machine.done == []
        assert console.command(0x06, 0x3B, b"\x03") == (0, b"\x03")
        assert console.command(0x00, 0x02, b"\x01") == (0, b"")
        assert console.command(0x06, 0x02) == (0xD4, b"")
    assert machine.done == [("power", "on")]


def test_commands_that_need_a_session_are_refused_outside_of_one(bmc, machine):
    with Console(bmc.port) as console:
        power_on = bytes.fromhex("0600ff07000000000000000000082000e0810002017c")
        assert console.ask(power_on)[20] == 0xD4
    assert machine.done == []


def test_a_controller_reset_ends_every_session_and_leaves_the_power_alone(bmc, machine):
    machine.power_on = True
    with Console(bmc.port) as one, Console(bmc.port) as two:
        one.log_in().command(0x06, 0x3B, b"\x04")
        two.log_in()
        assert one.command(0x06, 0x02) == (0, b"")
        assert two.silent(two.packet(0x06, 0x04))
    assert (machine.power_on, machine.done) == (True, [])


def test_faults_of_the_machine_become_completion_codes(bmc, machine):
    with Console(bmc.port) as console:
        console.log_in().command(0x06, 0x3B, b"\x04")
        assert console.command(0x00, 0x02, b"\x02") == (0xD5, b"")
        assert console.command(0x00, 0x02, b"\x03") == (0xD5, b"")
        assert console.command(0x00, 0x02, b"\x04") == (0xCC, b"")
        assert console.command(0x00, 0x02) == (0xC7, b"")
        machine.fault = ChassisError("board", code="fault")
        assert console.command(0x00, 0x02, b"\x01") == (0xFF, b"")
        machine.fault = ZeroDivisionError()
        assert console.command(0x00, 0x02, b"\x01") == (0xFF, b"")
        assert console.command(0x30, 0x01) == (0xC1, b"")


def test_a_slow_machine_is_answered_in_time_and_finishes_afterwards(bmc, machine):
    finish = asyncio.Event()
    at_once = machine.power

    async def slow(action):
        await finish.wait()
        await at_once(action)
        machine.changed.set()

    machine.power = slow
    with Console(bmc.port) as console:
        console.log_in().command(0x06, 0x3B, b"\x04")
        assert console.command(0x00, 0x02, b"\x01") == (0, b"")
        assert machine.done == []
        bmc._transport._loop.call_soon_threadsafe(finish.set)
        assert machine.changed.wait(5)
    assert machine.done == [("power", "on")]


def test_boot_flags_lapse_without_chassis_control_unless_told_to_stay(machine):
    with running_bmc(machine, limits=Limits(boot_flags_s=0.05)) as bmc, Console(bmc.port) as console:
        console.log_in().command(0x06, 0x3B, b"\x04")
        assert console.command(0x00, 0x08, b"\x05\xa0\x04\x00\x00\x00") == (0, b"")
        machine.changed.clear()
        assert machine.changed.wait(5)
        assert machine.done == [("boot", "pxe", True, True), ("boot", "none", True, True)]
        assert console.command(0x00, 0x09, b"\x05\x00\x00") == (0, b"\x01\x05\x00\x00\x00\x00\x00")
        assert console.command(0x00, 0x08, b"\x03\x08") == (0, b"")
        assert console.command(0x00, 0x08, b"\x05\xa0\x04\x00\x00\x00") == (0, b"")
        machine.changed.clear()
        assert not machine.changed.wait(0.15)
        assert machine.boot_device == "pxe"


def test_boot_flags_show_what_redfish_set_and_what_a_boot_spent(bmc, machine):
    with Console(bmc.port) as console:
        console.log_in().command(0x06, 0x3B, b"\x04")
        machine.boot_device = "http"
        assert console.command(0x00, 0x09, b"\x05\x00\x00") == (0, b"\x01\x05\xa0\x04\x00\x00\x00")
        assert console.command(0x00, 0x08, b"\x05\xe0\x08\x00\x00\x00") == (0, b"")
        assert machine.done == [("boot", "disk", False, True)]
        machine.boot_device = "none"
        assert console.command(0x00, 0x09, b"\x05\x00\x00") == (0, b"\x01\x05\x00\x00\x00\x00\x00")
        assert console.command(0x00, 0x08, b"\x05\x80\x2c\x00\x00\x00")[0] == 0xCC
        assert console.command(0x00, 0x08, b"\x06\x00")[0] == 0x80


def test_power_statistics_keep_least_greatest_and_mean(bmc, machine):
    machine.power_on = True
    with Console(bmc.port) as console:
        console.log_in()
        for watts in (6000, 9000, 3000):
            machine.watts = watts
            code, data = console.command(0x2C, 0x02, b"\xdc\x01\x00\x00")
        assert (code, data[0]) == (0, 0xDC)
        assert struct.unpack_from("<HHHH", data, 1) == (3000, 3000, 9000, 6000)
        assert data[17] == 0x40


@pytest.mark.parametrize("distance", [1, 16])
def test_the_replay_window_takes_each_number_once_and_late_ones_within_fifteen(distance):
    window = ReplayWindow()
    assert window.accept(distance)
    assert not window.accept(distance)
    assert not window.accept(distance + 17)
    assert window.accept(distance + 16)
    assert not window.accept(distance)
    assert window.accept(distance + 1)
    assert not window.accept(distance + 1)


@pytest.mark.parametrize(
    "change",
    [
        {"address": "0.0.0.0"},  # noqa: S104  # must be refused
        {"address": "192.0.2.1"},
        {"username": "seventeen letters"},
        {"password": "x" * 21},
        {"password": ""},
        {"guid": b"short"},
        {"suites": ()},
        {"suites": (0, 3)},
    ],
)
def test_a_bmc_that_could_be_reached_from_outside_or_cannot_exist_is_not_started(machine, change):
    wanted = {
        "address": "127.0.0.1",
        "port": 0,
        "username": USER,
        "password": PASSWORD,
        "suites": (17,),
        "chassis": machine,
        "guid": GUID,
    }
    with pytest.raises(ValueError):
        asyncio.run(serve_ipmi(**(wanted | change)))
