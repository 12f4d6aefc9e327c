"""What nodes print, read: health, drives and their capabilities, sanitize logs, the seed; and fleet files."""

import json

import pytest
import yaml

from common.errors import InvalidRequest
from compliance.audit.models import AuditEvent
from inventory import fleet_file
from inventory import services as inventory
from inventory.models import BmcEndpoint, Node
from provisioning import health, nocloud, services
from provisioning.errors import EraseFailed, JobConflict, ScriptFailed
from provisioning.fleet import bring_in
from provisioning.models import HealthFinding
from provisioning.ssh import Output, with_parameters
from provisioning.steps import erase
from tests.provisioning.rig import ACTOR, OPERATOR, make_rig, node_facts

EXPECTED = health.Expected(gpu_count=1, gpu_model="H200-SXM", gpu_serials=frozenset({"G0"}))
GPU = """<gpu id="00000000:18:00.0"><product_name>NVIDIA H200</product_name><serial>G0</serial><uuid>GPU-0</uuid>
<temperature><gpu_temp>31 C</gpu_temp><gpu_temp_slow_threshold>N/A</gpu_temp_slow_threshold></temperature>
<ecc_mode><current_ecc>Enabled</current_ecc></ecc_mode>
<ecc_errors><volatile><sram_uncorrectable_parity>0</sram_uncorrectable_parity><dram_uncorrectable>0</dram_uncorrectable>
</volatile><aggregate><dram_uncorrectable>0</dram_uncorrectable></aggregate></ecc_errors>
<remapped_rows><remapped_row_pending>No</remapped_row_pending><remapped_row_failure>No</remapped_row_failure>
</remapped_rows></gpu>"""


def sections(gpu=GPU, **more):
    return {"nvidia-smi": f'<?xml version="1.0"?>\n<nvidia_smi_log>{gpu}</nvidia_smi_log>', **more}


def found(report):
    return {(finding.kind, finding.bars_allocation) for finding in report.findings}


def test_a_healthy_gpu_passes():
    report = health.judge(sections(), expected=EXPECTED)
    assert (report.passed, report.findings, report.gpu_count) == (True, (), 1)
    assert report.measured["gpus"][0]["temperature_c"] == 31


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("parity>0</sram", "parity>4</sram", ("ecc", True)),
        ("<aggregate><dram_uncorrectable>0", "<aggregate><dram_uncorrectable>9", ("ecc", False)),
        ("<remapped_row_pending>No", "<remapped_row_pending>Yes", ("remap", True)),
        ("<remapped_row_failure>No", "<remapped_row_failure>Yes", ("remap", True)),
        ("31 C", "91 C", ("thermal", True)),
        ("NVIDIA H200", "NVIDIA H100", ("gpu_model", True)),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_gpu_becomes_a_finding_of_its_kind(old, new, finding):
    assert old in GPU
    assert found(health.judge(sections(GPU.replace(old, new)), expected=EXPECTED)) == {finding}


def test_a_missing_gpu_is_named():
    report = health.judge(sections(gpu=""), expected=EXPECTED)
    assert found(report) == {("gpu_count", True)}
    assert report.findings[0].evidence["missing"] == ["G0"]


