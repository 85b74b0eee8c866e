"""Merkle trees against the definition in RFC 9162, written down a second time."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.segments.merkle import (
    MerkleTree,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tree_root,
    verify_inclusion,
)

entries_lists = st.lists(st.binary(max_size=8), max_size=70)


def naive_root(entries: list[bytes]) -> bytes:
    """MTH(D_n) exactly as §2.1.1 writes it."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return sha256(b"\x01" + naive_root(entries[:k]) + naive_root(entries[k:])).digest()


@given(st.lists(entries_lists, max_size=6))
def test_the_root_is_that_of_the_rfc_however_the_leaves_arrive(batches: list[list[bytes]]) -> None:
    """Leaves fed in any batches give the tree hash of the whole list."""
    tree = MerkleTree()
    for batch in batches:
        tree.add_leaves(map(leaf_hash, batch))

    everything = [entry for batch in batches for entry in batch]
    assert tree.root() == naive_root(everything)
    assert tree.size == len(everything)


def test_the_root_matches_a_known_vector() -> None:
    """The eight-leaf test tree that Certificate Transparency implementations share."""
    entries = [
        bytes.fromhex(text)
        for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
    ]

    root = tree_root(map(leaf_hash, entries))

    assert root.hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_memory_is_one_node_a_level() -> None:
    """After 100,000 leaves the tree keeps no more than 17 nodes."""
    tree = MerkleTree()
    for _ in range(100):
        tree.add_leaves([b"x" * 32] * 1000)

    assert len(tree._unpaired) == 17


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=70, unique=True), st.data())
def test_an_inclusion_proof_holds_for_its_leaf_only(entries: list[bytes], data: st.DataObject) -> None:
    """The audit path leads from the leaf to the root, and from no other leaf or place."""
    hashes = [leaf_hash(entry) for entry in entries]
    index = data.draw(st.integers(0, len(entries) - 1))
    root, path, size = tree_root(hashes), inclusion_proof(hashes, index), len(hashes)

    assert verify_inclusion(hashes[index], index, size=size, path=path, root=root)
    assert not verify_inclusion(leaf_hash(b"another"), index, size=size, path=path, root=root)
    assert not verify_inclusion(hashes[index], index, size=size, path=[*path, b"x" * 32], root=root)
    assert not verify_inclusion(hashes[index], size, size=size, path=path, root=root)
    if path:
        assert not verify_inclusion(hashes[index], index, size=size, path=path[:-1], root=root)
        assert not verify_inclusion(hashes[index], index ^ 1, size=size, path=path, root=root)


def test_a_node_is_no_leaf() -> None:
    """Prefixes keep an inner node from passing as a record (RFC 9162 §2.1.1)."""
    one, two = leaf_hash(b"1"), leaf_hash(b"2")

    assert leaf_hash(one + two) != node_hash(one, two)


def test_a_leaf_that_is_not_there_has_no_proof() -> None:
    """An index outside the tree is an error, not an empty path."""
    with pytest.raises(IndexError):
        inclusion_proof([b"x" * 32], 1)
