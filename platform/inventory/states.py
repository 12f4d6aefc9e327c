"""The life of a node. Only ``provisioning`` fires these events (a test says so).

The only way into ``available`` is out of ``cleaning`` with a complete erase and health record (I2).
"""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from common.state_machine import Machine


class NodeState(TextChoices):
    ENROLLED = "enrolled", _("Known by its papers; nothing has been tried yet")
    VERIFYING = "verifying", _("Its BMC is being reached and its credentials checked")
    INSPECTING = "inspecting", _("Its hardware is being compared with what was enrolled")
    CLEANING = "cleaning", _("Its drives are being erased and its health checked")
    AVAILABLE = "available", _("Clean, healthy, sellable")
    DEPLOYING = "deploying", _("An image is being written and booted for a tenant")
    ACTIVE = "active", _("In a tenant's hands")
    RESCUE = "rescue", _("Booted into the rescue system for its tenant")
    RETAINED = "retained", _("Powered off, its disks kept for a tenant out of money until a deadline")
    MAINTENANCE = "maintenance", _("Taken out by the operator")
    QUARANTINED = "quarantined", _("Something is wrong; waits for the operator or a re-check")
    RETIRED = "retired", _("Gone for good")


class NodeEvent(TextChoices):
    VERIFY = "verify", _("Intake begins")
    VERIFIED = "verified", _("The BMC answers and accepts its credentials")
    INSPECTED = "inspected", _("The hardware is what was enrolled")
    CLEANED = "cleaned", _("Erase and health records are complete")
    DEPLOY = "deploy", _("A deployment begins")
    DEPLOYED = "deployed", _("The health gate is passed; handed over")
    RELEASE = "release", _("The tenant's time is over, or the deployment is given up; cleaning begins")
    ENTER_RESCUE = "enter_rescue", _("The tenant asked for the rescue system")
    LEAVE_RESCUE = "leave_rescue", _("Back from the rescue system")
    RETAIN = "retain", _("Powered off with its disks kept")
    RESUME = "resume", _("The tenant's money is back")
    CLEAN = "clean", _("Clean again, on the operator's word")
    MAINTAIN = "maintain", _("The operator takes the node out")
    QUARANTINE = "quarantine", _("A fault takes the node out")
    RETIRE = "retire", _("The node leaves the fleet")


_S, _E = NodeState, NodeEvent
NODE = Machine(
    name="node",
    states=NodeState,
    events=NodeEvent,
    table={
        (_S.ENROLLED, _E.VERIFY): _S.VERIFYING,
        (_S.QUARANTINED, _E.VERIFY): _S.VERIFYING,
        (_S.MAINTENANCE, _E.VERIFY): _S.VERIFYING,
        (_S.VERIFYING, _E.VERIFIED): _S.INSPECTING,
        (_S.INSPECTING, _E.INSPECTED): _S.CLEANING,
        (_S.CLEANING, _E.CLEANED): _S.AVAILABLE,
        (_S.AVAILABLE, _E.CLEAN): _S.CLEANING,
        (_S.AVAILABLE, _E.DEPLOY): _S.DEPLOYING,
        (_S.DEPLOYING, _E.DEPLOYED): _S.ACTIVE,
        (_S.DEPLOYING, _E.RELEASE): _S.CLEANING,
        (_S.ACTIVE, _E.RELEASE): _S.CLEANING,
        (_S.ACTIVE, _E.ENTER_RESCUE): _S.RESCUE,
        (_S.RESCUE, _E.LEAVE_RESCUE): _S.ACTIVE,
        (_S.RESCUE, _E.RELEASE): _S.CLEANING,
        (_S.ACTIVE, _E.RETAIN): _S.RETAINED,
        (_S.RETAINED, _E.RESUME): _S.ACTIVE,
        (_S.RETAINED, _E.RELEASE): _S.CLEANING,
        (_S.MAINTENANCE, _E.CLEAN): _S.CLEANING,
        (_S.QUARANTINED, _E.CLEAN): _S.CLEANING,
        (_S.ENROLLED, _E.MAINTAIN): _S.MAINTENANCE,
        (_S.AVAILABLE, _E.MAINTAIN): _S.MAINTENANCE,
        (_S.QUARANTINED, _E.MAINTAIN): _S.MAINTENANCE,
        (_S.VERIFYING, _E.QUARANTINE): _S.QUARANTINED,
        (_S.INSPECTING, _E.QUARANTINE): _S.QUARANTINED,
        (_S.CLEANING, _E.QUARANTINE): _S.QUARANTINED,
        (_S.AVAILABLE, _E.QUARANTINE): _S.QUARANTINED,
        (_S.DEPLOYING, _E.QUARANTINE): _S.QUARANTINED,
        (_S.ENROLLED, _E.RETIRE): _S.RETIRED,
        (_S.MAINTENANCE, _E.RETIRE): _S.RETIRED,
        (_S.QUARANTINED, _E.RETIRE): _S.RETIRED,
    },
)

# States in which a node's time may be promised: it will be clean again before, or is someone's now.
SELLABLE = frozenset({_S.AVAILABLE, _S.DEPLOYING, _S.ACTIVE, _S.RESCUE, _S.CLEANING})
