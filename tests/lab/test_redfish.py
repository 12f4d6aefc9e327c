"""The emulated Redfish BMC judged by sushy and by plain HTTP."""

import json
import stat
from pathlib import Path

import pytest
import requests
import sushy

NODE = "kla-b300-02"


@pytest.fixture
def http(lab):
    bmc = lab.node(NODE).bmc
    certificate = str(lab.certificate(NODE))

    def call(method: str, path: str, **options) -> requests.Response:
        options = {"auth": (bmc.username, bmc.password), "timeout": 10, **options}
        url = f"https://{bmc.address}:{bmc.port}{path}"
        return requests.request(method, url, verify=certificate, **options)  # noqa: S113 - among the options

    return call


def test_sushy_sees_the_node_of_the_rack_file(lab):
    node = lab.node(NODE)
    root = lab.redfish(NODE)
    (system,) = root.get_system_collection().get_members()
    assert (system.serial_number, system.uuid) == (node.serial, str(node.uuid))
    assert system.memory_summary.size_gib == node.memory_gib
    assert system.power_state == sushy.PowerState.OFF
    assert [i.mac_address for i in system.ethernet_interfaces.get_members()] == [node.mac]
    assert {d.serial_number for s in system.storage.get_members() for d in s.drives} == {d.serial for d in node.drives}
    gpus = [p for p in system.processors.get_members() if p.processor_type == sushy.ProcessorType.GPU]
    assert len(gpus) == 8
    (manager,) = root.get_manager_collection().get_members()
    assert manager.manager_type == sushy.ManagerType.BMC
    (chassis,) = root.get_chassis_collection().get_members()
    assert chassis.power_state == sushy.PowerState.OFF


def test_power_actions_are_carried_out_and_already_so_is_success(lab, http):
    system = lab.redfish(NODE).get_system("/redfish/v1/Systems/1")
    off = http("GET", "/redfish/v1/Chassis/1/Power").json()["PowerControl"][0]["PowerConsumedWatts"]
    for _ in range(2):
        system.reset_system(sushy.ResetType.ON)
        lab.until(NODE, "halted")
    on = http("GET", "/redfish/v1/Chassis/1/EnvironmentMetrics").json()["PowerWatts"]["Reading"]
    assert off < 100 < 3000 < on
    boots = lab.status(NODE)["boots"]
    system.reset_system(sushy.ResetType.FORCE_RESTART)
    lab.until(NODE, "halted")
    assert lab.status(NODE)["boots"] == boots + 1
    for _ in range(2):
        system.reset_system(sushy.ResetType.FORCE_OFF)
        lab.until(NODE, "off")
    system.refresh(force=True)
    assert system.power_state == sushy.PowerState.OFF


def test_restarting_a_machine_that_is_off_is_a_conflict(http):
    answer = http("POST", "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", json={"ResetType": "ForceRestart"})
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "Base.1.18.OperationFailed"


@pytest.mark.parametrize(
    ("boot", "message"),
    [
        ({"BootSourceOverrideTarget": "Floppy"}, "PropertyValueNotInList"),
        ({"BootSourceOverrideEnabled": "Twice"}, "PropertyValueNotInList"),
        ({"HttpBootUri": "file:///etc/passwd"}, "PropertyValueNotInList"),
        ({"BootSourceOverrideTarget": "UefiHttp", "BootSourceOverrideMode": "Legacy"}, "PropertyValueConflict"),
        ({"Nonsense": 1}, "PropertyUnknown"),
    ],
)
def test_a_boot_setting_that_makes_no_sense_is_refused_and_changes_nothing(http, boot, message):
    before = http("GET", "/redfish/v1/Systems/1").json()["Boot"]
    answer = http("PATCH", "/redfish/v1/Systems/1", json={"Boot": boot})
    assert answer.status_code == 400
    assert answer.json()["error"]["@Message.ExtendedInfo"][0]["MessageId"] == f"Base.1.18.{message}"
    assert http("GET", "/redfish/v1/Systems/1").json()["Boot"] == before


def test_a_stale_etag_is_refused(http):
    etag = http("GET", "/redfish/v1/Systems/1").headers["ETag"]
    body = {"Boot": {"BootSourceOverrideTarget": "Cd", "BootSourceOverrideEnabled": "Once"}}
    assert http("PATCH", "/redfish/v1/Systems/1", json=body, headers={"If-Match": etag}).status_code == 200
    assert http("PATCH", "/redfish/v1/Systems/1", json=body, headers={"If-Match": etag}).status_code == 412
    assert http("GET", "/redfish/v1/Systems/1", headers={"If-None-Match": etag}).status_code == 200
    body["Boot"]["BootSourceOverrideEnabled"] = "Disabled"
    assert http("PATCH", "/redfish/v1/Systems/1", json=body).json()["Boot"]["BootSourceOverrideTarget"] == "None"


