"""One node with a fake BMC and a fake SSH: provisioning's own code runs whole, hardware is a few rows of memory.

``Rig.settle`` plays worker and clock: what waits for a time is due at once, what waits for the node stays waiting.
"""

import json
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

from django.db.models.functions import Now

from accounts.models import Tenant
from common.actors import Actor, ActorKind, system_actor
from inventory import services as inventory
from inventory.models import Image, Node
from inventory.services import (
    BmcFacts,
    DriveFacts,
    GpuModelFacts,
    ImageFacts,
    NodeFacts,
    NodeTypeFacts,
    SiteFacts,
)
from provisioning import boots, runner, services
from provisioning.drivers import fake
from provisioning.drivers.base import PowerState
from provisioning.errors import HostKeyMismatch, LoginRefused, ScriptFailed
from provisioning.models import Job
from provisioning.ssh import Output, new_key_pair, with_parameters

ACTOR = system_actor(name="test")
OPERATOR = Actor(kind=ActorKind.STAFF, ref="usr_operator")
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPYTs8kO2U7t9sYQ0X3Y2rEJ7hLhN1Qz3o4N5u6v7w8x"
DRIVES = ("D0", "D1")
GPUS = tuple(f"G{number}" for number in range(8))
_ports = count(1)


@dataclass
class Machine:
    """What the fake node does when it is switched on, and what its scripts answer. Flags break things."""

    node: Node
    bmc: fake.FakeBmc
    reports: bool = True
    phones_home: bool = True
    image_written: str = ""
    boots: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    seeds: list[dict] = field(default_factory=list)
    login_open: bool = True
    host_key_differs: bool = False
    breaks: dict[str, int] = field(default_factory=dict)
    serial: str = ""
    drives: tuple[str, ...] = DRIVES
    survivors: int = 0
    gpus: tuple[str, ...] = GPUS
    ecc_errors: int = 0

    def act(self, what: str) -> None:
        if what == "on":
            self.boot()

    def boot(self) -> None:
        device, url = self.bmc.boot
        self.bmc.boot = ("disk", "")
        self.boots.append(device)
        if device == "pxe":
            _shebang, chain, *_rest = boots.script_for_mac(mac=self.node.boot_mac).splitlines()
            url = chain.removeprefix("chain ")
        if device in {"http", "pxe"}:
            token = urlsplit(url).path.split("/")[2]
            script = boots.take_script(token=token)
            if script and self.reports:
                report = script.split("chapek.report=")[1].split()[0]
                token = urlsplit(report).path.split("/")[2]
                boots.take_report(token=token, mac=self.node.boot_mac, serial=self.node.serial, host_keys=[HOST_KEY])
        elif self.phones_home and self.seeds:
            seed = self.seeds[-1]
            self.login_open = True
            boots.take_phone_home(token=seed["token"], instance_id=seed["instance"], host_key=HOST_KEY)

    def run(self, name: str, parameters: dict) -> Output:
        self.scripts.append(name)
        status = self.breaks.get(name, 0)
        if status:
            raise ScriptFailed(f"{name} broke", script=name, exit_status=status)
        text = getattr(self, f"_{name}", lambda _parameters: "")(parameters)
        return Output(status=0, stdout=text.encode(), stderr=b"")

    def _inspect(self, _parameters: dict) -> str:
        gpus = "\n".join(f"{n}, NVIDIA H200, {s}, GPU-{n}, 143771" for n, s in enumerate(self.gpus))
        return (
            f"==serial==\n{self.serial or self.node.serial}\n==bios==\n1.0\n==processors==\n112\n"
            f"==memory==\n        total used\nMem: {2048 * 1024**3} 0\n"
            f"==links==\n{json.dumps([{'address': self.node.boot_mac}])}\n"
            f"==drives==\n{self._lsblk()}\n==gpus==\n{gpus}\n"
        )

    def _lsblk(self) -> str:
        rows = [
            {"name": f"nvme{n}n1", "path": f"/dev/nvme{n}n1", "serial": s, "model": "M", "size": 10**12, "type": "disk",
             "tran": "nvme"}
            for n, s in enumerate(self.drives)
        ]  # fmt: skip
        return json.dumps({"blockdevices": rows})

    def _drives(self, _parameters: dict) -> str:
        text = f"==drives==\n{self._lsblk()}\n"
        for number in range(len(self.drives)):
            text += f"==nvme /dev/nvme{number}n1==\n" + json.dumps({"oacs": 2, "fna": 4, "sanicap": 0}) + "\n"
        return text

    def _erase(self, parameters: dict) -> str:
        lines = [line.split() for line in parameters["DRIVES"].splitlines()]
        self.image_written = ""
        return "==drives==\n" + "".join(f"{line[1]} done 100 107\n" for line in lines)

    def _verify_erased(self, parameters: dict) -> str:
        lines = [line.split() for line in parameters["DRIVES"].splitlines()]
        return "".join(f"{line[1]} {len(line[4].split(','))} {self.survivors}\n" for line in lines)

    def _health(self, _parameters: dict) -> str:
        gpus = "".join(
            f"<gpu id='0'><product_name>NVIDIA H200</product_name><serial>{s}</serial><uuid>u</uuid>"
            f"<ecc_errors><volatile><sram_uncorrectable>{self.ecc_errors}</sram_uncorrectable></volatile></ecc_errors></gpu>"
            for s in self.gpus
        )
        return f"==system==\n6.1\n==nvidia-smi==\n<nvidia_smi_log>{gpus}</nvidia_smi_log>\n==xid==\n"

    def _write_image(self, parameters: dict) -> str:
        self.image_written = parameters["SHA256"]
        return "/dev/nvme0n1\n"

    def _write_seed(self, parameters: dict) -> str:
        import yaml

        vendor = yaml.safe_load(parameters["VENDOR_DATA"])
        meta = yaml.safe_load(parameters["META_DATA"])
        token = urlsplit(vendor["phone_home"]["url"]).path.split("/")[2]
        self.seeds.append({"token": token, "instance": meta["instance-id"], "meta": meta, "vendor": vendor,
                           "user": parameters["USER_DATA"]})  # fmt: skip
        return ""

    def _close_access(self, _parameters: dict) -> str:
        self.login_open = False
        return ""


