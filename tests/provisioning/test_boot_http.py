"""What nodes fetch and report over HTTP: every token once, for one node, until it expires."""

import json
from pathlib import Path

import pytest
from django.db.models.functions import Now

from compliance.audit.models import AuditEvent
from provisioning import boots, tokens, views
from provisioning.models import BootSession, Job
from tests.provisioning.rig import HOST_KEY, make_rig


@pytest.fixture
def waiting(rig, settings):
    """A node whose rescue boot is armed and not fetched yet, and the token of its script."""
    rig.machine.boot = lambda: None
    job = rig.deploy()
    rig.settle()
    _device, url = rig.machine.bmc.boot
    rig.job, rig.token = job, url.split("/")[4]
    views._refusals = views._Refusals()
    return rig


@pytest.fixture
def http(client, settings):
    settings.ROOT_URLCONF = "provisioning.urls"
    settings.MIDDLEWARE = []
    return client


def report_token(script: str) -> str:
    return script.split("chapek.report=")[1].split(maxsplit=1)[0].split("/")[4]


def body(rig, **changes) -> str:
    facts = {"mac": rig.node.boot_mac, "serial": rig.node.serial, "host_keys": [HOST_KEY], **changes}
    return json.dumps(facts)


def post(http, path, content):
    return http.post(path, content, content_type="application/json").status_code


def test_a_script_is_served_once(waiting, http):
    first = http.get(f"/boot/{waiting.token}/script.ipxe")
    assert first.status_code == 200
    assert first.content.startswith(b"#!ipxe\nkernel ")
    assert http.get(f"/boot/{waiting.token}/script.ipxe").status_code == 404
    assert AuditEvent.objects.filter(kind="boot.token_refused").count() == 1


def test_the_loader_is_served_until_its_script_was_taken(waiting, http, settings, tmp_path):
    settings.CHAPEK_BOOT_ARTEFACTS_DIR = str(tmp_path)
    (tmp_path / "ipxe.efi").write_bytes(b"MZ loader")
    for _ in range(2):
        assert b"".join(http.get(f"/boot/{waiting.token}/ipxe.efi").streaming_content) == b"MZ loader"
    assert http.get(f"/boot/{waiting.token}/autoexec.ipxe").content.startswith(b"#!ipxe\n")
    assert http.get(f"/boot/{waiting.token}/ipxe.efi").status_code == 404
    assert http.get(f"/boot/{'x' * 43}/ipxe.efi").status_code == 404


def test_a_report_is_taken_once_and_wakes_the_job(waiting, http):
    script = http.get(f"/boot/{waiting.token}/script.ipxe").content.decode()
    path = f"/boot/{report_token(script)}/report"
    assert post(http, path, body(waiting)) == 204
    assert post(http, path, body(waiting)) == 404
    session = BootSession.objects.get(job=waiting.job, purpose="rescue")
    assert session.host_keys == [HOST_KEY]
    waiting.job.refresh_from_db()
    assert waiting.job.nudges == 1
    assert waiting.job.run_at <= session.reported_at or waiting.job.state == "ready" or waiting.job.nudges


@pytest.mark.parametrize("changes", [{"mac": "02:ff:ff:ff:ff:ff"}, {"serial": "OTHER"}])
def test_a_token_in_another_nodes_hands_is_refused(waiting, http, changes):
    script = http.get(f"/boot/{waiting.token}/script.ipxe").content.decode()
    assert post(http, f"/boot/{report_token(script)}/report", body(waiting, **changes)) == 404
    assert BootSession.objects.get(job=waiting.job, purpose="rescue").reported_at is None


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"mac": 1}', json.dumps({"mac": "x", "serial": "y", "host_keys": []}),
     json.dumps({"mac": "x", "serial": "y", "host_keys": ["ssh-dss AAAA"]}),
     json.dumps({"mac": "02:00:00:00:00:01", "serial": "\0", "host_keys": [HOST_KEY]}),
     json.dumps({"mac": "02:00:00:00:00:01\n", "serial": "y", "host_keys": [HOST_KEY]}), "[" * 16_000],
)  # fmt: skip
def test_a_report_that_is_none_changes_nothing(waiting, http, content):
    script = http.get(f"/boot/{waiting.token}/script.ipxe").content.decode()
    assert post(http, f"/boot/{report_token(script)}/report", content) == 400
    assert BootSession.objects.get(job=waiting.job, purpose="rescue").reported_at is None


def test_expired_and_revoked_tokens_open_nothing(waiting, http):
    BootSession.objects.update(expires_at=Now())
    assert http.get(f"/boot/{waiting.token}/script.ipxe").status_code == 404
    BootSession.objects.update(expires_at="2100-01-01T00:00:00Z", revoked_at=Now())
    assert http.get(f"/boot/{waiting.token}/script.ipxe").status_code == 404


