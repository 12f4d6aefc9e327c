"""User data comes from anybody and is read by the platform before it is written anywhere."""

import time

import pytest

from common.errors import InvalidRequest
from provisioning.nocloud import check_user_data

HEAD = "#cloud-config\n"
MERGE_BOMB = HEAD + "a0: &a0 {k: v}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 30)
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        MERGE_BOMB,
        HEAD + "a: " + "1" * 5000,
        HEAD + "a: 2026-99-99",
        HEAD + "a: &x [*x]",
        HEAD + "a: !!python/object/apply:os.system [id]",
        HEAD + "users: [default]\nruncmd:\n  - [echo, hello]\n",
        HEAD,
        HEAD + "# nothing but words\n",
        "#!/bin/sh\necho phone_home\n",
        "",
    ],
    ids=["merges", "number", "date", "loop", "object", "honest", "empty", "comment", "script", "none"],
)
def test_what_only_the_node_will_read_is_not_built_here(text):
    began_s = time.process_time()
    check_user_data(text)
    assert time.process_time() - began_s < 2


@pytest.mark.parametrize(
    "text",
    [
        "phone_home: {url: http://x}",
        '"phone\\x5fhome": 1',
        "? phone_home\n: 1",
        "b: &k phone_home\n*k : 1",
        "x: &x {phone_home: 1}\n<<: *x",
        "a: 1\n---\nphone_home: 1",
        "[1, 2]",
        "just words",
        "a: " + "[" * 60_000,
        "a: " + "{a: " * 10_000,
        "a: [",
        "\x07",
    ],
)
def test_what_would_cut_the_platform_off_or_cannot_be_read_is_refused(text):
    began_s = time.process_time()
    with pytest.raises(InvalidRequest) as refused:
        check_user_data(HEAD + text)
    assert time.process_time() - began_s < 2
    assert refused.value.context == {"field": "user_data"}
    assert refused.value.__cause__ is None, "the parser's error repeats the text"
