"""The offline verifier finds every change, names it rightly, and never takes an honest fault for one."""

import ast
import base64
import copy
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection

from common.actors import system_actor
from compliance.audit import keys, notes, selectors, services
from compliance.audit.errors import LogInconsistent, NothingSealed, UnknownTreeSize
from compliance.audit.models import Checkpoint
from compliance.verifier import chapek_verify

pytestmark = pytest.mark.django_db

EVIDENCE_FAILS = "not-verified"
NOT_CHECKED = "not-checked"


@pytest.fixture
def three_logs(log_some):
    """Log 1 has 24 events: 12 about res_a at 0-3, 8-11, 16-19, the others between; log 2 has 8."""
    for _round in range(3):
        log_some(4, log=1, subject="res_a", site="Kladno")
        log_some(4, log=1, subject="res_b", site="Kladno")
        services.seal()
    log_some(8, log=2, subject="res_c")
    services.seal()


@pytest.fixture(params=["whole log", "one reservation", "whole log without single proofs"])
def export(request, three_logs, monkeypatch):
    if request.param.endswith("proofs"):
        monkeypatch.setattr("compliance.audit.export.PROOFLESS_FROM", 1)
    subjects = ["res_a"] if request.param == "one reservation" else None
    return selectors.export(log_tenant_id=1, subject_refs=subjects)


@pytest.fixture
def judge(tmp_path, verdict):
    """Outcome and classes for an export given as a dict, checked with the key of log 1."""

    def run(export, key=None, **options):
        path = tmp_path / "judged.json"
        path.write_text(json.dumps(export))
        return verdict(path, key or selectors.verifier_key(log_tenant_id=1), **options)

    return run


def b64(value):
    return base64.b64encode(value).decode()


def edited(row, **changes):
    """The row with its event's content changed, as somebody would who rewrites the past."""
    leaf = json.loads(base64.b64decode(row["leaf"]))
    return {**row, "leaf": b64(json.dumps({**leaf, **changes}, sort_keys=True, separators=(",", ":")).encode())}


def rehashed(row):
    return {**row, "hash": b64(chapek_verify.leaf_hash(base64.b64decode(row["leaf"])))}


def signed_again(note, key, *, key_id=None):
    text, _gap, tail = note.rpartition("\n\n")
    name = tail.split(" ")[1]
    again = notes.sign(text=text + "\n", name=name, key=key)
    if key_id is None:
        return again
    head, _space, signature = again.rstrip("\n").rpartition(" ")
    return f"{head} {b64(key_id + base64.b64decode(signature)[4:])}\n"


def test_an_untouched_export_is_verified(export, judge):
    assert judge(export) == ("verified", set())


def test_the_statement_names_exactly_the_events_in_scope(three_logs):
    text = selectors.export(log_tenant_id=1, subject_refs=["res_a"])["statement"]
    assert text.split("\n")[0] == "chapek.audit.export/1"
    assert text.split("\n")[5:8] == ['scope ["res_a"]', "indexes 0-3,8-11,16-19", "pending 0"]


def test_a_back_dated_event_is_named(export, judge):
    export["events"][5] = edited(export["events"][5], occurred_at="2020-01-01T00:00:00Z")
    assert judge(export) == (EVIDENCE_FAILS, {"leaf-altered"})


