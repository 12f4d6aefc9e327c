"""Sealing: contiguous places, one history, survivable at any point."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as fixed
from hypothesis import strategies as st

from common.actors import system_actor
from compliance.audit import keys, merkle, selectors, sequencer, services
from compliance.audit.errors import LogInconsistent, NothingSealed, SequencerBusy, SigningKeyUnusable
from compliance.audit.merkle import Frontier
from compliance.audit.models import AuditEvent, Checkpoint, SigningKey, Tile
from compliance.audit.tasks import seal as seal_task
from tests.campaigns import examples


def places(log=1):
    return list(AuditEvent.objects.filter(log_tenant_id=log).order_by("id").values_list("index", flat=True))


def head(log=1):
    return Checkpoint.objects.filter(log_tenant_id=log).order_by("-size").first()


def root_of_leaves(log=1):
    frontier = Frontier()
    for value in AuditEvent.objects.filter(log_tenant_id=log).order_by("index").values_list("leaf_hash", flat=True):
        frontier.append(bytes(value))
    return frontier.root


@pytest.mark.django_db
def test_each_log_counts_from_zero_and_has_its_own_checkpoint(log_some):
    log_some(3, log=1)
    log_some(2, log=None)
    log_some(1, log=1)
    assert services.seal() == 6
    assert places(1) == [0, 1, 2, 3]
    assert places(None) == [0, 1]
    assert [(row.log_tenant_id, row.size) for row in Checkpoint.objects.order_by("size")] == [(None, 2), (1, 4)]
    assert bytes(head(1).root) == root_of_leaves(1)
    assert bytes(head(None).root) == root_of_leaves(None)


@pytest.mark.django_db
def test_sealing_twice_changes_nothing(log_some):
    log_some(3)
    assert services.seal() == 3
    assert services.seal() == 0
    assert Checkpoint.objects.count() == 1


@pytest.mark.django_db
def test_the_task_seals(log_some):
    log_some(3)
    seal_task()
    assert places() == [0, 1, 2]


@pytest.mark.django_db
def test_many_logs_are_sealed_by_a_number_of_statements_that_does_not_grow(log_some, django_assert_max_num_queries):
    for log in range(1, 40):
        log_some(1, log=log)
    with django_assert_max_num_queries(20):
        assert services.seal() == 39


@pytest.mark.django_db
@pytest.mark.parametrize("steps", [[255, 1, 1], [256], [257, 255], [700, 100], [1, 600, 300]])
def test_full_tiles_hold_the_leaf_hashes_in_order(log_some, steps):
    for step in steps:
        log_some(step)
        services.seal()
    total = sum(steps)
    leaves = [bytes(value) for value in AuditEvent.objects.order_by("index").values_list("leaf_hash", flat=True)]
    tiles = list(Tile.objects.order_by("index"))
    assert [(tile.level, tile.index) for tile in tiles] == [(0, index) for index in range(total // 256)]
    for tile in tiles:
        assert bytes(tile.hashes) == b"".join(leaves[tile.index * 256 : tile.index * 256 + 256])
        assert bytes(tile.root) == merkle.fold(leaves[tile.index * 256 : tile.index * 256 + 256])
    assert bytes(head().root) == root_of_leaves()


@pytest.mark.django_db(transaction=True)
def test_a_second_level_of_tiles_is_built_and_proves(download, verdict, monkeypatch):
    """65 536 leaves written by the database itself: the second tile level, without a minute of single inserts."""
    monkeypatch.setattr("compliance.audit.sequencer.BATCH", 50_000)
    count = 65_536 + 300
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_auditevent (ref, log_tenant_id, kind, subject_ref, context_ref, actor_kind, actor_ref,"
            " actor_role, request_id, occurred_at, leaf, leaf_hash)"
            " SELECT 'evt_' || n, 1, 'a.b', CASE WHEN mod(n, 9973) = 0 THEN 'res_a' ELSE 'res_b' END, '', 'system',"
            " 's', '', '', now(), l, sha256('\\x00'::bytea || l) FROM generate_series(1, %s) AS n,"
            ' LATERAL (SELECT convert_to(format(\'{"origin":"%%s","n":%%s}\', %s::text, n), \'UTF8\') AS l) AS x',
            [count, f"chapek/{selectors.payload.installation()}/tenant/1"],
        )
    assert services.seal() == count
    assert Tile.objects.filter(level=0).count() == 257
    assert Tile.objects.filter(level=1).count() == 1
    assert bytes(head().root) == root_of_leaves()
    path, key = download(subjects=["res_a"])
    assert verdict(path, key) == ("verified", set())
    path, key = download()  # the whole log, proven by all its hashes together
    assert verdict(path, key) == ("verified", set())


@pytest.mark.django_db(transaction=True)
def test_uncommitted_events_wait_and_get_a_later_place(log_some):
    recorded, go_on = threading.Event(), threading.Event()

    def slow_writer():
        try:
            with transaction.atomic():
                services.record(
                    log_tenant_id=1, kind="a.slow", subject_ref="x", actor=system_actor(name="t"), details={},
                    at=sequencer.database_now(),
                )  # fmt: skip
                recorded.set()
                assert go_on.wait(20)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(slow_writer)
        assert recorded.wait(20)
        log_some(2)
        assert services.seal() == 2
        go_on.set()
        writer.result(20)
    assert services.seal() == 1
    assert places() == [2, 0, 1]


@pytest.mark.django_db(transaction=True)
def test_a_second_sequencer_waits_a_bounded_time_or_not_at_all(log_some, monkeypatch):
    monkeypatch.setattr(sequencer, "LOCK_WAIT_MS", 50)
    log_some(1)
    held, go_on = threading.Event(), threading.Event()

    def other():
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [sequencer.LOCK])
                held.set()
                assert go_on.wait(20)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(other)
        assert held.wait(20)
        assert services.seal(wait=False) == 0
        with pytest.raises(SequencerBusy):
            services.seal()
        go_on.set()
        first.result(20)
    assert services.seal(wait=False) == 1


@pytest.mark.django_db(transaction=True)
def test_sealing_refuses_to_run_inside_a_transaction(log_some):
    log_some(1)
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        services.seal()
    assert Checkpoint.objects.count() == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", ["_heads", "_grow", "_write", "Checkpoint.objects.bulk_create"])
def test_a_kill_at_any_step_leaves_the_old_checkpoint_or_the_new_one(log_some, monkeypatch, step):
    """The sequencer's connection is cut by the server in the middle, as when its process is killed."""
    log_some(300)
    services.seal()
    old = head()
    log_some(300)
    *owner, name = step.split(".")
    target = sequencer if not owner else Checkpoint.objects
    whole = getattr(target, name)

    def cut_after(*args, **options):
        result = whole(*args, **options)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return result

    with monkeypatch.context() as patched:
        patched.setattr(target, name, cut_after)
        with pytest.raises(OperationalError):
            services.seal()
    connection.close()
    assert head().pk == old.pk
    assert places() == [*range(300), *[None] * 300]
    assert Tile.objects.count() == 1
    assert services.seal() == 300
    assert places() == list(range(600))
    assert bytes(head().root) == root_of_leaves()


