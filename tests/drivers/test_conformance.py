"""One suite for every driver: the same calls, the same answers, the same errors, judged at the machine itself."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lab.faults import ask
from lab.fleet import SiteFleet, generate
from lab.rack import Timing, save
from provisioning.drivers import fake, redfish
from provisioning.drivers.base import Endpoint, PowerState, factory
from provisioning.drivers.errors import BmcCredentialsRefused, BmcSecurityMismatch, BmcUnreachable
from tests.lab.emulator import remove_run_directory, start_lab, stop_lab

NODES = {"redfish": "kla-h200-01", "ipmi": "kla-h200-02"}
URL = "http://127.0.0.1:9/boot/0123456789abcdefghijklmnop/script.ipxe"


class FakeMachine:
    """The fake's machine, seen as the lab's are."""

    def __init__(self) -> None:
        fake.forget_all()
        self.endpoint = Endpoint(address="192.0.2.1", port=1, username="chapek", password="right")
        self.bmc = fake.machine(address="192.0.2.1", port=1)
        self.bmc.password, self.bmc.serial = "right", "SN-1"
        self.serial = "SN-1"

    def power_on(self) -> bool:
        return self.bmc.power is PowerState.ON

    def boot_device(self) -> str:
        return self.bmc.boot[0]

    @contextmanager
    def dead(self) -> Iterator[Endpoint]:
        self.bmc.is_reachable = False
        yield self.endpoint
        self.bmc.is_reachable = True


class LabMachine:
    """A node of the emulated rack, seen through its control socket and not through its BMC."""

    def __init__(self, state, rack, name) -> None:
        self.state, self.name = state, name
        node = next(node for node in rack.nodes if node.name == name)
        bmc = node.bmc
        self.serial = node.serial if bmc.protocol == "redfish" else ""
        self.endpoint = Endpoint(
            address=bmc.address, port=bmc.port, username=bmc.username, password=bmc.password, timeout_s=3
        )
        ask(state=state, request={"op": "clear", "node": name})
        ask(state=state, request={"op": "power", "node": name, "action": "off"})

    def power_on(self) -> bool:
        return ask(state=self.state, request={"op": "status", "node": self.name})["power_on"]

    def boot_device(self) -> str:
        return ask(state=self.state, request={"op": "status", "node": self.name})["boot_device"]

    @contextmanager
    def dead(self) -> Iterator[Endpoint]:
        """Takes requests and never answers; for IPMI, whose datagrams nobody needs to take, nobody listens."""
        ask(state=self.state, request={"op": "fault", "node": self.name, "set": {"dead": 1}})
        yield self.endpoint if self.name == NODES["redfish"] else replace(self.endpoint, port=9)
        ask(state=self.state, request={"op": "clear", "node": self.name})


@pytest.fixture(scope="module")
def rack(tmp_path_factory):
    state = tmp_path_factory.mktemp("drivers")
    port = 20000 + os.getpid() % 20000
    made = generate(
        fleet=(SiteFleet(site="kladno", prefix="kla", counts={"H200": 2}),),
        net="127.86",
        boot_url="http://127.0.0.1:9",
        timing=Timing(post_s=0, rescue_s=0, os_s=0, off_s=0),
        ipmi_share=0.5,
        redfish_port=port,
        ssh_port=port + 1,
        ipmi_port=port + 2,
    )
    save(rack=made, path=state / "rack.json")
    process = start_lab(state)
    yield state, made
    redfish.log_out_everywhere()
    stop_lab(process)
    remove_run_directory(state)


@pytest.fixture(params=["fake", "redfish", "ipmi"])
def name(request) -> str:
    if request.param == "ipmi" and shutil.which("ipmitool") is None:
        pytest.skip("ipmitool is not installed here")
    return request.param


@pytest.fixture
def machine(name, request):
    if name == "fake":
        return FakeMachine()
    state, made = request.getfixturevalue("rack")
    return LabMachine(state, made, NODES[name])


@pytest.fixture
def acts() -> list[str]:
    return []


@pytest.fixture
def driver(name, machine, acts):
    made = factory(name)(endpoint=machine.endpoint, before=lambda: acts.append("before"))
    yield made
    made.close()


def test_power_is_looked_at_before_it_is_switched(driver, machine):
    assert driver.power_state() is PowerState.OFF
    assert driver.power_on() is True
    assert machine.power_on()
    assert driver.power_on() is False
    assert driver.power_state() is PowerState.ON
    assert driver.power_off() is True
    assert not machine.power_on()
    assert driver.power_off() is False
    assert driver.power_state() is PowerState.OFF


def test_a_reset_leaves_the_power_on(driver, machine):
    driver.power_on()
    driver.reset()
    assert driver.power_state() is PowerState.ON


def test_the_next_boot_goes_where_it_is_sent(driver, machine, name):
    assert driver.boot_from_network(url=URL) is (name != "ipmi")
    assert machine.boot_device() in {"http", "pxe"}
    driver.boot_from_disk()
    assert machine.boot_device() == "disk"


def test_the_caller_is_asked_before_every_act(driver, acts):
    driver.power_state()
    acts.clear()
    driver.power_on()
    assert len(acts) >= 1


def test_an_act_that_the_caller_forbids_does_not_happen(name, machine):
    class LostError(Exception):
        pass

    allowed = [True]

    def before() -> None:
        if not allowed[0]:
            raise LostError

    made = factory(name)(endpoint=machine.endpoint, before=before)
    assert made.power_state() is PowerState.OFF
    allowed[0] = False
    with pytest.raises(LostError):
        made.power_on()
    made.close()
    assert not machine.power_on()


def test_power_is_measured_in_watts(driver):
    driver.power_on()
    assert driver.power_reading_w() > 100


def test_the_bmc_says_whose_it_is(driver, machine):
    identity = driver.identity()
    assert identity.serial == machine.serial
    assert identity.firmware != ""


def test_a_wrong_password_is_refused_once_and_for_all(name, machine):
    wrong = replace(machine.endpoint, password="wrong-" + "x" * 10)
    made = factory(name)(endpoint=wrong, before=lambda: None)
    with pytest.raises(BmcCredentialsRefused) as raised:
        made.power_on()
    assert not raised.value.retryable
    assert not machine.power_on()


def test_a_dead_bmc_is_unreachable_and_may_heal(name, machine):
    with machine.dead() as endpoint, pytest.raises(BmcUnreachable) as raised:
        factory(name)(endpoint=endpoint, before=lambda: None).power_state()
    assert raised.value.retryable


def test_a_redfish_bmc_is_recognised_by_its_certificate(rack):
    state, made = rack
    machine = LabMachine(state, made, NODES["redfish"])
    first = factory("redfish")(endpoint=machine.endpoint, before=lambda: None)
    pin = first.identity().certificate_sha256
    assert len(pin) == 64
    pinned = factory("redfish")(endpoint=replace(machine.endpoint, certificate_sha256=pin), before=lambda: None)
    assert pinned.power_state() is PowerState.OFF
    stranger = replace(machine.endpoint, certificate_sha256="00" * 32)
    with pytest.raises(BmcSecurityMismatch) as raised:
        factory("redfish")(endpoint=stranger, before=lambda: None).power_on()
    assert raised.value.context["certificate_changed"]
    assert not machine.power_on()


def test_a_slow_answer_to_a_power_action_is_never_sent_twice(rack):
    state, made = rack
    machine = LabMachine(state, made, NODES["redfish"])
    driver = factory("redfish")(endpoint=replace(machine.endpoint, timeout_s=1), before=lambda: None)
    driver.power_on()
    log = ask(state=state, request={"op": "status", "node": machine.name})["protocol_log"]
    driver.reset()
    before = _resets(log)
    assert before >= 1
    ask(state=state, request={"op": "fault", "node": machine.name, "set": {"slow_s": 2}})
    with pytest.raises(BmcUnreachable):
        driver.reset()
    ask(state=state, request={"op": "clear", "node": machine.name})
    assert _resets(log) - before <= 1


def test_first_contacts_one_after_another_leave_no_session_behind(rack):
    """A BMC has few sessions (the emulated one eight) and tells nobody which of them are still of use."""
    state, made = rack
    machine = LabMachine(state, made, NODES["redfish"])
    assert machine.endpoint.certificate_sha256 == ""
    for _contact in range(10):
        driver = factory("redfish")(endpoint=machine.endpoint, before=lambda: None)
        assert driver.power_state() is PowerState.OFF
        driver.close()


def _resets(path) -> int:
    return sum('"ResetType"' in line or "ComputerSystem.Reset" in line for line in Path(path).read_text().splitlines())