def test_a_flipped_bit_in_a_leaf_is_named(export, judge):
    leaf = bytearray(base64.b64decode(export["events"][5]["leaf"]))
    leaf[len(leaf) // 2] ^= 1
    export["events"][5]["leaf"] = b64(bytes(leaf))
    assert judge(export) == (EVIDENCE_FAILS, {"leaf-altered"})


def test_an_altered_event_with_its_hash_made_again_does_not_lead_to_the_root(export, judge):
    export["events"][5] = rehashed(edited(export["events"][5], kind="node.cleaned"))
    assert judge(export) == (EVIDENCE_FAILS, {"proof-mismatch"})


@pytest.mark.parametrize("export", ["whole log", "one reservation"], indirect=True)
def test_the_altered_event_is_named_by_its_index(export, tmp_path):
    export["events"][5] = edited(export["events"][5], kind="node.cleaned")
    path = tmp_path / "judged.json"
    path.write_text(json.dumps(export))
    report = chapek_verify.verify(str(path), [selectors.verifier_key(log_tenant_id=1)])
    assert [problem.where for problem in report.problems] == [f"event {export['events'][5]['index']}"]


def test_exchanged_leaves_are_named(export, judge):
    first, second = export["events"][2], export["events"][7]
    first["leaf"], second["leaf"] = second["leaf"], first["leaf"]
    assert judge(export) == (EVIDENCE_FAILS, {"event-order"})


@pytest.mark.parametrize("export", ["whole log", "one reservation"], indirect=True)
def test_exchanged_places_are_named(export, judge):
    first, second = export["events"][2], export["events"][7]
    first["index"], second["index"] = second["index"], first["index"]
    assert judge(export) == (EVIDENCE_FAILS, {"event-order"})


def test_a_list_in_another_order_is_named(export, judge):
    export["events"].reverse()
    outcome, classes = judge(export)
    assert outcome == EVIDENCE_FAILS
    assert "event-order" in classes


def test_a_deleted_event_is_named(export, judge):
    del export["events"][5]
    assert judge(export) == (EVIDENCE_FAILS, {"event-missing"})


def test_a_cut_tail_is_named(export, judge):
    del export["events"][-3:]
    assert judge(export) == (EVIDENCE_FAILS, {"event-missing"})


def test_a_doubled_event_is_named(export, judge):
    export["events"].insert(6, export["events"][5])
    assert judge(export) == (EVIDENCE_FAILS, {"event-added"})


def test_a_genuine_event_beyond_the_statement_is_named(three_logs, judge):
    part = selectors.export(log_tenant_id=1, subject_refs=["res_a"])
    whole = selectors.export(log_tenant_id=1, subject_refs=None)
    part["events"].insert(4, whole["events"][4])
    assert judge(part) == (EVIDENCE_FAILS, {"event-added"})


def test_an_event_of_another_log_is_named(export, judge):
    foreign = selectors.export(log_tenant_id=2, subject_refs=None)["events"][0]
    export["events"][5] |= {"leaf": foreign["leaf"], "hash": foreign["hash"]}
    assert judge(export) == (EVIDENCE_FAILS, {"event-moved"})


def test_an_event_sealed_into_the_wrong_log_is_named(log_some, download, verdict):
    """A fault of the platform itself: the proof holds, but the event says that it belongs elsewhere."""
    (event,) = log_some(1, log=2)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditevent DISABLE TRIGGER USER")
        cursor.execute("UPDATE audit_auditevent SET log_tenant_id = 1 WHERE id = %s", [event.pk])
        cursor.execute("ALTER TABLE audit_auditevent ENABLE TRIGGER USER")
    services.seal()
    assert verdict(*download(log=1)) == (EVIDENCE_FAILS, {"event-moved"})


def test_an_older_checkpoint_in_the_place_of_the_newest_is_named(export, judge):
    export["checkpoint"] = bytes(Checkpoint.objects.get(log_tenant_id=1, size=16).note).decode()
    assert judge(export) == (EVIDENCE_FAILS, {"checkpoint-mismatch"})


def test_another_signed_note_in_the_place_of_the_checkpoint_is_named(export, judge):
    export["checkpoint"] = export["statement"]
    assert judge(export) == (EVIDENCE_FAILS, {"checkpoint-mismatch"})


@pytest.mark.parametrize("note", ["checkpoint", "statement"])
def test_a_changed_note_is_named(export, judge, note):
    export[note] = export[note].replace("24", "23", 1)
    assert judge(export) == (EVIDENCE_FAILS, {"bad-signature"})


def test_an_export_signed_again_with_another_key_is_told_apart(export, judge):
    stranger = Ed25519PrivateKey.generate()
    for note in ("checkpoint", "statement"):
        export[note] = signed_again(export[note], stranger)
    assert judge(export) == (NOT_CHECKED, {"wrong-key"})


def test_another_key_that_claims_to_be_ours_is_named(export, judge):
    ours = bytes.fromhex(selectors.verifier_key(log_tenant_id=1).split("+")[1])
    export["checkpoint"] = signed_again(export["checkpoint"], Ed25519PrivateKey.generate(), key_id=ours)
    assert judge(export) == (EVIDENCE_FAILS, {"bad-signature"})


def test_an_operator_who_deletes_a_row_is_found_out_by_the_whole_log(three_logs, download, verdict):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditevent DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM audit_auditevent WHERE log_tenant_id = 1 AND index = 5")
    with pytest.raises(LogInconsistent):  # the platform's own tree no longer closes
        download(log=1)


def test_an_operator_who_deletes_a_row_of_a_full_tile_is_found_out(log_some, download, verdict):
    log_some(300)
    services.seal()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditevent DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM audit_auditevent WHERE log_tenant_id = 1 AND index = 5")
    assert verdict(*download(log=1)) == (EVIDENCE_FAILS, {"event-missing"})


def test_an_operator_who_rewrites_a_row_is_found_out(log_some, download, verdict):
    log_some(300)
    services.seal()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditevent DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE audit_auditevent SET (leaf, leaf_hash) ="
            " (SELECT x, sha256('\\x00'::bytea || x) FROM (SELECT overlay(leaf placing 'x' from 20) AS x) AS y)"
            " WHERE index = 5"
        )
    assert verdict(*download(log=1)) == (EVIDENCE_FAILS, {"proof-mismatch"})


