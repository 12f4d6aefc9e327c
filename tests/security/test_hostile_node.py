"""What a node says before its hand-over is said by a system that its tenant may have filled: cheap to read, always."""

import json
import time

import pytest

from provisioning import health
from provisioning.health import MOST_PARTS, Expected, judge
from provisioning.ssh import MAX_OUTPUT_BYTES, Output
from provisioning.views import _FILE_NAME, _HOST_KEY, _MAC

EXPECTED = Expected(gpu_count=8, gpu_model="H200", gpu_serials=frozenset())
HEAD = '<?xml version="1.0" ?><nvidia_smi_log>'


def xml(body: str) -> str:
    return f"{HEAD}{body}</nvidia_smi_log>"


def gpu(**fields: str) -> str:
    return "<gpu>" + "".join(f"<{name}>{value}</{name}>" for name, value in fields.items()) + "</gpu>"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "<processes>" * (MAX_OUTPUT_BYTES // 11),
        HEAD + "<supported_clocks><processes>" * (MAX_OUTPUT_BYTES // 29),
        xml("<gpu></gpu>" * 100_000),
        HEAD + "<gpu>" * 300_000,
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>',
        xml(gpu(temperature=f"<gpu_temp>{'9' * 5000} C</gpu_temp>") * 8),
    ],
    ids=["openings", "nested", "many", "deep", "entities", "number"],
)
def test_a_report_made_to_hurt_is_a_finding_within_seconds(text):
    began_s = time.process_time()
    report = judge({"nvidia-smi": text}, expected=EXPECTED)
    assert time.process_time() - began_s < 10
    assert not report.passed
    assert len(report.findings) <= MOST_PARTS + 1


def test_long_parts_that_say_nothing_are_left_out():
    text = xml("<processes><x/></processes>" + gpu(product_name="NVIDIA H200") * 8 + "<processes>1</processes>")
    assert judge({"nvidia-smi": text}, expected=EXPECTED).passed


def test_words_are_cut_and_cleaned():
    text = xml(gpu(product_name="H200 " + "x" * 10_000, serial="a\tb\x85c") * 8)
    report = judge({"nvidia-smi": text, "system": "6.1\x1b[31m\n"}, expected=EXPECTED)
    assert all(len(row["name"]) <= 80 and row["serial"].isprintable() for row in report.measured["gpus"])
    assert report.measured["kernel"] == "6.1[31m"


def test_xid_lines_and_tests_are_bounded():
    lines = "\n".join(f"NVRM: Xid (PCI:0000:{n:02x}:00): {'7' * 5000}" for n in range(10_000))
    tests = [{"name": f"\x00t{n}", "results": [{"status": "Fail\ud800"}]} for n in range(10_000)]
    report = judge(
        {
            "nvidia-smi": xml(gpu(product_name="H200") * 8),
            "xid": lines,
            "diagnosis": json.dumps({"DCGM Diagnostic": {"test_categories": [{"tests": tests}]}}),
        },
        expected=EXPECTED,
    )
    assert len(report.findings) <= 2 * MOST_PARTS
    assert "\\u0000" not in json.dumps([finding.evidence for finding in report.findings])


def test_deep_json_is_a_finding():
    sections = {"nvidia-smi": xml(gpu(product_name="H200") * 8), "diagnosis": "[" * 200_000}
    assert [found.kind for found in judge(sections, expected=EXPECTED).findings] == [health.Kind.DIAGNOSIS]


def test_no_zero_byte_or_control_character_of_a_script_reaches_a_column_or_a_log():
    output = Output(status=1, stdout=b"a\0b\n", stderr=b"one\ntwo\0\x1b[2J\nthree\rfour\n" + b"x" * 5000)
    assert output.text == "ab\n"
    assert output.last_words.isprintable()
    assert len(output.last_words) <= 500


@pytest.mark.parametrize(
    ("pattern", "good"),
    [
        (_MAC, "02:00:00:00:00:01"),
        (_FILE_NAME, "vmlinuz"),
        (_HOST_KEY, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPYTs8kO2U7t9sYQ0X3Y2rEJ7hLhN1Qz3o4N5u6v7w8x"),
    ],
)
def test_a_line_break_at_the_end_is_no_part_of_a_name(pattern, good):
    assert pattern.match(good)
    assert not pattern.match(good + "\n")
