"""What a field may be in a policy: ranges, `not`, named sets, and the roles of a record."""

from __future__ import annotations

from pathlib import Path

import pytest
from policy_helpers import complaints, dataset, only, place, write

from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.policy import Dataset
from lapse.model.selection import resolve
from lapse.policyfile import effective, load


def condition_of(folder: Path, wanted: str, *, head: str = "") -> Condition:
    """What a rule's `a: …` means."""
    policy = load(dataset(folder, f"keep: [{{a: {wanted}, for: 1 day}}]\narchive: cold", head=head))
    (condition,) = policy.datasets["log"].rules[0].match.conditions
    return condition


@pytest.mark.parametrize(
    ("wanted", "condition"),
    [
        ("{from: 400, to: 499}", Condition("a", (), role="a", ranges=(Range(400, 499),))),
        ("{from: -5}", Condition("a", (), role="a", ranges=(Range(-5, None),))),
        ("{to: 0}", Condition("a", (), role="a", ranges=(Range(None, 0),))),
        ("{not: x}", Condition("a", ("x",), role="a", negated=True)),
        ("{not: 7}", Condition("a", ("7",), role="a", negated=True)),
        ("{not: {from: 400}}", Condition("a", (), role="a", ranges=(Range(400),), negated=True)),
        ("{not: [x, 'glob:y*', {to: 3}]}", Condition("a", ("x",), (Glob("y*"),), "a", (), (Range(None, 3),), True)),
        ("[x, 7, 'glob:y*', {from: 1, to: 2}, {from: 9}]",
         Condition("a", ("x", "7"), (Glob("y*"),), "a", (), (Range(1, 2), Range(9)))),
    ],
)  # fmt: skip
def test_a_field_may_be_a_range_a_list_or_anything_but(tmp_path: Path, wanted: str, condition: Condition) -> None:
    """Each form says what it looks like, alone, in a list and in `not`."""
    assert condition_of(tmp_path, wanted) == condition


SETS = "sets:\n  vip: [acme, 7, 'glob:gold-*']\n  errors: [{from: 400, to: 599}, none]\n"


@pytest.mark.parametrize(
    ("wanted", "condition"),
    [
        ("set:vip", Condition("a", ("acme", "7"), (Glob("gold-*"),), "a")),
        ("[set:vip, other, acme]", Condition("a", ("acme", "7", "other"), (Glob("gold-*"),), "a")),
        ("{not: set:vip}", Condition("a", ("acme", "7"), (Glob("gold-*"),), "a", negated=True)),
        ("{not: [x, set:errors]}", Condition("a", ("x", "none"), (), "a", (), (Range(400, 599),), True)),
        ("'glob:set:vip'", Condition("a", (), (Glob("set:vip"),), "a")),
    ],
)
def test_a_set_stands_for_its_values(tmp_path: Path, wanted: str, condition: Condition) -> None:
    """Its name may stand wherever a value may; a text that begins so is written as a pattern."""
    assert condition_of(tmp_path, wanted, head=SETS) == condition


def test_sets_are_for_floors_holds_and_rules_of_tenants_too(tmp_path: Path) -> None:
    """Everything that says which records are meant knows them, whichever file they stand in."""
    write(tmp_path, "sets: {vip: [acme, beta]}", "conf.d/sets.yaml")
    path = write(
        tmp_path,
        """\
        version: 1
        datasets:
          log:
            store: ./logs/*.jsonl
            time: at
            tenant: org
            archive: none
            keep: [{tenant: set:vip, for: 1 year}, {for: 1 day}]
            tenants: {acme: {keep: [{user: {not: set:vip}, for: 2 days}]}}
        floors: [{match: {tenant: set:vip}, at least: 2 days, because: law}]
        holds: [{matter: M, match: {tenant: [set:vip, gamma]}}]
        """,
    )

    policy = load(path)

    own, common, _ = policy.datasets["log"].rules
    assert own.match.conditions[1] == Condition("user", ("acme", "beta"), role="user", negated=True)
    assert common.match.conditions == (Condition("org", ("acme", "beta"), role="tenant"),)
    assert policy.floors[0].match.conditions[0].values == ("acme", "beta")
    assert policy.holds[0].match.conditions[0].values == ("acme", "beta", "gamma")


def test_a_policy_that_names_a_set_means_what_one_does_that_writes_it_out(tmp_path: Path) -> None:
    """Its hash is of what it decides, not of how that is spelled; what it shows is what is written."""
    spelled = dataset(tmp_path, "keep: [{a: [acme, 7, 'glob:gold-*'], for: 1 day}]\narchive: cold")
    out = load(spelled).digest
    named = dataset(tmp_path, "keep: [{a: set:vip, for: 1 day}]\narchive: cold", head=SETS)

    assert load(named).digest == out
    shown = {each.path: each.value for each in effective(named)}
    assert shown["datasets.log.keep[0].a"] == "set:vip"
    assert (shown["sets.vip[0]"], shown["sets.errors[0].from"]) == ("acme", "400")


