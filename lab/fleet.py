"""Fleets for the rack file: the demonstration fleet, a small one for tests, and any number of nodes for a benchmark."""

import argparse
import secrets
import string
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.rack import IPMI, REDFISH, Bmc, Drive, Node, Rack, RackError, SshEndpoint, Timing, require_loopback, save

DEFAULT_BOOT_URL = "http://127.0.0.1:8000"
DEFAULT_NET = "127.77"
REDFISH_PORT = 8443
IPMI_PORT = 6230
SSH_PORT = 22022
NODES_PER_RACK = 4
HOSTS_PER_OCTET = 200
FIRST_HOST = 11
BMC_USER = "chapek"
TB = 10**12
GB = 10**9


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """One kind of server: eight GPUs on one board, host memory and processors to match."""

    gpu_memory_mib: int
    cpu_cores: int
    memory_gib: int
    data_drives: int = 2
    gpu_count: int = 8


HARDWARE = {
    "H200": Hardware(gpu_memory_mib=143771, cpu_cores=112, memory_gib=2048),
    "B300": Hardware(gpu_memory_mib=275040, cpu_cores=128, memory_gib=4096),
}


@dataclass(frozen=True, kw_only=True)
class SiteFleet:
    """What stands at one site: count of nodes by GPU model."""

    site: str
    prefix: str
    counts: dict[str, int]


FLEETS = {
    "demo": (
        SiteFleet(site="kladno", prefix="kla", counts={"B300": 14, "H200": 35}),
        SiteFleet(site="budapest", prefix="bud", counts={"H200": 6}),
        SiteFleet(site="warsaw", prefix="waw", counts={"H200": 6}),
        SiteFleet(site="amsterdam", prefix="ams", counts={"H200": 4, "B300": 2}),
    ),
    "small": (
        SiteFleet(site="kladno", prefix="kla", counts={"B300": 2, "H200": 2}),
        SiteFleet(site="warsaw", prefix="waw", counts={"H200": 2}),
    ),
}


def bench_fleet(*, count: int) -> tuple[SiteFleet, ...]:
    """`count` nodes of eight H200 at one site."""
    return (SiteFleet(site="kladno", prefix="kla", counts={"H200": count}),)


def generate(
    *,
    fleet: tuple[SiteFleet, ...],
    net: str = DEFAULT_NET,
    boot_url: str = DEFAULT_BOOT_URL,
    timing: Timing | None = None,
    ipmi_share: float = 0.0,
    ssh_port: int = SSH_PORT,
    redfish_port: int = REDFISH_PORT,
    ipmi_port: int = IPMI_PORT,
) -> Rack:
    """A rack with fresh random serials, MACs and BMC passwords.

    `net` is the two-octet loopback prefix of the BMCs; SSH listens in the next one. `ipmi_share` in [0, 1] of
    each site's nodes has an IPMI BMC, spread evenly. Raises RackError when the prefix is not loopback or full.
    """
    first, second = _prefix(net)
    nodes: list[Node] = []
    octet = 1
    for site in fleet:
        place = 0
        for model, count in site.counts.items():
            for number in range(1, count + 1):
                third, fourth = octet + place // HOSTS_PER_OCTET, FIRST_HOST + place % HOSTS_PER_OCTET
                if third > 255:
                    raise RackError(f"network {net} has no room for so many nodes")
                ipmi = int((place + 1) * ipmi_share) > int(place * ipmi_share)
                bmc = Bmc(
                    protocol=IPMI if ipmi else REDFISH,
                    address=f"{first}.{second}.{third}.{fourth}",
                    port=ipmi_port if ipmi else redfish_port,
                    username=BMC_USER,
                    password=_password(),
                )
                ssh = SshEndpoint(address=f"{first}.{second + 1}.{third}.{fourth}", port=ssh_port)
                name = f"{site.prefix}-{model.lower()}-{number:02d}"
                rack_name = f"{site.prefix}-r{place // NODES_PER_RACK + 1}"
                nodes.append(_new_node(name=name, site=site.site, rack=rack_name, model=model, bmc=bmc, ssh=ssh))
                place += 1
        octet += place // HOSTS_PER_OCTET + 1
    return Rack(boot_url=boot_url, timing=timing or Timing(), nodes=tuple(nodes))