def forget(log):
    """An operator who has the key throws the log's past away, to sign another one."""
    with connection.cursor() as cursor:
        for table in ("audit_auditevent", "audit_checkpoint", "audit_tile"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            cursor.execute(f"DELETE FROM {table} WHERE log_tenant_id = %s", [log])  # noqa: S608 - three literals above
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.mark.parametrize(
    ("events", "named"), [(24, "history-rewritten"), (30, "history-rewritten"), (20, "log-shrunk")]
)
@pytest.mark.parametrize("subjects", [None, ["res_a"]])
def test_a_rewritten_log_is_found_out_by_an_export_that_was_kept(
    three_logs, log_some, download, verdict, events, named, subjects
):
    kept, key = download(name="kept.json")
    forget(1)
    log_some(min(events, 24), subject="res_a")
    services.seal()
    if events > 24:
        log_some(events - 24, subject="res_a")
        services.seal()
    since = [24] if events > 24 and subjects else []
    fresh, _key = download(subjects=subjects, since_sizes=since)
    assert verdict(fresh, key) == ("verified", set())
    assert verdict(fresh, key, since=kept) == (EVIDENCE_FAILS, {named})


@pytest.mark.parametrize("subjects", [None, ["res_a"]])
def test_growth_since_a_kept_export_is_proven(three_logs, log_some, download, subjects):
    kept, key = download(name="kept.json")
    log_some(3, subject="res_a")
    services.seal()
    fresh, _key = download(subjects=subjects, since_sizes=[24])
    report = chapek_verify.verify(fresh, [key], kept)
    assert report.outcome == "verified"
    assert "the log only grew since your earlier export (24 events then)" in report.checked


def test_growth_that_cannot_be_checked_is_said_and_no_failure(three_logs, log_some, download):
    kept, key = download(name="kept.json")
    log_some(3, subject="res_a")
    services.seal()
    fresh, _key = download(subjects=["res_a"])
    report = chapek_verify.verify(fresh, [key], kept)
    assert report.outcome == "verified"
    assert report.unchecked == [f"growth since {kept}: no proof from 24 events here; ask for an export since 24"]


def test_a_proof_from_a_size_that_never_was_signed_is_refused(three_logs):
    with pytest.raises(UnknownTreeSize, match="at 7"):
        selectors.export(log_tenant_id=1, subject_refs=None, since_sizes=[8, 7])


def test_a_proof_of_growth_that_was_changed_is_named(three_logs, judge):
    export = selectors.export(log_tenant_id=1, subject_refs=["res_a"], since_sizes=[8])
    export["consistency"][0]["proof"][0] = b64(bytes(32))
    assert judge(export) == (EVIDENCE_FAILS, {"consistency-mismatch"})


def test_the_last_checkpoint_of_each_past_day_comes_along(log_some, judge):
    for days in (3, 3, 2, 0):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE chapek_clock_offset SET seconds = %s", [-86400 * days])
        log_some(2)
        services.seal()
    export = selectors.export(log_tenant_id=1, subject_refs=None)
    assert [row["size"] for row in export["consistency"]] == [4, 6]
    assert judge(export) == ("verified", set())


def test_checkpoints_of_a_former_key_are_not_checked_and_no_failure(
    log_some, download, signing_key_file, settings, verdict
):
    log_some(2)
    services.seal()
    former = selectors.verifier_key(log_tenant_id=1)
    settings.CHAPEK_SIGNING_KEY_FILE = str(signing_key_file.with_name("other.pem"))
    keys._make(signing_key_file.with_name("other.pem"))
    services.adopt_signing_key(actor=system_actor(name="operator"))
    log_some(2)
    services.seal()
    path, key = download(since_sizes=[2])
    report = chapek_verify.verify(path, [key])
    assert report.outcome == "verified"
    assert len(report.unchecked) == 1
    assert chapek_verify.verify(path, [key, former]).unchecked == []
    assert verdict(path, former) == (NOT_CHECKED, {"wrong-key"})


def test_events_not_sealed_yet_are_counted_and_said(three_logs, log_some, download):
    log_some(2, subject="res_a")
    path, key = download(subjects=["res_a"])
    report = chapek_verify.verify(path, [key])
    assert report.outcome == "verified"
    assert report.unchecked == ["2 event(s) had been logged but not sealed when this was made"]


def test_a_log_never_sealed_has_no_export(log_some):
    log_some(1)
    with pytest.raises(NothingSealed):
        selectors.export(log_tenant_id=1, subject_refs=None)


def test_a_reservation_without_events_exports_an_empty_verified_list(three_logs, judge):
    assert judge(selectors.export(log_tenant_id=1, subject_refs=["res_none"])) == ("verified", set())


def test_activity_shows_a_reservation_and_what_names_it_newest_first(log_some):
    log_some(1, subject="res_a", kind="reservation.start")
    log_some(1, subject="nod_a", kind="node.deploy", reservation="res_a")
    log_some(1, subject="nod_b", kind="node.deploy", reservation="res_b")
    log_some(1, log=2, subject="nod_a", kind="node.deploy", reservation="res_a")
    shown = selectors.events_of(log_tenant_id=1, subject_refs=["res_a"])
    assert [event.kind for event in shown] == ["node.deploy", "reservation.start"]
    assert shown[0].what == "Node: deployment began"
    assert shown[0].who == "User usr_01"


# Honest faults


def test_a_download_cut_off_anywhere_is_called_that(three_logs, download, tmp_path, verdict):
    path, key = download()
    whole = Path(path).read_bytes()
    cut = tmp_path / "cut.json"
    for length in [*range(200), *random.Random(1).sample(range(200, len(whole)), 100), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        assert verdict(cut, key) == (NOT_CHECKED, {"file-truncated"}), length


def test_a_download_cut_off_inside_a_character_is_called_that(three_logs, download, tmp_path, verdict):
    path, key = download()
    text = json.dumps(json.loads(Path(path).read_text()), ensure_ascii=False).encode()
    cut = tmp_path / "cut.json"
    cut.write_bytes(text[: text.index("\N{EM DASH}".encode()) + 1])
    assert verdict(cut, key) == (NOT_CHECKED, {"file-truncated"})


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"<!doctype html><title>Sign in</title>", "file-malformed"),
        (b"[1, 2]", "file-malformed"),
        (b'{"a": }', "file-malformed"),
        (b"\xff\xfe\x00", "file-malformed"),
        (b"PK\x03\x04", "file-malformed"),
        (b'{"format": "chapek.audit.export/9"}', "unknown-format"),
        (b'{"format": "chapek.audit.export/1"}', "file-malformed"),
        (b"[" * 100_000, "file-malformed"),
    ],
)
def test_a_file_that_is_no_export_is_called_that(three_logs, tmp_path, verdict, content, named):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert verdict(path, selectors.verifier_key(log_tenant_id=1)) == (NOT_CHECKED, {named})