class FakeSsh:
    """Stands for ``provisioning.ssh.Ssh``; ``machines`` maps the address to the machine."""

    machines: dict[str, Machine] = {}

    def __init__(self, *, login, check, timeout_s) -> None:
        self._login, self._check = login, check
        self._machine = self.machines[login.address]

    def connect(self) -> None:
        if self._machine.host_key_differs:
            raise HostKeyMismatch("another host key")
        if self._login.user != "root" and not self._machine.login_open:
            raise LoginRefused("not let in")

    def run(self, name, *, parameters=None, timeout_s, accept=(0,)) -> Output:
        self._check()
        self.connect()
        with_parameters("", parameters or {})
        return self._machine.run(name, dict(parameters or {}))

    def close(self) -> None:
        pass


@dataclass
class Rig:
    node: Node
    machine: Machine
    image: Image
    tenant: Tenant

    @property
    def bmc_log(self) -> list[str]:
        return self.machine.bmc.log

    def deploy(self, *, ref="res_one", user_data="") -> Job:
        return services.request_deployment(
            node=self.node,
            tenant_id=self.tenant.pk,
            reservation_ref=ref,
            image=self.image,
            hostname="alpha",
            ssh_public_keys=[new_key_pair(comment="tenant")[1]],
            user_data=user_data,
            actor=ACTOR,
        )

    def release(self, *, ref="res_one") -> Job:
        return services.request_release(node=self.node, reservation_ref=ref, actor=ACTOR, reason="done")

    def settle(self, *, rounds=80) -> None:
        """Run every job of the node until each is over or waits for news from the node."""
        for _ in range(rounds):
            due = self.jobs().filter(state__in=("ready", "waiting"), is_queued=False)
            asleep = [job for job in due if job.state == "waiting" and self._waits_for_news(job)]
            todo = [job for job in due if job not in asleep]
            if not todo:
                return
            for job in todo:
                Job.objects.filter(pk=job.pk).update(run_at=Now())
                runner.run(job_ref=job.ref)
        raise AssertionError("the job does not come to an end")

    def _waits_for_news(self, job: Job) -> bool:
        return job.deadline_at is not None and job.run_at == job.deadline_at

    def time_out(self, job: Job) -> None:
        """The present step's deadline passes."""
        Job.objects.filter(pk=job.pk).update(deadline_at="2020-01-02T00:00:00Z", run_at="2020-01-01T00:00:00Z")

    def jobs(self):
        return Job.objects.filter(node=self.node).order_by("pk")

    def refresh(self) -> Node:
        self.node.refresh_from_db()
        return self.node