def test_only_the_root_is_open(http):
    assert http("GET", "/redfish/v1/", auth=None).status_code == 200
    assert http("GET", "/redfish", auth=None).json() == {"v1": "/redfish/v1/"}
    for path in ("/redfish/v1/Systems/1", "/redfish/v1/AccountService", "/redfish/v1/Chassis/1/Power"):
        assert http("GET", path, auth=None).status_code == 401
        assert http("GET", path, auth=("chapek", "wrong")).status_code == 401
    reset = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset"
    assert http("POST", reset, auth=None, json={"ResetType": "On"}).status_code == 401


def test_sessions_are_limited_and_end(lab, http):
    bmc = lab.node(NODE).bmc
    body = {"UserName": bmc.username, "Password": bmc.password}
    opened = []
    while (answer := http("POST", "/redfish/v1/SessionService/Sessions", auth=None, json=body)).status_code == 201:
        opened.append(answer)
    assert (len(opened), answer.status_code) == (8, 503)
    token = {"X-Auth-Token": opened[0].headers["X-Auth-Token"]}
    assert http("GET", "/redfish/v1/Systems/1", auth=None, headers=token).status_code == 200
    for each in opened:
        assert http("DELETE", each.headers["Location"]).status_code == 204
    assert http("GET", "/redfish/v1/Systems/1", auth=None, headers=token).status_code == 401
    assert http("DELETE", opened[0].headers["Location"]).status_code == 404
    wrong = http("POST", "/redfish/v1/SessionService/Sessions", auth=None, json={**body, "Password": "no"})
    assert wrong.status_code == 401


def test_errors_have_the_redfish_shape(http):
    missing = http("GET", "/redfish/v1/Systems/2")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "Base.1.18.ResourceMissingAtURI")
    wrong = http("DELETE", "/redfish/v1/Systems/1")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET, HEAD, PATCH")
    assert http("PATCH", "/redfish/v1/Systems/1", data="{").status_code == 400
    assert missing.headers["OData-Version"] == "4.0"


def test_every_linked_resource_exists(http):
    seen, queue = set(), ["/redfish/v1/"]
    while queue:
        path = queue.pop().rstrip("/")
        if path in seen or "#" in path:
            continue
        seen.add(path)
        answer = http("GET", path)
        assert answer.status_code == 200, path
        queue += links(answer.json())
    assert len(seen) > 30


def links(value) -> list[str]:
    if isinstance(value, dict):
        own = [value["@odata.id"]] if isinstance(value.get("@odata.id"), str) else []
        return own + [link for item in value.values() for link in links(item)]
    return [link for item in value for link in links(item)] if isinstance(value, list) else []


def test_every_command_is_on_record_and_no_secret_is(lab, http):
    bmc = lab.node(NODE).bmc
    token_url = "http://127.0.0.1:8000/boot/very-secret-token-123456/script.ipxe"
    boot = {"BootSourceOverrideTarget": "UefiHttp", "BootSourceOverrideEnabled": "Once", "HttpBootUri": token_url}
    http("PATCH", "/redfish/v1/Systems/1", json={"Boot": {**boot, "BootSourceOverrideMode": "UEFI"}})
    http("PATCH", "/redfish/v1/Systems/1", json={"Boot": {"BootSourceOverrideEnabled": "Disabled"}})
    path = Path(lab.status(NODE)["protocol_log"])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[-2]["command"] == "PATCH /redfish/v1/Systems/1"
    assert (lines[-2]["target"], lines[-2]["enabled"], lines[-2]["status"]) == ("UefiHttp", "Once", 200)
    assert "very-secret-token" not in path.read_text()
    assert bmc.password not in path.read_text()


def test_secrets_of_the_lab_are_readable_by_its_user_alone(emulator):
    assert stat.S_IMODE((emulator.state / "rack.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((emulator.state / "bmc").stat().st_mode) == 0o700
    assert stat.S_IMODE((emulator.state / "bmc" / f"{NODE}.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((emulator.state / "control.sock").stat().st_mode) == 0o600


def test_faults_make_the_bmc_lie_stick_refuse_and_hang(lab, http):
    lab.fault(NODE, wrong_power=1)
    assert http("GET", "/redfish/v1/Systems/1").json()["PowerState"] == "On"
    lab.fault(NODE, wrong_power=0, power_stuck=1)
    reset = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset"
    assert http("POST", reset, json={"ResetType": "On"}).status_code == 204
    assert http("GET", "/redfish/v1/Systems/1").json()["PowerState"] == "Off"
    lab.fault(NODE, power_stuck=0, boot_ignored=1)
    body = {"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}}
    assert http("PATCH", "/redfish/v1/Systems/1", json=body).json()["Boot"]["BootSourceOverrideEnabled"] == "Disabled"
    lab.fault(NODE, boot_ignored=0, auth_broken=1)
    assert http("GET", "/redfish/v1/Systems/1").status_code == 401
    lab.fault(NODE, auth_broken=0, dead=1)
    with pytest.raises(requests.ReadTimeout):
        http("GET", "/redfish/v1/", timeout=0.3)