def test_a_file_that_is_not_there_is_called_that(three_logs, tmp_path, verdict):
    key = selectors.verifier_key(log_tenant_id=1)
    assert verdict(tmp_path / "none.json", key) == (NOT_CHECKED, {"file-unreadable"})


def test_the_key_of_another_log_is_called_a_wrong_key(three_logs, download, verdict):
    path, _key = download(log=1)
    for other in (2, None):
        assert verdict(path, selectors.verifier_key(log_tenant_id=other)) == (NOT_CHECKED, {"wrong-key"})


def test_a_key_may_come_in_a_file(three_logs, download, tmp_path, verdict):
    path, key = download()
    (tmp_path / "log.vkey").write_text(key + "\n")
    assert verdict(path, str(tmp_path / "log.vkey")) == ("verified", set())


@pytest.mark.parametrize("text", ["", "hello", "a+b+c", "-----BEGIN PUBLIC KEY-----\nMCow\n"])
def test_a_key_file_that_holds_no_key_is_called_that(three_logs, download, tmp_path, verdict, text):
    path, key = download()
    (tmp_path / "log.vkey").write_text(text)
    assert verdict(path, str(tmp_path / "log.vkey")) == (NOT_CHECKED, {"key-unreadable"})
    assert verdict(path, key[:-4] + "AAA=") == (NOT_CHECKED, {"key-unreadable"})


# Random damage


def evidence(export):
    """What the signatures cover, decoded: two files that differ only outside of it say the same."""
    rows = [
        (
            row["index"],
            base64.b64decode(row["leaf"]),
            base64.b64decode(row["hash"]),
            list(map(base64.b64decode, row["proof"])),
        )
        for row in export["events"]
    ]
    return export["format"], export["checkpoint"], export["statement"], rows


