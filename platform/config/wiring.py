"""Which room listens to which event, and who fills which port: all of it on this screen."""

from typing import Any

from common import outbox


def connect() -> None:
    """Called once when Django is ready."""
    from billing import handlers as billing
    from common.tasks import dispatch_outbox
    from reservations import handlers as reservations

    _figures()
    outbox.register_wake(lambda: _wake(dispatch_outbox))

    outbox.subscribe(kind="tenant.created", handler=billing.on_tenant_created)
    outbox.subscribe(kind="node.deployed", handler=reservations.on_node_deployed)
    outbox.subscribe(kind="node.deployment_failed", handler=reservations.on_node_deployment_failed)
    outbox.subscribe(kind="node.cleaned", handler=reservations.on_node_cleaned)
    outbox.subscribe(kind="money.exhausted", handler=reservations.on_money_exhausted)


def _figures() -> None:
    """What /metrics shows of each room."""
    from billing import metrics as billing
    from common import metrics as common
    from compliance.audit import metrics as audit
    from observability.metrics import register
    from provisioning import metrics as provisioning
    from reservations import metrics as reservations

    register(name="outbox", source=common.gauges)
    register(name="audit", source=audit.gauges)
    register(name="provisioning", source=provisioning.gauges)
    register(name="billing", source=billing.gauges)
    register(name="reservations", source=reservations.gauges)


def _wake(task: Any) -> None:
    """A broker that does not answer costs seconds, not the request: beat rings every two."""
    import structlog
    from kombu.exceptions import OperationalError

    try:
        task.apply_async(ignore_result=True, retry=False)
    except (OperationalError, OSError) as error:
        structlog.get_logger(__name__).warning("broker unreachable; beat will wake the dispatcher", error=str(error))
