"""MAC addresses are no secrets. Who names one must not be able to pass for the node's rescue system.

The prize would be large: a tenant whose own system answers as "rescue" fakes the erase, and reads what the next one
sends there.
"""

import json
from ipaddress import ip_network

import pytest

from compliance.audit.models import AuditEvent
from provisioning import boots, views
from provisioning.models import BootSession
from tests.provisioning.rig import HOST_KEY

THIEFS_KEY = HOST_KEY.replace("PYTs8", "THIEF")
TO_DISK = b"#!ipxe\nexit\n"


@pytest.fixture
def http(client, settings):
    settings.ROOT_URLCONF = "provisioning.urls"
    settings.MIDDLEWARE = []
    views._refusals = views._Refusals()
    return client


def arm(rig, *, takes_url):
    rig.machine.bmc.takes_url = takes_url
    rig.machine.boot = lambda: None
    rig.job = rig.deploy()
    rig.settle()
    return BootSession.objects.get(job=rig.job, purpose="rescue", revoked_at=None)


def ask(http, rig) -> str:
    """The token that naming the MAC address gives, empty for none."""
    answer = http.get(f"/boot/mac/{rig.node.boot_mac}").content
    return "" if answer == TO_DISK else answer.decode().split("/boot/")[1].split("/")[0]


def fetch(http, token) -> str:
    """The token for the report that the script holds, empty for none."""
    answer = http.get(f"/boot/{token}/script.ipxe")
    if answer.status_code != 200:
        return ""
    return answer.content.decode().split("chapek.report=")[1].split(maxsplit=1)[0].split("/")[4]


def report(http, rig, token, key=HOST_KEY) -> int:
    body = json.dumps({"mac": rig.node.boot_mac, "serial": rig.node.serial, "host_keys": [key]})
    return http.post(f"/boot/{token}/report", body, content_type="application/json").status_code


def test_a_node_whose_bmc_was_told_an_address_is_not_known_by_its_mac(rig, http):
    boot = arm(rig, takes_url=True)
    before = boot.script_token_sha256
    assert ask(http, rig) == ""
    boot.refresh_from_db()
    assert (boot.script_token_sha256, boot.revoked_at) == (before, None), "the node's own token still opens its script"


def test_an_honest_boot_by_mac_works(rig, http):
    boot = arm(rig, takes_url=False)
    assert report(http, rig, fetch(http, ask(http, rig))) == 204
    boot.refresh_from_db()
    assert boot.host_keys == [HOST_KEY]
    assert not AuditEvent.objects.filter(kind="boot.contested").exists()


@pytest.mark.parametrize("thief", ["asked", "fetched", "reported"])
def test_a_thief_who_comes_first_is_found_out_when_the_node_comes(rig, http, thief):
    boot = arm(rig, takes_url=False)
    stolen = ask(http, rig)
    stolen_report = fetch(http, stolen) if thief != "asked" else ""
    if thief == "reported":
        assert report(http, rig, stolen_report, THIEFS_KEY) == 204
    nodes = ask(http, rig)
    if thief == "asked":
        assert fetch(http, nodes)
        assert fetch(http, stolen) == "", "who asked first and fetches second"
    boot.refresh_from_db()
    assert boot.revoked_at is not None
    assert report(http, rig, stolen_report or "x", THIEFS_KEY) == 404
    assert AuditEvent.objects.filter(kind="boot.contested", subject_ref=rig.node.ref).count() == 1
    rig.settle()
    armed = BootSession.objects.filter(job=rig.job, purpose="rescue", revoked_at=None)
    assert armed.count() == 1, "one new boot from power off on"
    assert armed.get().reported_at is None
    fetch(http, ask(http, rig))
    ask(http, rig)
    rig.settle()
    rig.job.refresh_from_db()
    assert (rig.job.state, rig.job.failure_code) == ("failed", "boot-contested"), "and not for ever"


def test_a_thief_between_asking_and_fetching_is_found_out_too(rig, http):
    boot = arm(rig, takes_url=False)
    nodes = ask(http, rig)
    stolen_report = fetch(http, ask(http, rig))
    assert stolen_report
    assert fetch(http, nodes) == ""
    boot.refresh_from_db()
    assert boot.revoked_at is not None
    assert report(http, rig, stolen_report, THIEFS_KEY) == 404


def test_asking_again_and_again_writes_one_event(rig, http):
    arm(rig, takes_url=False)
    fetch(http, ask(http, rig))
    for _ in range(20):
        ask(http, rig)
    assert AuditEvent.objects.filter(kind="boot.contested").count() == 1


def test_a_node_that_looks_for_the_network_before_its_disk_disturbs_nothing(rig, http):
    rig.machine.bmc.takes_url = False
    rig.deploy()
    rig.settle()
    assert rig.refresh().state == "active"
    assert ask(http, rig) == ""
    assert not AuditEvent.objects.filter(kind="boot.contested").exists()


@pytest.mark.parametrize(
    ("peer", "is_let_in"),
    [("10.20.0.7", True), ("::ffff:10.20.0.7", True), ("fd00::5", True), ("10.21.0.7", False), ("", False)],
)
def test_outside_of_the_boot_networks_there_is_nothing(rig, http, settings, peer, is_let_in):
    settings.CHAPEK_BOOT_NETWORKS = [ip_network("10.20.0.0/24"), ip_network("fd00::/64")]
    answer = http.get(f"/boot/mac/{rig.node.boot_mac}", REMOTE_ADDR=peer)
    assert answer.status_code == (200 if is_let_in else 404)
    for path in ("/boot/artefacts/vmlinuz", f"/boot/{'x' * 43}/script.ipxe", f"/images/{'x' * 43}/a"):
        assert http.get(path, REMOTE_ADDR=peer).status_code == 404
    outside = AuditEvent.objects.filter(kind="boot.token_refused").count()
    assert outside == (2 if is_let_in else 0), "who is elsewhere writes no event either"


def test_a_boot_asked_for_by_mac_has_a_token_of_its_own(rig, http):
    first = arm(rig, takes_url=False)
    token = ask(http, rig)
    assert token == ask(http, rig), "the same to all, so that a second fetch is noticed"
    other = boots.arm_rescue(job=rig.job, node=rig.node).session
    boots.allow_by_mac(boot=other)
    assert ask(http, rig) not in {"", token}
    assert fetch(http, token) == "", "the earlier boot is revoked"
    first.refresh_from_db()
    assert first.revoked_at is not None
