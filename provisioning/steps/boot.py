"""Booting: into the rescue system over the network, or from disk. Always from power off, so that nothing is ambiguous.

The step before has seen the power off. So here "power is on" can mean one thing only: an earlier run of this same step
has armed the boot and switched on, and there is nothing left to do.
"""

from provisioning import boots, tokens
from provisioning.drivers.base import PowerState
from provisioning.errors import BootContested
from provisioning.models import BootSession
from provisioning.steps.base import Done, StepContext, StepResult, Wait


def boot_rescue(ctx: StepContext) -> StepResult:
    boot = ctx.boot(BootSession.Purpose.RESCUE)
    if boot is not None and boot.fetched_at is not None and ctx.step.detail.get("armed") == boot.ref:
        return Done(detail={"boot": boot.ref})
    with ctx.bmc() as bmc:
        if ctx.step.detail.get("armed") and bmc.power_state() is PowerState.ON:
            return Done(detail={"boot": ctx.step.detail["armed"]})
        ctx.check()
        armed = boots.arm_rescue(job=ctx.job, node=ctx.node)
        by_url = bmc.boot_from_network(url=tokens.boot_url(armed.token, "ipxe.efi"))
        if not by_url:
            boots.allow_by_mac(boot=armed.session)
        ctx.note(armed=armed.session.ref)
        bmc.power_on()
    return Done(detail={"boot": armed.session.ref, "by": "url" if by_url else "mac"})


def await_rescue(ctx: StepContext) -> StepResult:
    """Done when the rescue system has reported; its report wakes the job."""
    boot = ctx.boot(BootSession.Purpose.RESCUE)
    if boot is None:
        raise BootContested("somebody else asked for the boot that was armed for this node")
    if boot.reported_at is None:
        return Wait()
    return Done(detail={"boot": boot.ref, "host_keys": boot.host_keys})


def boot_installed(ctx: StepContext) -> StepResult:
    """From disk, after the seed was written and the power was seen off."""
    with ctx.bmc() as bmc:
        if bmc.power_state() is PowerState.OFF:
            bmc.boot_from_disk()
            bmc.power_on()
    return Done()


def await_installed(ctx: StepContext) -> StepResult:
    """Done when cloud-init has phoned home with the host key; its call wakes the job."""
    boot = ctx.boot(BootSession.Purpose.INSTALLED)
    if boot is None or boot.reported_at is None:
        return Wait()
    return Done(detail={"host_keys": boot.host_keys})
