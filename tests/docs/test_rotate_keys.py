"""``manage.py rotate_keys`` on real rows: nothing is lost, whatever happens in between."""

import base64
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import time
from io import StringIO
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction

from common import vault
from compliance.audit.models import AuditEvent
from config.management.commands import _rewrap
from inventory.models import BmcEndpoint, GpuModel, Node, NodeType, Pool, Rack, Site

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def keyring(tmp_path, settings, monkeypatch):
    """A keyring of this test alone, with one key named k1."""
    monkeypatch.delenv("CHAPEK_KEYRING", raising=False)
    path = tmp_path / "keyring.json"
    path.write_text(json.dumps({"active": "k1", "keys": {"k1": a_key()}}))
    path.chmod(0o600)
    settings.CHAPEK_KEYRING_FILE = str(path)
    return path


@pytest.fixture
def bmcs():
    """Seven nodes with a BMC each; the password of the n-th is ``secret-n``."""
    site = Site.objects.create(
        code="kladno",
        name="Kladno",
        city="Kladno",
        country="CZ",
        latitude="50.14",
        longitude="14.1",
        power_envelope_kw=9,
    )
    rack = Rack.objects.create(site=site, code="kl-r1")
    pool = Pool.objects.create(site=site, code="kl-p1", name="Pool")
    gpu = GpuModel.objects.create(code="H200", memory_gib=141, tdp_w=700)
    kind = NodeType.objects.create(
        code="h200-8", name="8 x H200", gpu_model=gpu, gpu_count=8, cpu_cores=1, memory_gib=1, drive_gib=1, max_draw_w=1
    )
    for number in range(7):
        node = Node.objects.create(
            name=f"kl-{number}",
            serial=f"S{number}",
            site=site,
            rack=rack,
            pool=pool,
            node_type=kind,
            boot_mac=f"02:00:00:00:00:0{number}",
            tenant_address=f"10.0.0.{number + 1}",
        )
        bmc = BmcEndpoint(node=node, address=f"192.0.2.{number}", port=443, username="root")
        bmc.set_password(f"secret-{number}")
        bmc.save()


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Keys made in a test are named k2, k3 and so on, not by chance."""
    numbers = itertools.count(2)

    def make():
        name = f"k{next(numbers)}"
        return json.dumps({"active": name, "keys": {name: a_key()}})

    monkeypatch.setattr(vault, "new_keyring_text", make)


def a_key():
    return base64.b64encode(os.urandom(32)).decode()


def rotate(*arguments):
    """The command's standard output."""
    out = StringIO()
    call_command("rotate_keys", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def blobs():
    return [bytes(blob) for blob in BmcEndpoint.objects.order_by("pk").values_list("password_sealed", flat=True)]


def keys_of_rows():
    return [blob[2 : 2 + blob[1]].decode() for blob in blobs()]


def ciphertexts():
    return [blob[-24:] for blob in blobs()]


def passwords():
    return [bmc.password() for bmc in BmcEndpoint.objects.order_by("pk")]


SECRETS = [f"secret-{number}" for number in range(7)]


def test_every_value_is_under_the_new_key_and_opens_as_before(bmcs, keyring):
    before = ciphertexts()
    out = rotate("--batch", "3")
    assert "k2 seals from now on" in out
    assert "inventory.BmcEndpoint.password_sealed: 7 re-wrapped" in out
    assert keys_of_rows() == ["k2"] * 7
    assert passwords() == SECRETS
    # Values themselves are not decrypted for it: the ciphertext stays, only its data key is wrapped anew.
    assert ciphertexts() == before
    assert json.loads(keyring.read_text())["active"] == "k2"


def test_every_registered_column_is_rotated():
    registered = {f"{column.model}.{column.field}" for column in vault.sealed_columns()}
    out = rotate()
    assert {line.partition(":")[0] for line in out.splitlines() if "re-wrapped" in line} == registered
    assert "inventory.BmcEndpoint.password_sealed" in registered


def test_the_file_is_for_its_owner_alone_and_nothing_is_left_beside_it(bmcs, keyring):
    rotate()
    assert stat.S_IMODE(keyring.stat().st_mode) == 0o600
    assert [path.name for path in keyring.parent.iterdir()] == ["keyring.json"]


def test_neither_keys_nor_secrets_are_printed_or_audited(bmcs, keyring):
    out = rotate() + rotate("--report")
    words = [*SECRETS, *json.loads(keyring.read_text())["keys"].values()]
    audited = "".join(bytes(event.leaf).decode() for event in AuditEvent.objects.all())
    assert [word for word in words if word in out or word in audited] == []


def test_the_platforms_audit_log_names_the_keys():
    rotate()
    rotate("--retire", "--grace-s", "0")
    kinds = AuditEvent.objects.filter(log_tenant_id=None).order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["keyring.activated", "keyring.rewrapped", "keyring.retired"]


def test_old_keys_are_retired_once_nothing_uses_them(bmcs, keyring):
    rotate()
    assert "retired: k1" in rotate("--retire", "--grace-s", "0")
    assert list(json.loads(keyring.read_text())["keys"]) == ["k2"]
    assert passwords() == SECRETS
    rotate()
    assert json.loads(keyring.read_text())["active"] == "k3"


def test_a_key_in_use_is_never_retired(bmcs, keyring):
    old = bytes(BmcEndpoint.objects.order_by("pk")[0].password_sealed)
    rotate()
    first = BmcEndpoint.objects.order_by("pk")[0]
    BmcEndpoint.objects.filter(pk=first.pk).update(password_sealed=old)
    before = keyring.read_text()
    with pytest.raises(CommandError, match="1 old keys are still in use"):
        rotate("--retire", "--grace-s", "0")
    assert keyring.read_text() == before
    assert passwords() == SECRETS


def test_a_key_is_not_retired_while_values_sealed_with_it_may_be_on_their_way(bmcs, keyring):
    rotate()
    before = keyring.read_text()
    with pytest.raises(CommandError, match="retire 3600 s after its last change"):
        rotate("--retire")
    assert keyring.read_text() == before


def test_a_staged_key_seals_nothing_until_it_is_rotated_to(bmcs, keyring):
    assert "k2 is staged" in rotate("--stage")
    assert "k2 is staged" in rotate("--stage")  # twice is once
    assert list(json.loads(keyring.read_text())["keys"]) == ["k1", "k2"]
    assert bytes(vault.seal("x", context="c"))[2:4] == b"k1"
    assert "nothing to retire" in rotate("--retire", "--grace-s", "0")  # it is not mistaken for an old one
    rotate()
    assert json.loads(keyring.read_text()).keys() == {"active", "keys"}
    assert keys_of_rows() == ["k2"] * 7


def test_a_damaged_value_is_named_and_left_alone_and_the_others_are_rotated(bmcs, keyring):
    broken = BmcEndpoint.objects.order_by("pk")[2]
    blob = bytearray(broken.password_sealed)
    blob[30] ^= 1
    BmcEndpoint.objects.filter(pk=broken.pk).update(password_sealed=bytes(blob))
    out = StringIO()
    with pytest.raises(CommandError, match="1 values do not open"):
        call_command("rotate_keys", "--batch", "2", stdout=out, stderr=out)
    assert f"inventory.BmcEndpoint {broken.pk}: password_sealed does not open" in out.getvalue()
    assert keys_of_rows() == ["k2", "k2", "k1", "k2", "k2", "k2", "k2"]
    assert bytes(BmcEndpoint.objects.get(pk=broken.pk).password_sealed) == bytes(blob)


def test_a_lost_keyring_is_not_replaced_when_there_are_sealed_values(bmcs, keyring):
    keyring.unlink()
    with pytest.raises(CommandError, match="bring it back from the backup"):
        rotate()
    assert not keyring.exists()


@pytest.mark.parametrize("name", ["k1", "k-another"])
def test_a_keyring_that_was_lost_and_made_anew_is_noticed(bmcs, keyring, name):
    keyring.write_text(json.dumps({"active": name, "keys": {name: a_key()}}))
    before = keyring.read_text()
    with pytest.raises(CommandError, match="bring the right keyring back"):
        rotate()
    assert keyring.read_text() == before


def test_a_new_installation_gets_its_first_keyring(keyring):
    keyring.unlink()
    assert "made with key k2" in rotate()
    assert stat.S_IMODE(keyring.stat().st_mode) == 0o600
    assert vault.unseal(vault.seal("x", context="c"), context="c") == b"x"


def test_a_keyring_from_the_environment_is_followed_and_never_written(bmcs, keyring, monkeypatch):
    two = json.loads(keyring.read_text())
    two["keys"]["spring"] = a_key()
    monkeypatch.setenv("CHAPEK_KEYRING", json.dumps({**two, "active": "spring"}))
    before = keyring.read_text()
    assert "finishing the rotation to spring" in rotate()
    assert keys_of_rows() == ["spring"] * 7
    assert "under spring already" in rotate()
    for option in ("--retire", "--stage"):
        with pytest.raises(CommandError, match="CHAPEK_KEYRING"):
            rotate(option)
    assert keyring.read_text() == before


def test_the_report_counts_values_by_key(bmcs):
    assert "k1: 7 values, active" in rotate("--report")


def test_two_rotations_do_not_meet(bmcs, keyring):
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_rewrap.ROTATION_LOCK])
        with pytest.raises(CommandError, match="another rotate_keys"):
            rotate()
    finally:
        with other.cursor() as cursor:  # closing only gives the session back to the pool
            cursor.execute("SELECT pg_advisory_unlock_all()")
        other.close()
    assert keys_of_rows() == ["k1"] * 7


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_root_does_not_lock_the_services_user_out(bmcs, keyring):
    os.chown(keyring, 12345, 12345)
    rotate()
    assert (keyring.stat().st_uid, keyring.stat().st_gid) == (12345, 12345)
    assert stat.S_IMODE(keyring.stat().st_mode) == 0o600