def test_a_node_known_by_its_mac_gets_its_armed_boot_and_others_boot_from_disk(waiting, http):
    assert http.get(f"/boot/mac/{waiting.node.boot_mac}").content == b"#!ipxe\nexit\n", "its BMC was told an address"
    boots.allow_by_mac(boot=BootSession.objects.get(job=waiting.job, purpose="rescue"))
    answer = http.get(f"/boot/mac/{waiting.node.boot_mac.upper()}").content.decode()
    assert answer.startswith("#!ipxe\nchain http")
    token = answer.split("/boot/")[1].split("/")[0]
    assert http.get(f"/boot/{waiting.token}/script.ipxe").status_code == 404, "the new token replaced the first"
    assert http.get(f"/boot/{token}/script.ipxe").status_code == 200
    assert http.get(f"/boot/mac/{waiting.node.boot_mac}").content == b"#!ipxe\nexit\n"
    assert http.get("/boot/mac/02:aa:aa:aa:aa:aa").content == b"#!ipxe\nexit\n"
    assert http.get("/boot/mac/nonsense").status_code == 404


def test_refusals_are_logged_but_a_scanner_does_not_flood_the_log(waiting, http):
    for number in range(40):
        assert http.get(f"/boot/{'x' * 40}{number}/script.ipxe").status_code == 404
    noted = AuditEvent.objects.filter(kind="boot.token_refused")
    assert noted.count() == views.REFUSALS_PER_MINUTE
    assert {event.log_tenant_id for event in noted} == {None}


def test_tokens_are_kept_as_hashes_only(waiting):
    session = BootSession.objects.get(job=waiting.job, purpose="rescue")
    assert session.script_token_sha256 == tokens.digest(waiting.token)
    row = BootSession.objects.filter(pk=session.pk).values().get()
    assert waiting.token not in str(row)
    assert b"PRIVATE KEY" not in bytes(row["private_key_sealed"])


def test_phoning_home_needs_the_right_instance(rig, http):
    rig.machine.phones_home = False
    job = rig.deploy()
    rig.settle()
    token = rig.machine.seeds[-1]["token"]
    form = {"pub_key_ed25519": f"{HOST_KEY} root@alpha", "instance_id": "another", "hostname": "alpha"}
    assert http.post(f"/boot/{token}/phone-home", {**form, "instance_id": "\0"}).status_code == 400
    assert http.post(f"/boot/{token}/phone-home", form).status_code == 404
    assert http.post(f"/boot/{token}/phone-home", {**form, "instance_id": job.ref}).status_code == 204
    assert http.post(f"/boot/{token}/phone-home", {**form, "instance_id": job.ref}).status_code == 404
    rig.settle()
    assert rig.refresh().state == "active"


def test_artefacts_are_files_of_their_folder_and_nothing_else(db, http, settings, tmp_path):
    folder = tmp_path / "boot"
    folder.mkdir()
    (folder / "vmlinuz").write_bytes(b"kernel")
    (tmp_path / "secret").write_text("no")
    (folder / "leads-out").symlink_to(tmp_path / "secret")
    settings.CHAPEK_BOOT_ARTEFACTS_DIR = str(folder)
    answer = http.get("/boot/artefacts/vmlinuz")
    assert b"".join(answer.streaming_content) == b"kernel"
    for name in ("..", "leads-out", ".hidden", "nothing"):
        assert http.get(f"/boot/artefacts/{name}").status_code == 404, name
    for name in ("../secret", "a/../../secret", str(tmp_path / "secret")):
        assert views._file(answer.wsgi_request, folder, name).status_code == 404, name


def test_an_image_is_served_to_its_deployment_while_it_runs(rig, http, settings, tmp_path):
    settings.CHAPEK_IMAGES_DIR = str(tmp_path)
    (tmp_path / "debian.raw.gz").write_bytes(b"image")
    rig.machine.reports = False
    job = rig.deploy()
    rig.settle()
    token = tokens.new_token()
    Job.objects.filter(pk=job.pk).update(
        image_token_sha256=tokens.digest(token), image_token_expires_at="2100-01-01T00:00:00Z"
    )
    answer = http.get(f"/images/{token}/debian.raw.gz")
    assert b"".join(answer.streaming_content) == b"image"
    assert http.get(f"/images/{token}/other").status_code == 404
    assert http.get(f"/images/{'x' * 43}/debian.raw.gz").status_code == 404
    Job.objects.filter(pk=job.pk).update(image_token_expires_at=Now())
    assert http.get(f"/images/{token}/debian.raw.gz").status_code == 404


def test_a_finished_cleaning_leaves_no_armed_boot(rig):
    assert not BootSession.objects.filter(node=rig.node, revoked_at=None).exists()
    other = make_rig()
    assert boots.script_for_mac(mac=other.node.boot_mac) == "#!ipxe\nexit\n"


def test_scripts_are_complete_shell_that_parses():
    import subprocess

    folder = Path(boots.__file__).parent / "scripts"
    for path in sorted(folder.glob("*.sh")):
        assert subprocess.run(["/bin/sh", "-n", str(path)], check=False, timeout=10).returncode == 0, path.name