@pytest.mark.parametrize(
    "text", ["", "NVIDIA-SMI has failed", '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "<a><b></a>"]
)
def test_a_driver_that_does_not_answer_bars_the_node(text):
    report = health.judge({"nvidia-smi": text}, expected=EXPECTED)
    assert found(report) == {("driver", True)}


def test_xids_bar_only_where_the_hardware_is_meant():
    lines = (
        "[1.0] NVRM: Xid (PCI:0000:18:00): 79, GPU has fallen off the bus.\n[2.0] NVRM: Xid (PCI:0000:18:00): 13, x\n"
    )
    assert found(health.judge(sections(xid=lines), expected=EXPECTED)) == {("xid", True), ("xid", False)}


def test_a_failed_diagnosis_bars_and_names_the_test():
    document = {"DCGM Diagnostic": {"test_categories": [{"category": "Deployment", "tests": [
        {"name": "software", "results": [{"status": "Fail", "warnings": [{"warning": "denylist"}]}]}]}]}}  # fmt: skip
    report = health.judge(sections(diagnosis=json.dumps(document)), expected=EXPECTED)
    assert [(f.kind, f.part, f.evidence["warnings"]) for f in report.findings] == [
        ("diagnosis", "software", ["denylist"])
    ]
    assert found(health.judge(sections(diagnosis="gibberish"), expected=EXPECTED)) == {("diagnosis", True)}


def drive_sections(transport="nvme", **identify):
    path = "/dev/nvme0n1" if transport == "nvme" else "/dev/sda"
    disk = {
        "name": path[5:],
        "path": path,
        "serial": "S1",
        "model": "M",
        "size": 4096 * 1000,
        "type": "disk",
        "tran": transport,
    }
    parts = {"drives": json.dumps({"blockdevices": [disk]})}
    if transport == "nvme":
        parts[f"nvme {path}"] = json.dumps(identify)
    else:
        parts[f"ata {path}"] = identify["text"]
    return parts


ATA = "Security:\n\tsupported\n\tnot\tenabled\n\tnot\tlocked\n\tnot\tfrozen\n\tsupported: enhanced erase"


@pytest.mark.parametrize(
    ("facts", "method"),
    [
        (drive_sections(oacs=2, fna=4, sanicap=3), "nvme_sanitize_block"),
        (drive_sections(oacs=2, fna=4, sanicap=1), "nvme_sanitize_crypto"),
        (drive_sections(oacs=2, fna=4, sanicap=0), "nvme_format_crypto"),
        (drive_sections(oacs=2, fna=0, sanicap=0), "nvme_format_user_data"),
        (drive_sections(oacs=0, fna=0, sanicap=0), "overwrite"),
        (drive_sections("sata", text=ATA), "ata_secure_erase"),
        (drive_sections("sata", text=ATA.replace("not\tfrozen", "frozen")), "overwrite"),
        (drive_sections("sata", text="Security:\n\tnot\tsupported\n\tnot\tlocked\n\tnot\tfrozen"), "overwrite"),
    ],
)
def test_each_drive_is_erased_by_the_best_way_it_offers(facts, method):
    (drive,) = erase.choose_methods(facts, seed="job_1")
    assert drive.method == method
    assert (0 in drive.offsets, 999 in drive.offsets) == (True, True)
    assert drive.offsets == erase.choose_methods(facts, seed="job_1")[0].offsets


def test_a_drive_that_does_not_say_its_serial_is_not_sold_on():
    facts = drive_sections(oacs=2)
    facts["drives"] = facts["drives"].replace('"S1"', '"bad; serial"')
    with pytest.raises(EraseFailed):
        erase.choose_methods(facts, seed="x")
    with pytest.raises(ScriptFailed):
        erase.choose_methods({"drives": "no json"}, seed="x")


@pytest.mark.parametrize(
    ("log", "state"),
    [
        ({"nvme0": {"sprog": 65535, "sstat": {"status": "(1) Completed Successfully."}}}, "done"),
        ({"nvme0": {"sprog": 900, "sstat": {"status": "(2) Sanitize in Progress."}}}, "running"),
        ({"nvme0": {"sprog": 65535, "sstat": {"status": "(3) Failed."}}}, "failed"),
        ({"nvme0": {"sprog": 65535, "sstat": 257}}, "done"),
        ({"nvme0": {"sprog": 100, "sstat": 2}}, "running"),
        ({"nvme0": {"sprog": 65535, "sstat": {"status": "(0) never been sanitized."}}}, "failed"),
        ({}, "failed"),
    ],
)  # fmt: skip
def test_a_sanitize_log_says_done_running_or_failed(log, state):
    assert erase.sanitize_state(json.dumps(log)) == state


def test_a_surviving_marker_or_an_unread_sample_is_a_failed_erase():
    (drive,) = erase.choose_methods(drive_sections(oacs=2), seed="x")
    count = len(drive.offsets)
    assert erase.read_verification(f"S1 {count} 0\n", [drive]) == {"S1": count}
    for text in (f"S1 {count} 1\n", f"S1 {count - 1} 0\n", ""):
        with pytest.raises(EraseFailed):
            erase.read_verification(text, [drive])


def test_parameters_of_scripts_cannot_break_out_of_their_quotes():
    text = with_parameters("echo", {"USER_DATA": "'; reboot; echo '$(id)`id`"})
    assert text == "USER_DATA=''\"'\"'; reboot; echo '\"'\"'$(id)`id`'\necho"


def test_sections_are_cut_at_their_headings():
    output = Output(status=0, stdout=b"noise\n==a==\n1\n2\n==b==\n3\n==a==\n4\n", stderr=b"")
    assert output.sections() == {"a": "1\n2\n4\n", "b": "3\n"}


def test_the_seed_carries_the_one_time_key_where_user_data_cannot_drop_it():
    seed = nocloud.build(
        instance_id="job_1", hostname="alpha", ssh_public_keys=["ssh-ed25519 AAAA me"],
        deployment_key="ssh-ed25519 BBBB x",
        user_data="#cloud-config\nssh_authorized_keys: [other]\n", phone_home_url="http://p/boot/t/phone-home",
    )  # fmt: skip
    assert yaml.safe_load(seed.meta_data)["public-keys"] == ["ssh-ed25519 AAAA me", "ssh-ed25519 BBBB x"]
    assert yaml.safe_load(seed.vendor_data)["phone_home"]["url"] == "http://p/boot/t/phone-home"
    assert "BBBB" not in repr(seed)


@pytest.mark.parametrize(
    "text", ["#cloud-config\nphone_home: {url: http://x}\n", "#cloud-config\n[1, 2", "x" * 65537, "a\0b"]
)
def test_user_data_that_cannot_work_is_refused_at_once(rig, text):
    with pytest.raises(InvalidRequest):
        rig.deploy(user_data=text)
    assert rig.refresh().state == "available"


# Enrollment


def fleet(**node):
    facts = {
        "name": "kla-h200-99", "serial": "X99", "site": "kladno", "rack": "kla-r1", "pool": "kladno-one",
        "node_type": "h200-8", "boot_mac": "02-00-00-00-00-99", "tenant_address": "192.0.2.99",
        "bmc": {"address": "192.0.2.1", "port": 443, "username": "chapek", "password": "secret-one"},
    }  # fmt: skip
    return {"nodes": [{**facts, **node}]}


def test_a_fleet_file_is_brought_in_once_and_then_changes_nothing(enrolled):
    first = bring_in(document=fleet(), actor=OPERATOR)
    assert (first.new, first.intakes) == (1, 1)
    again = bring_in(document=fleet(), actor=OPERATOR)
    assert (again.new, again.changed, again.unchanged, again.intakes) == (0, 0, 1, 0)
    node = Node.objects.get(name="kla-h200-99")
    assert (node.boot_mac, node.bmc.password()) == ("02:00:00:00:00:99", "secret-one")


def test_changed_facts_are_told_by_name_and_a_moved_bmc_is_trusted_anew(enrolled):
    bring_in(document=fleet(), actor=OPERATOR, intake=False)
    BmcEndpoint.objects.filter(node__name="kla-h200-99").update(certificate_sha256="ab" * 32)
    bmc = {"address": "192.0.2.2", "port": 443, "username": "chapek", "password": "secret-two"}
    assert bring_in(document=fleet(bmc=bmc), actor=OPERATOR, intake=False).changed == 1
    node = Node.objects.get(name="kla-h200-99")
    assert (node.bmc.certificate_sha256, node.bmc.password()) == ("", "secret-two")
    event = AuditEvent.objects.get(kind="node.facts_changed", subject_ref=node.ref)
    assert b"bmc.password" in bytes(event.leaf)
    assert b"secret" not in bytes(event.leaf)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"nodez": []}, "no section nodez"),
        (fleet(site="nowhere"), "no site 'nowhere'"),
        (fleet(colour="red"), "unknown colour"),
        (fleet(bmc={"address": "192.0.2.1"}), "missing"),
        (fleet(bmc={"address": "a", "port": "443", "username": "a", "password": "b"}), "port is not a whole number"),
        (fleet(tenant_address="not an address"), "tenant_address"),
        ({"nodes": {}}, "list"),
    ],
)  # fmt: skip
def test_a_fleet_file_that_is_wrong_says_where(enrolled, document, words):
    if document == {"nodes": {}}:
        document = {"nodes": {"a": 1}}
    with pytest.raises(InvalidRequest, match=words):
        fleet_file.bring_up(document=document, actor=OPERATOR)
    assert not Node.objects.filter(name="kla-h200-99").exists()


