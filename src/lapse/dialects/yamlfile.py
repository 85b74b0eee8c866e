"""One configuration file, read as the originals read theirs, in which every key and value knows where it stands.

The form is YAML 1.1, so that everybody finds the values they know. What the originals let pass to somebody's harm
is a complaint: tags (one of them runs a command), duplicate keys, and merge keys unless they are asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import Node as YamlNode
from ruamel.yaml.nodes import ScalarNode

from lapse.errors import Complaint, Origin
from lapse.policyfile.composing import TAG, TreeBuilder, yaml_reader
from lapse.policyfile.tree import Listing, Mapped, Node, Scalar

_PLAIN = {TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "binary", "map", "seq")}


def plain(node: Node) -> Any:
    """The data of a tree, without its places, in containers of its own."""
    match node:
        case Scalar():
            return node.value
        case Listing():
            return [plain(item) for item in node.items]
        case Mapped():
            return {entry.key: plain(entry.node) for entry in node.entries}


def read(path: Path, complaints: list[Complaint], *, merging: bool = False) -> Mapped:
    """The tree of one file; without keys if the file is empty, or if a complaint was added.

    Arguments:
        path: The file.
        complaints: Gets everything that is wrong with it.
        merging: Whether ``<<`` takes keys over from another mapping; else it is a complaint.
    """
    file = str(path)
    nothing = Mapped((), Origin(file, 1, 1))
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        hint = "Let the user that lapse runs as read it, or take it away."
        complaints.append(Complaint(nothing.origin, f"this cannot be read: {error.strerror}", hint))
        return nothing
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        what = f"this is not UTF-8 text: byte 0x{error.object[error.start]:02x}"
        complaints.append(Complaint(Origin(file, line, 1), what, "Save the file as UTF-8."))
        return nothing
    yaml = yaml_reader()
    yaml.version = (1, 1)
    root = _FileBuilder(file, complaints, yaml, merging=merging).tree(text, yaml)
    if root is None or isinstance(root, Mapped):
        return root or nothing
    kind = "a list" if isinstance(root, Listing) else "a single value"
    complaints.append(Complaint(root.origin, f"the file must be a mapping of keys, not {kind}"))
    return nothing


class _FileBuilder(TreeBuilder):
    """What may stand in the configuration of an original: whatever YAML 1.1 has a plain value for."""

    def __init__(self, file: str, complaints: list[Complaint], yaml: YAML, *, merging: bool) -> None:
        super().__init__(file, complaints, merging=merging)
        self._yaml = yaml

    def check_tag(self, node: YamlNode, origin: Origin) -> None:
        """Complain of a tag."""
        if node.tag not in _PLAIN:
            tag = str(node.tag).replace(TAG, "!!")
            what = f"the tag `{tag}` is refused: nothing is run to read a configuration"
            self.complain(origin, what, "Write the value itself.")

    def scalar(self, node: ScalarNode, origin: Origin, key: ScalarNode | None) -> Scalar:
        """What the originals make of a value."""
        if node.tag not in _PLAIN:
            return Scalar(None, "", origin)  # refused already
        return Scalar(self._data(node, origin), str(node.value), origin)

    def _data(self, node: ScalarNode, origin: Origin) -> object:
        try:
            return self._yaml.constructor.construct_object(node)
        except (ValueError, YAMLError) as error:
            self.complain(origin, f"`{node.value}` cannot be read: {error}", "Put it in quotes if it is meant as text.")
            return None
