"""One YAML file of an original's configuration: what its values mean, and what is refused in it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lapse.dialects.yamlfile import plain, read
from lapse.errors import Complaint


def told(folder: Path, text: str, *, merging: bool = False) -> tuple[Any, list[str]]:
    """The data of a file, and what is wrong with it and where."""
    file, complaints = folder / "config.yml", list[Complaint]()
    file.write_text(text, encoding="utf-8")
    tree = read(file, complaints, merging=merging)
    return plain(tree), [f"{each.origin.line}:{each.origin.column} {each.message}" for each in complaints]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("off", False),
        ("010", 8),
        ("1:30", 90),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("2026-01-02", date(2026, 1, 2)),
        ("'010'", "010"),
        ("~", None),
        ("", None),
        ("!!str 5", "5"),
        ("!!binary YQ==", b"a"),
        ("[1, {b: c}]", [1, {"b": "c"}]),
    ],
)
def test_values_mean_what_they_mean_to_the_originals(tmp_path: Path, text: str, value: object) -> None:
    """They are of YAML 1.1."""
    assert told(tmp_path, f"key: {text}\n") == ({"key": value}, [])


def test_a_key_may_look_like_a_value(tmp_path: Path) -> None:
    """The originals pass over keys that they do not know, whatever they are."""
    assert told(tmp_path, "~: 1\n5: 2\nyes: 3\n") == ({"~": 1, "5": 2, "yes": 3}, [])


@pytest.mark.parametrize("value", ["!!python/object/apply:os.system [id]", "!mine x", "!mine {a: b}"])
def test_a_tag_is_one_complaint(tmp_path: Path, value: str) -> None:
    """Nothing is made of it."""
    _, wrong = told(tmp_path, f"key: {value}\n")

    assert len(wrong) == 1
    assert wrong[0].startswith("1:6 the tag `!")


def test_a_tag_that_its_value_does_not_fit_is_a_complaint(tmp_path: Path) -> None:
    """It names the value."""
    _, wrong = told(tmp_path, "key: !!int five\n")

    assert [text.partition(" cannot")[0] for text in wrong] == ["1:6 `five`"]


def test_of_merged_mappings_the_first_counts_and_own_keys_before_all(tmp_path: Path) -> None:
    """As YAML 1.1 says it."""
    text = "a: &a {x: 1, y: 1}\nb: &b {x: 2, y: 2, z: 2}\nboth: {<<: [*a, *b], x: 3}\n"

    data, wrong = told(tmp_path, text, merging=True)

    assert (data["both"], wrong) == ({"x": 3, "y": 1, "z": 2}, [])


def test_merge_keys_that_nobody_asked_for_are_a_complaint(tmp_path: Path) -> None:
    """They are not taken for a key either."""
    data, wrong = told(tmp_path, "a: &a {x: 1}\nb: {<<: *a}\n")

    assert (data, wrong) == ({"a": {"x": 1}, "b": {}}, ["2:5 merge keys (`<<`) are not supported"])


@pytest.mark.parametrize("merging", [False, True])
def test_aliases_cannot_stand_for_more_than_there_is_memory(tmp_path: Path, merging: bool) -> None:
    """A few lines that stand for billions are one complaint, soon."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    _, wrong = told(tmp_path, "\n".join(lines), merging=merging)

    assert [text.partition(" ")[2] for text in wrong] == ["this grows beyond all bounds through its aliases"]


def test_what_contains_itself_is_a_complaint(tmp_path: Path) -> None:
    """It names the place."""
    assert told(tmp_path, "key: &a [*a]\n")[1] == ["1:6 this contains itself"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: 1\n  b: 2\n", "2:"),
        ("a: \x07\n", "1:4 "),
        ("[" * 5000, "1:1 this is nested too deeply"),
        ("? [a]\n: b\n", "1:3 "),
    ],
)
def test_what_is_no_configuration_is_a_complaint_with_its_place(tmp_path: Path, text: str, where: str) -> None:
    """It leaves no keys."""
    data, wrong = told(tmp_path, text)

    assert data == {}
    assert len(wrong) == 1
    assert wrong[0].startswith(where)
