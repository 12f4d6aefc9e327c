"""Published vectors: RFC 6962 (Certificate Transparency's tree of eight leaves) and C2SP signed notes."""

import hashlib
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.audit import merkle, notes
from compliance.verifier import chapek_verify as verifier
from tests.campaigns import examples

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


@cache
def leaf(number):
    return verifier.leaf_hash(LEAVES[number] if number < len(LEAVES) else str(number).encode())


def mth(start, end):
    """The recursive definition of RFC 6962, section 2.1, word for word."""
    if end - start == 0:
        return hashlib.sha256(b"").digest()
    if end - start == 1:
        return leaf(start)
    k = 1
    while k * 2 < end - start:
        k *= 2
    return hashlib.sha256(b"\x01" + mth(start, start + k) + mth(start + k, end)).digest()


def read(node):
    level, index = node
    return mth(index << level, (index + 1) << level)


def frontier_of(size):
    frontier = merkle.Frontier()
    for number in range(size):
        frontier.append(leaf(number))
    return frontier


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_published_ones(size):
    assert frontier_of(size).root.hex() == ROOTS[size - 1]
    assert verifier.tree_root([leaf(number) for number in range(size)]).hex() == ROOTS[size - 1]


def test_root_of_nothing_is_the_hash_of_nothing():
    assert merkle.Frontier().root.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert verifier.tree_root([]) == merkle.EMPTY_ROOT


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_the_published_ones(index, size):
    proof = merkle.resolve(merkle.inclusion_path(index, size), read)
    assert [value.hex() for value in proof] == INCLUSION[index, size]
    assert verifier.root_from_inclusion(index, size, leaf(index), proof).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("first", "second"), CONSISTENCY)
def test_consistency_proofs_are_the_published_ones(first, second):
    proof = merkle.resolve(merkle.consistency_path(first, second), read)
    assert [value.hex() for value in proof] == CONSISTENCY[first, second]
    assert verifier.consistent(first, second, mth(0, first), mth(0, second), proof)


def test_every_proof_of_small_trees_verifies_and_no_other_does():
    for size in range(1, 34):
        root = mth(0, size)
        assert frontier_of(size).root == root
        for index in range(size):
            proof = merkle.resolve(merkle.inclusion_path(index, size), read)
            assert verifier.root_from_inclusion(index, size, leaf(index), proof) == root
            assert verifier.root_from_inclusion(index, size, leaf(index + 1), proof) != root
            assert verifier.root_from_inclusion(index, size, leaf(index), [*proof, root]) is None
            if proof:
                assert verifier.root_from_inclusion(index, size, leaf(index), proof[:-1]) != root
        for first in range(1, size + 1):
            proof = merkle.resolve(merkle.consistency_path(first, size), read)
            assert verifier.consistent(first, size, mth(0, first), root, proof)
            assert not verifier.consistent(first, size, mth(0, first - 1), root, proof)
            assert not verifier.consistent(first, size, mth(0, first), mth(0, size + 1), proof)
            if first < size:
                assert not verifier.consistent(first, size, mth(0, first), root, proof[:-1])
                assert not verifier.consistent(first, size, mth(0, first), root, [*proof, root])


@settings(max_examples=examples(60, full_count=2000))
@given(data=st.data())
def test_proofs_verify_in_trees_of_any_size(data):
    size = data.draw(st.integers(min_value=1, max_value=1500))
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    first = data.draw(st.integers(min_value=1, max_value=size))
    root = frontier_of(size).root
    proof = merkle.resolve(merkle.inclusion_path(index, size), read)
    assert verifier.root_from_inclusion(index, size, leaf(index), proof) == root
    proof = merkle.resolve(merkle.consistency_path(first, size), read)
    assert verifier.consistent(first, size, frontier_of(first).root, root, proof)


def test_a_published_signed_note_opens_with_its_published_key():
    """The example of Go's module golang.org/x/mod/sumdb/note, where the format comes from."""
    key = verifier.Key.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )  # fmt: skip
    note = (
        text + "\n\N{EM DASH} PeterNeumann "
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert verifier.open_note(note, [key], "note") == (text, key)
    with pytest.raises(verifier.Problem) as caught:
        verifier.open_note(note.replace("answer", "question"), [key], "note")
    assert caught.value.code == "bad-signature"


def test_a_note_we_sign_has_the_form_of_a_checkpoint():
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    text = notes.checkpoint_text(origin="chapek/00/platform", size=3, root=bytes(32))
    note = notes.sign(text=text, name="chapek/00/platform", key=key)
    lines = note.split("\n")
    assert lines[:4] == ["chapek/00/platform", "3", "A" * 43 + "=", ""]
    assert lines[4].startswith("\N{EM DASH} chapek/00/platform ")
    assert lines[5:] == [""]
    vkey = notes.verifier_key(name="chapek/00/platform", public=key.public_key().public_bytes_raw())
    assert verifier.open_note(note, [verifier.Key.parse(vkey)], "note")[0] == text
