"""A lab in its own process and a tiny platform for all lab tests; plain pytest, no database."""

import os
import threading

import asyncssh
import paramiko
import pytest

from lab import artefacts, image
from lab.faults import ask
from lab.fleet import FLEETS, generate
from lab.rack import Timing, save
from tests.lab.emulator import Emulator, Platform, remove_run_directory, start_lab, stop_lab


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    directory = tmp_path_factory.mktemp("platform")
    artefacts.build(directory=directory)
    image.build(directory=directory)
    platform = Platform(directory=directory)
    server = platform.serve()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield platform
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def emulator(platform, tmp_path_factory):
    state = tmp_path_factory.mktemp("lab")
    port = 20000 + os.getpid() % 20000  # workers of one run share the addresses, not the ports
    rack = generate(
        fleet=FLEETS["small"],
        net="127.88",
        boot_url=platform.url,
        timing=Timing(post_s=0, rescue_s=0, os_s=0, off_s=0),
        redfish_port=port,
        ssh_port=port + 1,
        ipmi_port=port + 2,
    )
    save(rack=rack, path=state / "rack.json")
    own = asyncssh.generate_private_key("ssh-ed25519")
    key_file = state / "id"
    key_file.write_bytes(own.export_private_key())
    key_file.chmod(0o600)
    platform.authorized_key = own.export_public_key().decode().strip()
    process = start_lab(state)
    yield Emulator(
        state=state,
        rack=rack,
        process=process,
        platform=platform,
        key=paramiko.Ed25519Key.from_private_key_file(str(key_file)),
        key_file=key_file,
        authorized=platform.authorized_key,
    )
    stop_lab(process)
    remove_run_directory(state)


@pytest.fixture
def lab(emulator):
    """The running lab with its notes and faults cleared."""
    emulator.platform.reset()
    yield emulator
    emulator.log_out()
    for node in emulator.rack.nodes:
        ask(state=emulator.state, request={"op": "clear", "node": node.name})
