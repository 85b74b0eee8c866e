"""Long policies are read by way of libyaml; what is read, and what is complained of, is as ruamel.yaml has it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from lapse.errors import PolicyError
from lapse.policyfile import load
from lapse.policyfile.composing import yaml_reader
from lapse.policyfile.longtexts import made

_HEAD = """\
version: 1
datasets:
  log:
    store: sqlite:///a.db
    table: t
    time: at
    archive: none
    keep:
"""
_TENANT = "      - {{tenant: t{0}, type: [a{0}, 'b: {0}', \"c, {0}\"], for: {1} days}}  # {0}\n"
_SPREAD = """\
      - $.doc.x: {0}
        type:
        - glob:é{0}*
        - true
        for: >-
          {1}
          days
"""


def _long(*rules: str) -> str:
    """A policy with many rules of these forms."""
    lines = "".join(rules[number % len(rules)].format(number, number % 90 + 1) for number in range(1_000))
    return _HEAD + lines


def _shape(node: Node) -> object:
    place = (node.start_mark.line, node.start_mark.column)
    match node:
        case ScalarNode():
            return place, str(node.tag), node.value
        case SequenceNode():
            return place, str(node.tag), [_shape(each) for each in node.value]
        case MappingNode():
            return place, str(node.tag), [(_shape(key), _shape(value)) for key, value in node.value]
    raise AssertionError(node)


_VALUES = """\
x: [1, -1, 0x1f, 0o17, 017, 1_000, 1.5, 1e3, .inf, ~, null, yes, no, on, true, False, 2026-11-01, 12:30:45, <<, =, '1']
"y": {a: sqlite:///x, b: a#b, c: "", 'e': 1}
w: |-
  text
   more
z:
- - 1
  -
  - ? k
    : v
  - {}
é: "\u00e9"
"""


@pytest.mark.parametrize("text", [_long(_TENANT, _SPREAD), _VALUES])
def test_the_same_nodes_are_made_at_the_same_places(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds, texts, lines and columns, node for node."""
    monkeypatch.setattr("lapse.policyfile.longtexts._LONG", 0)

    found = made(text, yaml_reader(), _shape)

    assert found is not None
    assert found == _shape(yaml_reader().compose(text))


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: *x\n", "a: !!str 1\n", "%YAML 1.1\n---\na: 1\n", "a:\t1\n", 'a: "\\x41"\n', "a: x\u2028y\n",
        "a: 1\n---\nb: 2\n", "a: [1\n", "a: 1\n b: 2\n", "", "# nothing\n", "[" * 200 + "]" * 200,
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_left_to_ruamel(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Aliases, tags, directives, tabs, escapes, other line breaks, several documents, and what is no YAML."""
    monkeypatch.setattr("lapse.policyfile.longtexts._LONG", 0)

    assert made(text, yaml_reader(), _shape) is None


def _complaints(folder: Path, text: str) -> list[str]:
    file = folder / "lapse.yaml"
    file.write_text(text)
    with pytest.raises(PolicyError) as caught:
        load(file)
    return [str(each) for each in caught.value.complaints]


@pytest.mark.parametrize(
    "mistake",
    [
        "      - {tenant: x, tenant: y, for: 1 day}\n",
        "      - {tenant: x, fro: 1 day}\n",
        "      - {tenant: x, for: 7}\n",
        "      - {tenant: x, for: 1 day\n",
        "      - {tenant: null, for: 1 day}\n",
        "      - {tenant: , for: 1 day}\n",
        "      - {tenant: [a, ~], for: 1 day}\n",
        "      - &a {for: 1 day}\n      - *a\n",
    ],
)
def test_complaints_are_the_same_either_way(tmp_path: Path, mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words, lines and columns."""
    text = _HEAD + _TENANT.format(0, 1) + _SPREAD.format(1, 2) + mistake

    plainly = _complaints(tmp_path, text)
    monkeypatch.setattr("lapse.policyfile.longtexts._LONG", 0)

    assert _complaints(tmp_path, text) == plainly


@pytest.fixture
def collector() -> Iterator[None]:
    """What a test tells the collector to leave alone is not left alone after it."""
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("collector")
def test_very_many_rules_are_read(tmp_path: Path) -> None:
    """More nodes than a few aliases may stand for are no matter where they are written out."""
    file = tmp_path / "lapse.yaml"
    file.write_text(_HEAD + "".join(_TENANT.format(number, 30) for number in range(12_000)))

    rules = load(file).datasets["log"].rules

    assert len(rules) == 12_000
    assert gc.get_freeze_count() > 12_000  # no search for garbage goes through them
    origin = rules[-1].origin
    assert origin is not None
    assert (origin.line, origin.column) == (_HEAD.count("\n") + 12_000, 9)


@pytest.mark.parametrize("text", [_HEAD + _TENANT.format(1, 1), _HEAD + "      - {for: 7}\n"], ids=["right", "wrong"])
def test_garbage_is_looked_for_again_after_a_policy_was_read(tmp_path: Path, text: str) -> None:
    """Whether or not something was wrong with it; and not if nobody looked for any before."""
    file = tmp_path / "lapse.yaml"
    file.write_text(text)
    for wanted in (gc.disable, gc.enable):
        wanted()
        was = gc.isenabled()

        with contextlib.suppress(PolicyError):
            load(file)

        assert gc.isenabled() is was


def test_aliases_that_stand_for_too_much_are_refused(tmp_path: Path) -> None:
    """A few lines of them would be millions."""
    bomb = "x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n" + "".join(
        f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]\n" for n in range(1, 8)
    )

    found = _complaints(tmp_path, bomb + _HEAD + "      - {for: 1 day}\n")

    assert any("grows beyond all bounds through its aliases" in each for each in found)