@pytest.mark.parametrize(
    ("wanted", "where", "message", "hint"),
    [
        ("{}", (7, 16), "`a`: a range has a first number, a last one, or both", "Write one like `{from: 400}`."),
        ("{from: 5, to: 4}", (7, 16), "`a`: no number is from 5 to 4", "Write it from 4 to 5."),
        ("{from: '400'}", (7, 23), "`from`: must be a whole number, not `400`", "Write it without quotes."),
        ("{from: 4.5}", (7, 23), "`from`: must be a whole number, not 4.5",
         "A range is of whole numbers, like `{from: 400, to: 499}`."),
        ("{from: 2026-01-01}", (7, 23), "`from`: must be a whole number, not `2026-01-01`",
         "A range is of whole numbers, like `{from: 400, to: 499}`."),
        ("{to: true}", (7, 21), "`to`: must be a whole number, not true", "A range is of"),
        ("{from: 1000000000000000000}", (7, 16), "`a`: 1000000000000000000 is too large", "at most 18 digits"),
        ("{from: [1]}", (7, 23), "`from`: must be a whole number, not a list", "A range is of"),
        ("{form: 400}", (7, 17), "unknown key `form`", "Did you mean `from`?"),
        ("{nott: x}", (7, 17), "unknown key `nott`", "Did you mean `not`?"),
        ("{not: x, from: 4}", (7, 16), "`a`: `not` and a range say two things",
         "Put the range inside: `{not: {from: 400, to: 499}}`."),
        ("{not: {not: x}}", (7, 22), "`not`: `not` cannot stand in a list or in another `not`",
         "Write it once, around the whole list."),
        ("[y, {not: x}]", (7, 20), "`a`: `not` cannot stand in a list", "Write it once, around the whole list."),
        ("{not: []}", (7, 22), "`not`: the list is empty", "Fill it in"),
        ("{not: 1.5}", (7, 22), "`not`: 1.5 is a number with a fraction", "Compare a whole number or text."),
        ("[{from: 5, to: 4}]", (7, 17), "`a`: no number is from 5 to 4", "Write it from 4 to 5."),
        ("[{from: 5, too: 4}]", (7, 27), "unknown key `too`", "Did you mean `to`?"),
        ("'set:'", (7, 16), "`a`: `set:` has no name after it", "Write one, like `set:vip`."),
        ("set:vip", (7, 16), "there is no set `vip`", "Add it under `sets:`, or write `glob:set:vip`."),
        ("{not: [x, set:vip]}", (7, 26), "there is no set `vip`", "Add it under `sets:`"),
    ],
)  # fmt: skip
def test_each_wrong_form_has_its_place_and_hint(
    tmp_path: Path, wanted: str, where: tuple[int, int], message: str, hint: str
) -> None:
    """One complaint each, at the value or key, with the right spelling."""
    found = only(dataset(tmp_path, f"keep: [{{a: {wanted}, for: forever}}]"))
    assert place(found) == where
    assert message in found.message
    assert hint in (found.hint or "")


@pytest.mark.parametrize(
    ("sets", "where", "message", "hint"),
    [
        ("{vip: []}", (2, 13), "`vip`: the list is empty", "Fill it in, or leave the key out."),
        ("{vip: acme}", (2, 13), "`vip`: must be a list, not `acme`", "Begin each item with `- `."),
        ("{vip: {not: [a]}}", (2, 13), "`vip`: must be a list, not a mapping", None),
        ("{vip: [set:vop]}", (2, 14), "`vip`: a set holds values, and no other set like `set:vop`",
         "Write its values out."),
        ("{vip: [{not: a}]}", (2, 14), "`vip`: `not` cannot stand in a list", "Write it once, around the whole list."),
        ("{vip: [{form: 1}]}", (2, 15), "unknown key `form`", "Did you mean `from`?"),
        ("{vip: [1.5]}", (2, 14), "`vip`: 1.5 is a number with a fraction", "Compare a whole number or text."),
        ("{'a b': [x], vip: [y]}", (2, 8), "`sets`: `a b` cannot be a name", "Use ASCII letters"),
        ("{vip: [x], vip: [y]}", (2, 18), "duplicate key `vip`", "Keep one of the two."),
        ("[vip]", (2, 7), "`sets`: must be a mapping of keys, not a list", None),
    ],
)  # fmt: skip
def test_each_wrong_set_has_its_place_and_hint(
    tmp_path: Path, sets: str, where: tuple[int, int], message: str, hint: str | None
) -> None:
    """An empty set would match nothing, and one inside another would be easy to miss."""
    found = list(complaints(dataset(tmp_path, "keep: forever", head=f"sets: {sets}\n")))
    assert len(found) == 1, [str(each) for each in found]
    assert place(found[0]) == where
    assert message in found[0].message
    assert (hint or "") in (found[0].hint or "")