def _new_node(*, name: str, site: str, rack: str, model: str, bmc: Bmc, ssh: SshEndpoint) -> Node:
    hardware = HARDWARE[model]
    drives = [Drive(name="nvme0n1", serial=_serial("S6"), model="SAMSUNG MZ1L2960HCJR-00A07", size_bytes=960 * GB)]
    drives += [
        Drive(name=f"nvme{i}n1", serial=_serial("PH"), model="SOLIDIGM SB5PH27X038T", size_bytes=38 * TB // 10)
        for i in range(1, hardware.data_drives + 1)
    ]
    return Node(
        name=name,
        site=site,
        rack=rack,
        serial=_serial("CK"),
        mac="02:" + ":".join(f"{b:02x}" for b in secrets.token_bytes(5)),
        gpu_model=model,
        gpu_count=hardware.gpu_count,
        gpu_memory_mib=hardware.gpu_memory_mib,
        gpu_serials=tuple(f"165{secrets.randbelow(10**10):010d}" for _ in range(hardware.gpu_count)),
        cpu_cores=hardware.cpu_cores,
        memory_gib=hardware.memory_gib,
        drives=tuple(drives),
        bmc=bmc,
        ssh=ssh,
    )


def _serial(prefix: str) -> str:
    return prefix + "".join(secrets.choice(string.digits + "ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(10))


def _password() -> str:
    # 18 characters: IPMI 2.0 stores at most 20 bytes.
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(18))


def _prefix(net: str) -> tuple[int, int]:
    parts = net.split(".")
    if len(parts) != 2 or not all(p.isdigit() for p in parts) or int(parts[1]) > 254:
        raise RackError(f"network {net!r}: two octets expected, such as {DEFAULT_NET}")
    require_loopback(address=f"{net}.1.1", what=f"network {net}")
    return int(parts[0]), int(parts[1])


def main(argv: list[str] | None = None) -> int:
    """`python -m lab.rack generate ...`: write a rack file and say what is in it."""
    parser = argparse.ArgumentParser(prog="python -m lab.rack", description="Rack files of the emulated rack.")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("generate", help="write a rack file with fresh random serials and BMC passwords")
    make.add_argument("--out", type=Path, required=True)
    make.add_argument("--fleet", choices=sorted(FLEETS), default="demo")
    make.add_argument("--count", type=int, help="instead of a fleet: this many nodes of eight H200 at one site")
    make.add_argument("--ipmi", choices=("none", "some", "all"), default="none", help="which BMCs speak IPMI")
    make.add_argument("--net", default=DEFAULT_NET, help="two-octet loopback prefix of the BMCs; SSH takes the next")
    make.add_argument("--boot-url", default=DEFAULT_BOOT_URL)
    make.add_argument("--instant", action="store_true", help="all boot times 0, for tests and benchmarks")
    options = parser.parse_args(argv)
    fleet = bench_fleet(count=options.count) if options.count else FLEETS[options.fleet]
    timing = Timing(post_s=0, rescue_s=0, os_s=0, off_s=0) if options.instant else Timing()
    share = {"none": 0.0, "some": 0.25, "all": 1.0}[options.ipmi]
    try:
        rack = generate(fleet=fleet, net=options.net, boot_url=options.boot_url, timing=timing, ipmi_share=share)
        save(rack=rack, path=options.out)
    except (RackError, OSError) as error:
        sys.stderr.write(f"lab.rack: {error}\n")
        return 1
    by_protocol = {p: sum(n.bmc.protocol == p for n in rack.nodes) for p in (REDFISH, IPMI)}
    sys.stdout.write(f"{options.out}: {len(rack.nodes)} nodes, BMCs: {by_protocol}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