@pytest.mark.django_db(transaction=True)
@fixed(max_examples=examples(5, full_count=100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=st.lists(
        st.lists(st.tuples(st.sampled_from([None, 1, 2, 3]), st.integers(1, 40), st.booleans()), max_size=8),
        min_size=2,
        max_size=4,
    )
)
def test_concurrent_writers_and_sequencers_leave_contiguous_logs_without_a_fork(plan, log_some, download, verdict):
    """Each list is one writer's life: events for a log, and whether it seals (in competition) after its commit."""
    start = threading.Barrier(len(plan))
    before = {log: AuditEvent.objects.filter(log_tenant_id=log).count() for log in (None, 1, 2, 3)}

    def writer(steps):
        try:
            start.wait(20)
            for log, count, seals in steps:
                log_some(count, log=log, subject=f"res_{count % 3}")
                if seals:
                    services.seal(wait=count % 2 == 0)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(plan)) as pool:
        for life in [pool.submit(writer, steps) for steps in plan]:
            life.result(60)
    services.seal()
    for log in (None, 1, 2, 3):
        expected = before[log] + sum(count for steps in plan for at, count, _seals in steps if at == log)
        assert sorted(places(log)) == list(range(expected))
        if expected:
            assert head(log).size == expected
            assert bytes(head(log).root) == root_of_leaves(log)
            sizes = list(Checkpoint.objects.filter(log_tenant_id=log, size__lt=expected).values_list("size", flat=True))
            for subjects in (None, ["res_0"], ["res_1", "res_2"]):
                path, key = download(log=log, subjects=subjects, since_sizes=sizes)
                assert verdict(path, key) == ("verified", set())


