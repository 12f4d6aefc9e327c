"""News from below. Each runs in the dispatcher's transaction and may run again: it looks at the state first."""

from common.outbox import Event
from reservations import services


def on_node_deployed(event: Event) -> None:
    services.node_deployed(
        reservation_ref=event.payload["reservation_ref"],
        node_id=event.payload["node_id"],
        occurred_at=event.occurred_at,
    )


def on_node_deployment_failed(event: Event) -> None:
    services.node_deployment_failed(
        reservation_ref=event.payload["reservation_ref"],
        node_id=event.payload["node_id"],
        reason=event.payload["reason"],
    )


def on_node_cleaned(event: Event) -> None:
    if event.payload.get("reservation_ref"):
        services.node_cleaned(
            reservation_ref=event.payload["reservation_ref"],
            node_id=event.payload["node_id"],
            occurred_at=event.occurred_at,
        )


def on_money_exhausted(event: Event) -> None:
    services.exhaust(reservation_ref=event.payload["reservation_ref"])
