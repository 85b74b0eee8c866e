"""The YAML text of a policy to a tree.

Only plain data is let through: text, whole numbers, true and false, lists and mappings. Tags, merge keys,
empty values and numbers that could be read in two ways are complaints, and so is a key written twice.
"""

from __future__ import annotations

import re

from ruamel.yaml.nodes import Node as YamlNode
from ruamel.yaml.nodes import ScalarNode

from lapse.errors import Complaint, Origin
from lapse.policyfile.composing import TAG, TreeBuilder, yaml_reader
from lapse.policyfile.tree import Node, Scalar

_PLAIN = {TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "value")}
_NULL = f"{TAG}null"
_DECIMAL = re.compile(r"0|-?[1-9][0-9]*")


def parse(text: str, file: str, complaints: list[Complaint]) -> Node | None:
    """Read YAML *text* of *file*. None, with a complaint added, if it is no YAML or says nothing."""
    known = len(complaints)
    root = _PolicyBuilder(file, complaints).tree(text, yaml_reader())
    if root is None and len(complaints) == known:
        complaints.append(Complaint(Origin(file, 1, 1), "this file is empty", "Fill it in, or remove it."))
    return root


class WrittenFloat(float):
    """A number with a fraction or exponent, which shows itself as it was written."""

    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        try:
            number = super().__new__(cls, text.replace("_", ""))
        except ValueError:  # `.inf` and `.nan`, as YAML spells them
            number = super().__new__(cls, "nan")
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


class _PolicyBuilder(TreeBuilder):
    """What may stand in a policy."""

    def is_key(self, node: YamlNode) -> bool:
        """Whether something may be a key: null may not."""
        return super().is_key(node) and node.tag != _NULL

    def check_tag(self, node: YamlNode, origin: Origin) -> None:
        """Complain of a tag."""
        if node.tag not in _PLAIN:
            tag = str(node.tag).replace(TAG, "!!")
            self.complain(origin, f"the tag `{tag}` is not allowed here", "Write plain text, numbers or lists.")

    def scalar(self, node: ScalarNode, origin: Origin, key: ScalarNode | None) -> Scalar:
        """What a value means; one that can be read in two ways is a complaint."""
        text = str(node.value)
        match str(node.tag).removeprefix(TAG):
            case "null":
                where = origin if key is None else self.origin(key)
                what = "" if key is None else f"`{key.value}`: "
                self.complain(where, f"{what}nothing is written here, or null", "Write a value; null never means all.")
                return Scalar(None, text, where)
            case "int":
                return Scalar(self._whole(text, origin), text, origin)
            case "float":
                return Scalar(WrittenFloat(text), text, origin)
            case "bool":
                return Scalar(self._truth(text, origin), text, origin)
            case _:
                return Scalar(text, text, origin)

    def _whole(self, text: str, origin: Origin) -> int:
        if _DECIMAL.fullmatch(text) and len(text) <= 40:
            return int(text)
        self.complain(
            origin, f"`{text}` can be read in two ways", f'Write it in quotes, "{text}", or as a plain decimal number.'
        )
        return 1

    def _truth(self, text: str, origin: Origin) -> bool:
        if text.lower() not in ("true", "false"):
            self.complain(
                origin, f"`{text}` can be read in two ways", f'Write it in quotes, "{text}", or true or false.'
            )
        return text.lower() == "true"