@pytest.mark.django_db
def test_a_log_whose_past_was_changed_is_not_signed_again_and_holds_up_no_other(log_some):
    log_some(3, log=1)
    log_some(3, log=2)
    services.seal()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_checkpoint DISABLE TRIGGER USER")
        cursor.execute("UPDATE audit_checkpoint SET root = sha256('x') WHERE log_tenant_id = 1")
        cursor.execute("ALTER TABLE audit_checkpoint ENABLE TRIGGER USER")
    log_some(2, log=1)
    log_some(2, log=2)
    with pytest.raises(LogInconsistent, match=r"tenant 1$"):
        services.seal()
    assert places(1) == [0, 1, 2, None, None]
    assert places(2) == [0, 1, 2, 3, 4]


@pytest.mark.django_db
def test_a_changed_leaf_hash_stops_the_log_when_its_tile_is_completed(log_some):
    log_some(200)
    services.seal()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditevent DISABLE TRIGGER USER")
        cursor.execute("ALTER TABLE audit_auditevent DROP CONSTRAINT audit_hash_of_leaf")
        cursor.execute("UPDATE audit_auditevent SET leaf_hash = sha256('x') WHERE index = 17")
    log_some(100)
    with pytest.raises(LogInconsistent, match="tenant 1"):
        services.seal()
    assert head().size == 200


@pytest.mark.django_db
def test_an_event_put_into_a_place_by_hand_stops_only_its_log(log_some):
    log_some(2, log=1)
    log_some(2, log=2)
    services.seal()
    log_some(2, log=1)
    log_some(2, log=2)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE audit_auditevent SET index = 2 WHERE id ="
            " (SELECT max(id) FROM audit_auditevent WHERE log_tenant_id = 1)"
        )
    with pytest.raises(LogInconsistent, match=r"tenant 1$"):
        services.seal()
    assert places(2) == [0, 1, 2, 3]
    assert head(1).size == 2


@pytest.mark.django_db
def test_the_signing_key_is_made_at_first_use_for_its_owner_alone(log_some, signing_key_file):
    with pytest.raises(NothingSealed):
        selectors.verifier_key(log_tenant_id=1)
    log_some()
    services.seal()
    assert signing_key_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in signing_key_file.parent.iterdir()] == ["signing.pem"]
    assert bytes(SigningKey.objects.get().public) == keys.read_key(signing_key_file).public_key().public_bytes_raw()


def test_of_many_processes_that_make_the_key_at_once_one_counts(tmp_path):
    path = tmp_path / "new" / "key.pem"
    start = threading.Barrier(8)

    def make(_number):
        start.wait(20)
        keys._make(path)
        return path.read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(make, range(8)))) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("content", [None, "", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_lost_signing_key_is_never_replaced_in_silence(log_some, signing_key_file, content):
    log_some()
    services.seal()
    signing_key_file.unlink()
    if content is not None:
        signing_key_file.write_text(content)
    log_some()
    with pytest.raises(SigningKeyUnusable):
        services.seal()
    assert head().size == 1


@pytest.mark.django_db
def test_another_signing_key_signs_only_after_it_was_announced_in_the_log(log_some, signing_key_file, settings):
    log_some()
    services.seal()
    old = selectors.verifier_key(log_tenant_id=1)
    other = signing_key_file.with_name("other.pem")
    keys._make(other)
    settings.CHAPEK_SIGNING_KEY_FILE = str(other)
    log_some()
    with pytest.raises(SigningKeyUnusable, match="another key"):
        services.seal()
    services.adopt_signing_key(actor=system_actor(name="operator"))
    assert services.seal() == 2
    assert selectors.verifier_key(log_tenant_id=1) != old
    event = AuditEvent.objects.get(log_tenant_id=None)
    assert event.kind == "audit.signing_key"
    assert event.details == {"public": keys.read_key(other).public_key().public_bytes_raw().hex()}
