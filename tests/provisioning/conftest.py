import base64
import json
import secrets

import pytest

from provisioning.drivers import fake
from tests.provisioning.rig import FakeSsh, make_rig


@pytest.fixture(autouse=True)
def _hardware(monkeypatch):
    """SSH and BMC in memory, a keyring in the environment, and no broker: tests call the worker themselves."""
    keyring = {"active": "k1", "keys": {"k1": base64.b64encode(secrets.token_bytes(32)).decode()}}
    monkeypatch.setenv("CHAPEK_KEYRING", json.dumps(keyring))
    monkeypatch.setattr("provisioning.steps.base.Ssh", FakeSsh)
    monkeypatch.setattr("provisioning.wake.wake", lambda **_: None)
    monkeypatch.setattr("provisioning.runner.wake", lambda **_: None)
    monkeypatch.setattr("provisioning.progress._send", lambda _ref: None)
    # The keeper has a connection of its own, which sees nothing of a test's transaction.
    monkeypatch.setattr("provisioning.leases.keeper.hold", lambda _lease: lambda: None)
    FakeSsh.machines.clear()
    fake.forget_all()


@pytest.fixture
def enrolled(db):
    """A node known by its papers."""
    return make_rig()


@pytest.fixture
def rig(enrolled):
    """A node that intake has made available."""
    from provisioning import services
    from tests.provisioning.rig import ACTOR

    services.request_intake(node=enrolled.node, actor=ACTOR)
    enrolled.settle()
    assert enrolled.refresh().state == "available", enrolled.node.state_reason
    enrolled.bmc_log.clear()
    enrolled.machine.scripts.clear()
    enrolled.machine.boots.clear()
    return enrolled
