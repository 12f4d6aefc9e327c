"""No datagram, however wrong, stops a BMC, changes the machine or makes it grow."""

import asyncio
import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.ipmi import IpmiServer, Limits, crypto, wire
from lab.ipmi.handshake import Account
from tests.campaigns import examples
from tests.lab.ipmi_bench import GUID, PASSWORD, USER, Machine

PEER = ("127.0.0.1", 50000)
KEY = bytes(16)

anything = st.binary(max_size=200)
headed = st.builds(lambda kind, rest: wire.RMCP_HEADER + bytes([kind]) + rest, st.sampled_from([6, 7]), anything)
enveloped = st.builds(
    lambda kind, sid, payload, tail: wire.build_v20(payload, payload_type=kind, session_id=sid) + tail,
    st.sampled_from([0, 1, 2, 0x10, 0x12, 0x14, 0x20]),
    st.sampled_from([0, 1, 0xFFFFFFFF]),
    anything,
    st.binary(max_size=40),
)


def message(net_fn, command, data):
    head = bytes([0x20, net_fn << 2])
    body = bytes([0x81, 0x04, command]) + data
    return head + bytes([wire.checksum(head)]) + body + bytes([wire.checksum(body)])


commands = st.builds(message, st.integers(0, 0x3F), st.integers(0, 0xFF), st.binary(max_size=20))
sessionless = st.one_of(commands.map(wire.build_v15), commands.map(lambda m: wire.build_v20(m, payload_type=0)))


def make_server(machine):
    return IpmiServer(
        account=Account(name=USER.encode(), password=PASSWORD.encode()),
        suites=(3, 17),
        chassis=machine,
        guid=GUID,
        limits=Limits(),
        clock=lambda: 0.0,
    )


@settings(max_examples=examples(200, full_count=20_000))
@given(st.lists(st.one_of(anything, headed, enveloped, sessionless), max_size=20))
@example([b""])
@example([wire.RMCP_HEADER + b"\x07"])
@example([wire.RMCP_HEADER + b"\x07\x06"])
def test_datagrams_from_strangers_leave_no_trace(datagrams):
    async def feed():
        machine = Machine()
        server = make_server(machine)
        for datagram in datagrams:
            server.datagram_received(datagram, PEER)
        await asyncio.gather(*server._tasks)
        assert machine.done == []
        assert len(server.sessions) <= Limits().sessions_per_peer

    asyncio.run(feed())


@settings(max_examples=examples(200, full_count=20_000))
@given(st.lists(commands, max_size=10))
def test_every_command_with_any_data_gets_an_answer_inside_an_administrator_session(messages):
    async def feed():
        server = make_server(Machine(power_on=True))
        table = server.sessions
        session = table.open(console_id=7, suite=crypto.SUITES[17], max_privilege=4, peer=PEER)
        session.keys = crypto.Keys.derive(session.suite, KEY)
        session.privilege = session.max_privilege
        sent = []
        server._send = lambda packet, _peer: sent.append(packet)
        for payload in messages:
            # Responses (odd network functions) are no business of a BMC and are dropped.
            with contextlib.suppress(wire.MalformedError):
                await server._serve_in_session(session, payload, PEER)
        assert len(sent) == sum(1 for payload in messages if not payload[1] & 0x04)
        server.close()

    asyncio.run(feed())


@given(anything)
def test_encryption_and_signature_round_trip(payload):
    suite = crypto.SUITES[17]
    assert crypto.decrypt(KEY, crypto.encrypt(KEY, payload)) == payload
    packet = wire.build_v20(payload, payload_type=0, session_id=9, sequence=4, authenticated=True)
    envelope = wire.parse(crypto.sign(suite, KEY, packet))
    assert crypto.verify(suite, KEY, envelope)
    assert not crypto.verify(suite, bytes(15) + b"\x01", envelope)
    assert envelope.payload == payload


@given(st.binary(max_size=100))
def test_garbage_never_decrypts_to_more_than_it_was(garbage):
    with contextlib.suppress(wire.MalformedError):
        assert len(crypto.decrypt(KEY, garbage)) < len(garbage)


@pytest.mark.parametrize("length", range(40))
def test_every_truncation_of_an_open_session_request_is_dropped(length):
    whole = wire.build_v20(bytes(32), payload_type=0x10)
    server = make_server(Machine())
    server.datagram_received(whole[:length], PEER)
    assert (server.dropped, len(server.sessions)) == (1, 0)
