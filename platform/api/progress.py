"""One picture of how a reservation goes: what ``GET progress`` answers and the event stream sends."""

import hashlib
import json
from typing import Any

from rest_framework.renderers import JSONRenderer

from api.serializers.evidence import ProgressSerializer
from provisioning import selectors as provisioning
from reservations.models import Reservation
from reservations.states import FINAL


def snapshot(*, reservation: Reservation) -> dict[str, Any]:
    """Plain JSON values; two or three queries."""
    body = {
        "id": reservation.ref,
        "state": reservation.state,
        "state_text": reservation.get_state_display(),
        "is_final": reservation.state in FINAL,
        "jobs": provisioning.progress_of(reservation_ref=reservation.ref),
    }
    plain: dict[str, Any] = json.loads(JSONRenderer().render(ProgressSerializer(body).data))
    return plain


def digest(picture: dict[str, Any]) -> str:
    """The id of a message: equal pictures have equal ids. The ETA counts down by itself, so it is left out."""
    steady = {
        **picture,
        "jobs": [{name: job[name] for name in job if not name.startswith("eta_")} for job in picture["jobs"]],
    }
    return hashlib.sha256(json.dumps(steady, sort_keys=True).encode()).hexdigest()[:20]