def make_rig(*, number=None, driver="fake") -> Rig:
    """An enrolled node of eight H200 with two drives, its fake machine, an image and a tenant."""
    number = number or next(_ports)
    site = inventory.enroll_site(
        facts=SiteFacts(
            code="kladno", name="Kladno", city="Kladno", country="CZ", latitude="50.1", longitude="14.1",
            power_envelope_kw=1000,
        ),
        actor=ACTOR,
    )  # fmt: skip
    inventory.enroll_pool(site=site, code="kladno-one", name="Kladno One", actor=ACTOR)
    inventory.enroll_rack(site=site, code="kla-r1", power_limit_kw=80, actor=ACTOR)
    inventory.enroll_gpu_model(facts=GpuModelFacts(code="H200-SXM", memory_gib=141, tdp_w=700), actor=ACTOR)
    inventory.enroll_node_type(
        facts=NodeTypeFacts(
            code="h200-8", name="8 x H200", gpu_model="H200-SXM", gpu_count=8, cpu_cores=112, memory_gib=2048,
            drive_gib=3500, max_draw_w=10_200,
        ),
        actor=ACTOR,
    )  # fmt: skip
    image = inventory.register_image(
        facts=ImageFacts(
            code="debian-12", version="1", name="Debian 12", path="debian.raw.gz", compression="gzip",
            sha256="a" * 64, size_bytes=10, default_user="debian",
        ),
        actor=ACTOR,
    )  # fmt: skip
    node = inventory.enroll_node(facts=node_facts(number, driver=driver), actor=ACTOR).node
    bmc = fake.machine(address="192.0.2.9", port=number)
    bmc.password, bmc.serial = "right", node.serial
    machine = Machine(node=node, bmc=bmc)
    bmc.on_act = machine.act
    FakeSsh.machines[node.tenant_address] = machine
    tenant = Tenant.objects.first() or Tenant.objects.create(
        legal_name="T", country="CZ", billing_email="t@example.org"
    )
    return Rig(node=node, machine=machine, image=image, tenant=tenant)


def node_facts(number: int, **changes) -> NodeFacts:
    values = {
        "name": f"kla-h200-{number:02}", "serial": f"SN{number:04}", "site": "kladno", "rack": "kla-r1",
        "pool": "kladno-one", "node_type": "h200-8", "boot_mac": f"02:00:00:00:00:{number:02x}",
        "tenant_address": f"192.0.2.{number}", "gpu_serials": GPUS,
        "drives": tuple(DriveFacts(name=f"nvme{n}n1", serial=s, size_bytes=10**12) for n, s in enumerate(DRIVES)),
        "bmc": BmcFacts(address="192.0.2.9", port=number, username="chapek", password="right",
                        driver=changes.pop("driver", "fake")),
    }  # fmt: skip
    return NodeFacts(**{**values, **changes})


__all__ = ["ACTOR", "HOST_KEY", "OPERATOR", "FakeSsh", "Machine", "PowerState", "Rig", "make_rig", "node_facts"]
