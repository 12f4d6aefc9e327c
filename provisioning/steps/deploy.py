"""Deploying: image, seed, and closing the platform's own way in."""

from datetime import timedelta
from pathlib import PurePosixPath

from django.db.models.functions import Now
from django.utils import timezone

from inventory.models import Image
from provisioning import boots, nocloud, tokens
from provisioning.errors import AccessNotClosed, ImageRejected, LeaseLost, LoginRefused, ScriptFailed, StepFailed
from provisioning.models import BootSession, Job
from provisioning.steps.base import Done, StepContext, StepResult

IMAGE_TIMEOUT_S = 1800
_CHECKSUM_DIFFERS, _NO_DRIVE = 65, 66


def write_image(ctx: StepContext) -> StepResult:
    """Streamed onto the boot drive, its checksum compared on the node. A marker there makes a second run a look."""
    image = _image(ctx)
    drive = boot_drive(ctx)
    token = tokens.new_token()
    lent = Job.objects.filter(pk=ctx.job.pk, fencing_token=ctx.lease.token, state="leased").update(
        image_token_sha256=tokens.digest(token),
        image_token_expires_at=timezone.now() + timedelta(seconds=IMAGE_TIMEOUT_S),
    )
    if not lent:
        raise LeaseLost
    try:
        ctx.rescue().run(
            "write_image",
            parameters={
                "JOB": ctx.job.ref,
                "URL": tokens.image_url(token, PurePosixPath(image.path).name),
                "SHA256": image.sha256,
                "COMPRESSION": image.compression,
                "DRIVE_SERIAL": drive,
            },
            timeout_s=IMAGE_TIMEOUT_S,
        )
    except ScriptFailed as error:
        if error.context.get("exit_status") == _CHECKSUM_DIFFERS:
            raise ImageRejected(f"image {image} does not have its checksum on arrival", image=str(image)) from error
        if error.context.get("exit_status") == _NO_DRIVE:
            raise StepFailed(f"the boot drive {drive} does not answer", drive=drive) from error
        raise

    def apply() -> None:
        Job.objects.filter(pk=ctx.job.pk).update(image_token_sha256="", image_token_expires_at=Now())

    return Done(
        detail={"image": image.code, "version": image.version, "sha256": image.sha256, "drive": drive}, apply=apply
    )


def write_seed(ctx: StepContext) -> StepResult:
    """The NoCloud partition. Written afresh each time, because its phone-home token is."""
    armed = boots.arm_installed(job=ctx.job, node=ctx.node)
    parameters = ctx.job.parameters
    seed = nocloud.build(
        instance_id=ctx.job.ref,
        hostname=parameters["hostname"],
        ssh_public_keys=parameters["ssh_public_keys"],
        deployment_key=parameters["deployment_key"],
        user_data=ctx.job.user_data(),
        phone_home_url=tokens.boot_url(armed.token, "phone-home"),
    )
    ctx.rescue().run(
        "write_seed",
        parameters={
            "JOB": ctx.job.ref,
            "META_DATA": seed.meta_data,
            "USER_DATA": seed.user_data,
            "VENDOR_DATA": seed.vendor_data,
        },
        timeout_s=120,
    )
    return Done(detail={"boot": armed.session.ref})


def close_access(ctx: StepContext) -> StepResult:
    """The one-time key is taken out, and a new log-in with it is proved to be refused."""
    key = ctx.job.parameters["deployment_key"].split()[1]
    if ctx.step.detail.get("removing"):
        # An earlier run may have come as far as removing it; then the door is shut for us too.
        try:
            ctx.installed().connect()
        except LoginRefused:
            return _closed()
    else:
        ctx.installed().connect()
        ctx.note(removing=True)
    ctx.installed().run("close_access", parameters={"KEY": key}, timeout_s=30)
    ctx.close()
    try:
        ctx.installed().connect()
    except LoginRefused:
        return _closed()
    raise AccessNotClosed("the deployment key still opens the node after it was removed")


def _closed() -> Done:
    return Done(detail={"deployment_key": "refused"})


def connection_details(ctx: StepContext) -> dict[str, object]:
    boot = ctx.boot(BootSession.Purpose.INSTALLED)
    return {"host_keys": [] if boot is None else boot.host_keys}


def boot_drive(ctx: StepContext) -> str:
    """Serial number of the drive that the system goes on: named at enrollment, else the first one listed there."""
    bill = ctx.node.hardware_bill
    serial: str = bill.get("boot_drive") or next((drive["serial"] for drive in bill.get("drives", [])), "")
    if not serial:
        raise StepFailed(
            "no boot drive is known of this node", hint="enter the drives' serial numbers and run the intake"
        )
    return serial


def _image(ctx: StepContext) -> Image:
    if ctx.job.image is None:
        raise StepFailed("the deployment names no image")
    return ctx.job.image