def test_no_flipped_bit_anywhere_in_the_file_goes_unnoticed(three_logs, download, tmp_path, verdict):
    path, key = download(subjects=["res_a"])
    whole = Path(path).read_bytes()
    original = evidence(json.loads(whole))
    damaged = tmp_path / "damaged.json"
    dice = random.Random(2)
    noticed = 0
    for _trial in range(1500):
        data = bytearray(whole)
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        damaged.write_bytes(data)
        outcome, _classes = verdict(damaged, key)
        if outcome == "verified":
            assert evidence(json.loads(bytes(data))) == original
        else:
            noticed += 1
    assert noticed > 1200


def test_random_changes_of_structure_never_pass_and_never_crash_the_verifier(three_logs, judge):
    """Any value in the evidence replaced by any other kind of value."""
    export = selectors.export(log_tenant_id=1, subject_refs=["res_a"], since_sizes=[8])
    dice = random.Random(3)
    for _trial in range(400):
        broken = copy.deepcopy(export)
        place, key = broken, dice.choice(["format", "checkpoint", "statement", "events", "consistency"])
        while isinstance(place[key], dict | list) and place[key] and dice.random() < 0.8:
            place = place[key]
            key = dice.choice(list(place)) if isinstance(place, dict) else dice.randrange(len(place))
        old = place[key]
        place[key] = dice.choice([None, True, -1, 2**70, 1.5, "", "x", "AAAA", [], {}, [None], [[]], {"a": 1}])
        outcome, _classes = judge(broken)
        gone = key in {"consistency", "size"} or place is broken["consistency"]
        assert outcome != "verified" or gone or place[key] == old, (key, place[key])


# The program


def test_the_verifier_needs_the_standard_library_and_cryptography_alone():
    tree = ast.parse(selectors.verifier_source())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} - sys.stdlib_module_names == {"cryptography"}


def run_program(tmp_path, *arguments):
    program = tmp_path / "chapek_verify.py"
    program.write_bytes(selectors.verifier_source())
    return subprocess.run(
        [sys.executable, "-I", str(program), *arguments],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip


def test_the_downloaded_program_says_what_it_checked(three_logs, download, tmp_path):
    path, key = download(subjects=["res_a"])
    done = run_program(tmp_path, path, "--key", key, "--show")
    assert (done.returncode, done.stderr) == (0, "")
    assert "VERIFIED. What this file shows is what was logged." in done.stdout
    assert '12 events are everything about ["res_a"]' in done.stdout
    assert done.stdout.count("2026-11-21T08:30:00Z  node.deploy  res_a  by usr_01") == 12
    assert "This does not prove:" in done.stdout


def test_the_program_answers_in_json_when_asked(three_logs, download, tmp_path):
    path, key = download(log=2)
    done = run_program(tmp_path, path, "--key", selectors.verifier_key(log_tenant_id=1), "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 2
    assert answer["outcome"] == "not-checked"
    assert [problem["class"] for problem in answer["problems"]] == ["wrong-key"]
    done = run_program(tmp_path, path, "--key", key, "--json")
    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (0, "verified")


def test_failed_evidence_exits_with_1(three_logs, download, tmp_path):
    path, key = download()
    export = json.loads(Path(path).read_text())
    del export["events"][3]
    Path(path).write_text(json.dumps(export))
    done = run_program(tmp_path, path, "--key", key)
    assert done.returncode == 1
    assert "FAILED       event-missing: Events that the platform signed for are missing from the file. [event 3]" in (
        done.stdout
    )


def test_a_fault_of_the_program_is_called_its_own(three_logs, download, monkeypatch, capsys):
    path, key = download()
    monkeypatch.setattr(chapek_verify, "check_each", lambda *_arguments: 1 / 0)
    assert chapek_verify.main([path, "--key", key]) == 3
    said = capsys.readouterr().out
    assert "its own fault and says nothing about the log" in said
    assert "NOT VERIFIED" not in said


def test_the_program_never_speaks_of_tampering():
    assert b"tamper" not in selectors.verifier_source().lower()


def test_what_a_file_says_cannot_steer_the_terminal(tmp_path, capsys):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"format": "\x1b[2J\u202e\u011b"}))
    key = notes.verifier_key(name="a", public=bytes(32))
    assert chapek_verify.main([str(path), "--key", key]) == 2
    assert "?[2J?\\u011b" in capsys.readouterr().out
