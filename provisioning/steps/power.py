"""Power: off as a state that is reached and seen, before anything is booted; and the tenant's own power actions."""

from provisioning.drivers.base import PowerState
from provisioning.steps.base import Done, StepContext, StepResult, Wait

SOFT_OFF_PATIENCE_S = 45
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.5, 5.0


def _look_again(ctx: StepContext) -> Wait:
    """Often at first (a virtual machine is off at once), seldom later (a server takes ten seconds)."""
    return Wait(seconds=min(_LONGEST_LOOK_S, max(_FIRST_LOOK_S, ctx.since_step_began_s() / 4)))


def power_off(ctx: StepContext) -> StepResult:
    """Off, and seen to be off: the memory of host and GPUs loses its content with the power."""
    with ctx.bmc() as bmc:
        if not bmc.power_off():
            return Done()
        if bmc.power_state() is PowerState.OFF:
            return Done()
    return _look_again(ctx)


def tenant_power(ctx: StepContext) -> StepResult:
    """What the tenant asked for: on, off (through the operating system, then hard), cycle or reset."""
    action = ctx.job.parameters["action"]
    if action == "off":
        return _soft_then_hard(ctx)
    if action == "reset":
        return _reset_once(ctx)
    if action == "cycle" and not ctx.step.detail.get("was_off"):
        off = power_off(ctx)
        if isinstance(off, Wait):
            return off
        ctx.note(was_off=True)
    with ctx.bmc() as bmc:
        bmc.power_on()
    return Done(detail={"power": "on"})


def _reset_once(ctx: StepContext) -> StepResult:
    # A reset leaves no trace to look up, so the intention is written down first: rather none than two.
    if ctx.step.detail.get("reset_sent"):
        return Done(detail={"power": "on"})
    with ctx.bmc() as bmc:
        if bmc.power_state() is PowerState.OFF:
            bmc.power_on()
            return Done(detail={"power": "on"})
        ctx.note(reset_sent=True)
        bmc.reset()
    return Done(detail={"power": "on"})


def _soft_then_hard(ctx: StepContext) -> StepResult:
    with ctx.bmc() as bmc:
        if bmc.power_state() is PowerState.OFF:
            return Done(detail={"power": "off"})
        if not ctx.step.detail.get("soft_sent"):
            ctx.note(soft_sent=True)
            bmc.power_off(soft=True)
        elif ctx.since_step_began_s() > SOFT_OFF_PATIENCE_S:
            bmc.power_off()
        if bmc.power_state() is PowerState.OFF:
            return Done(detail={"power": "off"})
    return _look_again(ctx)
