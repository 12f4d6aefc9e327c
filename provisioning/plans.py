"""Which steps each kind of job is made of, with their deadlines and how long they usually take in the field."""

from django.utils.translation import gettext_lazy as _

from provisioning.states import JobKind
from provisioning.steps import boot, deploy, erase, health, inspect, power
from provisioning.steps.base import StepSpec

_OFF = StepSpec(name="power_off", label=_("Power off"), run=power.power_off, deadline_s=300, usual_s=(2, 20))
_RESCUE = (
    StepSpec(
        name="boot_rescue", label=_("Start the rescue system"), run=boot.boot_rescue, deadline_s=120, usual_s=(2, 10)
    ),
    StepSpec(
        name="await_rescue",
        label=_("Wait for the rescue system"),
        run=boot.await_rescue,
        deadline_s=1200,
        usual_s=(150, 420),
        attempts=2,
        rewind_to="power_off",
    ),
)
_CLEANING = (
    StepSpec(
        name="erase", label=_("Erase every drive"), run=erase.erase, deadline_s=86_400, usual_s=(10, 300), attempts=2
    ),
    StepSpec(
        name="verify_erased", label=_("Read back the erase"), run=erase.verify_erased, deadline_s=600, usual_s=(2, 10)
    ),
    StepSpec(
        name="health",
        label=_("Check the GPUs"),
        run=health.health_in_rescue,
        deadline_s=900,
        usual_s=(20, 90),
        attempts=2,
    ),
    StepSpec(name="power_off_clean", label=_("Power off, clean"), run=power.power_off, deadline_s=300, usual_s=(2, 20)),
)

PLANS: dict[str, tuple[StepSpec, ...]] = {
    JobKind.INTAKE: (
        StepSpec(name="verify_bmc", label=_("Verify the BMC"), run=inspect.verify_bmc, deadline_s=120, usual_s=(1, 10)),
        _OFF,
        *_RESCUE,
        StepSpec(name="inspect", label=_("Inspect the hardware"), run=inspect.inspect, deadline_s=300, usual_s=(2, 10)),
        *_CLEANING,
    ),
    JobKind.CLEAN: (_OFF, *_RESCUE, *_CLEANING),
    JobKind.RELEASE: (_OFF, *_RESCUE, *_CLEANING),
    JobKind.DEPLOY: (
        _OFF,
        *_RESCUE,
        StepSpec(
            name="write_image", label=_("Write the image"), run=deploy.write_image, deadline_s=2400, usual_s=(20, 180)
        ),
        StepSpec(
            name="write_seed",
            label=_("Write keys and user data"),
            run=deploy.write_seed,
            deadline_s=180,
            usual_s=(1, 5),
        ),
        StepSpec(name="power_off_image", label=_("Power off"), run=power.power_off, deadline_s=300, usual_s=(2, 20)),
        StepSpec(
            name="boot_installed", label=_("Boot from disk"), run=boot.boot_installed, deadline_s=120, usual_s=(2, 10)
        ),
        StepSpec(
            name="await_installed",
            label=_("Wait for the system"),
            run=boot.await_installed,
            deadline_s=1500,
            usual_s=(180, 480),
            attempts=2,
            rewind_to="power_off",
        ),
        StepSpec(
            name="health",
            label=_("Check the GPUs"),
            run=health.health_installed,
            deadline_s=900,
            usual_s=(10, 60),
            attempts=4,
        ),
        StepSpec(
            name="close_access",
            label=_("Close our own access"),
            run=deploy.close_access,
            deadline_s=180,
            usual_s=(1, 5),
        ),
    ),
    JobKind.POWER: (
        StepSpec(
            name="power", label=_("Power action"), run=power.tenant_power, deadline_s=300, usual_s=(1, 60), attempts=2
        ),
    ),
}
# The node event that follows from a step, in the transaction that records it: (kind, step) -> event.
NODE_EVENTS: dict[tuple[str, str], str] = {
    (JobKind.INTAKE, "verify_bmc"): "verified",
    (JobKind.INTAKE, "inspect"): "inspected",
}


def spec_of(*, kind: str, position: int) -> StepSpec:
    return PLANS[kind][position]


def position_of(*, kind: str, name: str) -> int:
    return next(index for index, spec in enumerate(PLANS[kind]) if spec.name == name)


def label_of(*, kind: str, name: str) -> str:
    """What a step is called where people read it."""
    return next((str(spec.label) for spec in PLANS.get(kind, ()) if spec.name == name), name)