def test_a_rotation_killed_halfway_is_finished_by_the_next(bmcs, keyring):
    """A real process, killed while it waits for a row of its second batch: what was committed stays."""
    held = BmcEndpoint.objects.order_by("pk").values_list("pk", flat=True)[4]
    with transaction.atomic():
        BmcEndpoint.objects.select_for_update().get(pk=held)
        process = subprocess.Popen(
            [sys.executable, "manage.py", "rotate_keys", "--batch", "3"],
            cwd=django_settings.BASE_DIR,
            env={**os.environ, "CHAPEK_DATABASE_URL": this_database(), "CHAPEK_KEYRING_FILE": str(keyring)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: waiting_for_us() == 1 or process.poll() is not None)
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=10)
        new = json.loads(keyring.read_text())["active"]
        assert keys_of_rows() == [new] * 3 + ["k1"] * 4
        assert passwords() == SECRETS
    until(lambda: not rotation_is_held())
    out = rotate("--batch", "3")
    assert f"finishing the rotation to {new}" in out
    assert "inventory.BmcEndpoint.password_sealed: 4 re-wrapped" in out
    assert keys_of_rows() == [new] * 7
    assert passwords() == SECRETS
    assert list(json.loads(keyring.read_text())["keys"]) == ["k1", new]


def this_database():
    found = connection.settings_dict
    user, password = quote(found["USER"], safe=""), quote(found["PASSWORD"], safe="")
    port = f"&port={found['PORT']}" if found["PORT"] else ""
    return f"postgresql://{user}:{password}@/{found['NAME']}?host={quote(found['HOST'], safe='')}{port}"


def until(look):
    deadline_s = time.monotonic() + 60
    while not look():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.02)


def waiting_for_us():
    # Of pg_locks, not of pg_stat_activity: that one stands still within a transaction.
    return _one("SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))")


def rotation_is_held():
    classid, objid = _rewrap.ROTATION_LOCK >> 32, _rewrap.ROTATION_LOCK & 0xFFFFFFFF
    return _one(
        "SELECT count(*) FROM pg_locks"
        " WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND pid <> pg_backend_pid()",
        [classid, objid],
    )


def _one(query, parameters=()):
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchone()[0]