def test_a_password_may_stand_in_a_file_of_its_own(enrolled, tmp_path):
    (tmp_path / "secret").write_text("from-a-file\nsecond line\n")
    bmc = {"address": "192.0.2.1", "port": 443, "username": "chapek", "password_file": "secret"}
    fleet_file.bring_up(document=fleet(bmc=bmc), actor=OPERATOR, folder=tmp_path)
    assert Node.objects.get(name="kla-h200-99").bmc.password() == "from-a-file"


def test_an_image_never_changes_its_content_under_its_version(enrolled):
    facts = inventory.ImageFacts(
        code="debian-12", version="1", name="Debian 12", path="debian.raw.gz", compression="gzip", sha256="b" * 64,
        size_bytes=10, default_user="debian",
    )  # fmt: skip
    with pytest.raises(InvalidRequest):
        inventory.register_image(facts=facts, actor=OPERATOR)


def test_two_nodes_never_share_a_serial(db):
    make_rig(number=7)
    with pytest.raises(InvalidRequest):
        inventory.enroll_node(facts=node_facts(8, serial="SN0007"), actor=ACTOR)


def test_a_bmc_with_another_certificate_raises_an_alarm_until_it_is_trusted_anew(rig, monkeypatch):
    from provisioning.drivers.errors import BmcSecurityMismatch
    from provisioning.drivers.fake import FakeDriver

    def stranger(_self):
        raise BmcSecurityMismatch("another certificate", certificate_changed=True)

    with monkeypatch.context() as patch:
        patch.setattr(FakeDriver, "_bmc", stranger)
        services.request_cleaning(node=rig.node, actor=OPERATOR)
        rig.settle()
    assert rig.refresh().state == "quarantined"
    finding = HealthFinding.objects.get(node=rig.node, kind="bmc", resolved_at=None)
    assert finding.bars_allocation
    services.trust_bmc_anew(node=rig.node, actor=OPERATOR, reason="board replaced")
    assert AuditEvent.objects.filter(kind="bmc.certificate_forgotten", subject_ref=rig.node.ref).count() == 1
    services.request_intake(node=rig.node, actor=OPERATOR)
    rig.settle()
    assert rig.refresh().state == "available"
    finding.refresh_from_db()
    assert finding.resolved_at is not None
    with pytest.raises(JobConflict):
        services.trust_bmc_anew(node=rig.node, actor=OPERATOR, reason="again")