def test_an_unknown_set_is_told_with_the_nearest_one_wherever_it_is_named(tmp_path: Path) -> None:
    """In rules, floors and holds; the set's name in a word of the policy's own is no reference."""
    text = """\
    version: 1
    sets: {vip: [acme]}
    datasets:
      log: {store: ./a.jsonl, time: at, archive: none, keep: [{a: set:vipp, for: 1 day}], key: set:x}
    floors: [{match: {a: {not: set:vp}}, at least: 1 day, because: set:law}]
    holds: [{matter: set:m, match: {a: [x, set:no]}}]
    """
    found = complaints(write(tmp_path, text))
    assert [(place(each), each.message, each.hint) for each in found] == [
        ((4, 63), "there is no set `vipp`", "Did you mean `vip`?"),
        ((5, 28), "there is no set `vp`", "Did you mean `vip`?"),
        ((6, 40), "there is no set `no`", "Known: `vip`."),
    ]


def test_a_set_that_nothing_names_is_no_mistake(tmp_path: Path) -> None:
    """Files of `conf.d` may bring sets that only some policies use."""
    load(dataset(tmp_path, "keep: forever", head="sets: {vip: [acme]}\n"))


def test_a_set_stands_once_in_all_files(tmp_path: Path) -> None:
    """Two of one name are a mistake with both places."""
    path = dataset(tmp_path, "keep: forever", head="sets: {vip: [acme]}\n")
    write(tmp_path, "sets: {vip: [beta]}", "conf.d/a.yaml")
    assert f"`sets.vip` stands at {path}:2:8 already" in only(path).message


def test_roles_stand_for_columns_in_rules_and_required_fields(tmp_path: Path) -> None:
    """`actor` and `subtype` are what the dataset says they are; `$.actor` is a field of that name."""
    lines = """
    type: action
    subtype: subaction
    actor: created_by
    require: [actor]
    archive: cold
    keep: [{type: LOGIN, subtype: x, actor: {not: [root, "glob:svc-*"]}, $.actor: y, for: 30 days}]
    """
    log = load(dataset(tmp_path, lines)).datasets["log"]

    (rule,) = log.rules
    assert rule.match.fields == ("action", "subaction", "created_by", "actor")
    assert str(rule.match) == "type LOGIN and subtype x and actor not root, glob:svc-* and $.actor y"
    assert log.require == ("created_by",)
    assert log.fields == ("at", "action", "subaction", "created_by", "actor")


@pytest.mark.parametrize("role", ["subtype", "actor"])
def test_a_role_that_the_dataset_does_not_name_cannot_be_required(tmp_path: Path, role: str) -> None:
    """Nobody would know which field is meant."""
    found = only(dataset(tmp_path, f"keep: forever\nrequire: [{role}]"))
    assert found.message == f"`require`: the dataset does not say which field holds the {role}"


@pytest.mark.parametrize("condition", ["{not: root}", "{from: 1}", "root"])
def test_a_hold_widens_where_a_dataset_has_no_such_role(tmp_path: Path, condition: str) -> None:
    """Also one on all but some, and one on a range: on doubt, keep."""
    path = dataset(
        tmp_path, "keep: forever\ntype: kind", head=f"holds: [{{matter: M, match: {{actor: {condition}}}}}]\n"
    )
    policy = load(path)
    log = policy.datasets["log"]
    named = Dataset(name="b", store="", shown="", time="at", actor="who")

    assert resolve(policy.holds[0].match, log) == Match()
    assert resolve(policy.holds[0].match, named).fields == ("who",)


def test_a_policy_without_these_forms_has_the_hash_that_it_always_had(tmp_path: Path) -> None:
    """The ledger's entries of old runs name it."""
    keep = "type: kind\nkeep: [{type: [b, a, 'glob:c*'], for: 1 day}, {for: 30 days}]\narchive: cold"
    path = dataset(tmp_path, keep, store="sqlite:///a.db\n    table: log")
    assert load(path).digest == "c15bdd36e7d8b4cb41707ed849fb83c0ab1ac838bb3c697cf4d3a5b1da2cbbca"


def test_each_of_these_forms_changes_the_hash(tmp_path: Path) -> None:
    """No two rules that decide differently are taken for one."""
    forms = ["x", "{not: x}", "{from: 1}", "{to: 1}", "{from: 1, to: 1}", "{not: {from: 1}}", "1", "['1', {from: 1}]"]
    digests = {load(dataset(tmp_path, f"keep: [{{a: {form}, for: 1 day}}]\narchive: cold")).digest for form in forms}
    roles = {load(dataset(tmp_path, f"{role}: x\nkeep: 1 day\narchive: cold")).digest for role in ("actor", "subtype")}
    assert (len(digests), len(roles)) == (len(forms), 2)
