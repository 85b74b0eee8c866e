"""The site file, the user configuration, profiles, and the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mxcp_world import OLD, SITE, YOUNG, Site, record, schema
from mxcp_world import site_fixture as site_fixture

TWO = """\
mxcp: 1
project: shop
profile: default
profiles:
  default:
    audit: {enabled: true}
  prod:
    audit: {enabled: true, path: logs/prod.jsonl}
  bare:
    audit: {enabled: true}
  off: {}
"""


@pytest.fixture(name="two")
def two_fixture(site: Site) -> Site:
    """A site with several profiles, two of which have a log."""
    site.configure(TWO)
    (site.folder / "logs").mkdir()
    site.write(record(OLD))
    (site.folder / "logs" / "prod.jsonl").write_text(f"{record(OLD)}\n{record(YOUNG)}\n", encoding="utf-8")
    (site.folder / "logs" / "prod_schemas.jsonl").write_text(json.dumps(schema()) + "\n", encoding="utf-8")
    return site


def prod(site: Site) -> int:
    """Records of the profile `prod`."""
    return len((site.folder / "logs" / "prod.jsonl").read_text(encoding="utf-8").splitlines())


def test_the_command_line_names_the_profile(two: Site) -> None:
    """Only that profile's log is touched; its path begins at the site's folder."""
    assert two.clean("--profile", "prod").exit_code == 0
    assert (prod(two), len(two.lines())) == (1, 1)


def test_the_environment_names_the_profile(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """`MXCP_PROFILE` beats the site file, and the command line beats both; an empty one says nothing."""
    monkeypatch.setenv("MXCP_PROFILE", "prod")
    assert two.deleted() == {"mxcp.endpoints:v2": 1}
    assert (prod(two), len(two.lines())) == (1, 1)

    assert two.deleted("--profile", "default") == {"mxcp.endpoints:v2": 1}
    assert two.lines() == []
    monkeypatch.setenv("MXCP_PROFILE", "")
    assert two.deleted() == {}


def test_another_profile_without_a_path_is_an_error(two: Site) -> None:
    """Only the site's own profile has a path that goes without saying."""
    result = two.clean("--profile", "bare")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "Error: Audit configuration missing required 'path' field" in result.stderr
    assert json.loads(two.clean("--profile", "bare", "--json").stdout)["status"] == "error"


@pytest.mark.parametrize("word", ["true", "1", "TRUE", " yes "])
def test_the_environment_switches_on(two: Site, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It beats the file; a profile that it switches on has the usual path."""
    two.configure(TWO.replace("enabled: true}\n  prod", "enabled: false}\n  prod"))
    assert "not enabled" in two.clean().stdout

    monkeypatch.setenv("MXCP_AUDIT_ENABLED", word)
    assert two.deleted() == {"mxcp.endpoints:v2": 1}
    two.write(record(OLD), to="logs-off.jsonl")
    (two.folder / "audit" / "logs-off_schemas.jsonl").write_text(json.dumps(schema()) + "\n", encoding="utf-8")
    assert two.deleted("--profile", "off") == {"mxcp.endpoints:v2": 1}


@pytest.mark.parametrize("word", ["false", "0", "No"])
def test_the_environment_switches_off(two: Site, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 0, and nothing goes."""
    monkeypatch.setenv("MXCP_AUDIT_ENABLED", word)

    assert two.clean().stdout == "Audit logging is not enabled for profile 'default'\n"
    assert len(two.lines()) == 1


def test_the_audit_folder_can_be_named(site: Site) -> None:
    """`paths: audit:` moves the usual path."""
    site.configure(SITE + "paths: {audit: trail}\n")
    (site.folder / "trail").mkdir()
    (site.folder / "trail" / "logs-default.jsonl").write_text(record(OLD) + "\n", encoding="utf-8")
    (site.folder / "trail" / "logs-default_schemas.jsonl").write_text(json.dumps(schema()) + "\n", encoding="utf-8")

    assert site.deleted() == {"mxcp.endpoints:v2": 1}


@pytest.mark.parametrize(
    "words", ["enabled: yes", "enabled: on", 'enabled: "true"', "enabled: 1", "enabled: true, max_file_size: 1000"]
)
def test_every_spelling_that_the_original_takes_counts(site: Site, words: str) -> None:
    """YAML 1.1 words, quoted words, numbers."""
    site.configure(SITE.replace("enabled: true", words))
    site.write(record(OLD))

    assert site.deleted() == {"mxcp.endpoints:v2": 1}


def test_profiles_may_share_settings(site: Site) -> None:
    """Anchors and merge keys mean what they mean to the original."""
    site.configure(
        "mxcp: 1\nproject: shop\nprofile: prod\nprofiles:\n"
        "  base: &base\n    audit: &audit {enabled: true}\n"
        "  prod:\n    <<: *base\n    audit: {<<: *audit, path: audit/logs-default.jsonl}\n"
    )
    site.write(record(OLD))

    assert site.deleted() == {"mxcp.endpoints:v2": 1}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("mxcp: 1\nproject: shop\n", "`profile` is missing"),
        ("mxcp: 1\nprofile: default\n", "`project` is missing"),
        ("mxcp: '1'\nproject: shop\nprofile: default\n", "`mxcp` must be the number 1"),
        ("mxcp: 2\nproject: shop\nprofile: default\n", "`mxcp` must be the number 1"),
        ("mxcp: 1\nproject: shop\nprofile: [a]\n", "`profile` must be a name"),
        ("mxcp: 1\nproject: shop\nprofile: 5\n", "`profile` must be a name"),
        (SITE.replace("enabled", "enabeld"), "unknown key `profiles.default.audit.enabeld`"),
        (
            SITE.replace("enabled: true", "enabled: true, retention: 5"),
            "unknown key `profiles.default.audit.retention`",
        ),
        (SITE.replace("audit:", "audits:"), "unknown key `profiles.default.audits`"),
        (SITE.replace("enabled: true", "enabled: maybe"), "`profiles.default.audit.enabled` must be true or false"),
        (SITE.replace("enabled: true", "path: [x]"), "`profiles.default.audit.path` must be the path of a file"),
        (SITE.replace("enabled: true", "max_file_size: big"), "must be a number of bytes"),
        (SITE.replace("{enabled: true}", "true"), "`profiles.default.audit` must be a mapping"),
        (SITE.replace("profiles:", "profile_s:"), "Did you mean `profiles`?"),
        (SITE + "profile: prod\n", "duplicate key `profile`"),
        (SITE + "  other: {audit: {enable: true}}\n", "unknown key `profiles.other.audit.enable`"),
        ("mxcp: [", "not valid YAML"),
        ("- a\n", "must be a mapping"),
        ("", "`project` is missing"),
        ("mxcp: 1\nproject: !!python/name:os.system x\nprofile: default\n", "the tag"),
        ("\0", "not valid YAML"),
    ],
)
def test_a_site_file_that_cannot_be_followed_is_an_error(site: Site, text: str, what: str) -> None:
    """Exit 1 with the place, in both forms; nothing goes."""
    site.write(record(OLD))
    site.configure(text)
    result, programs = site.clean(), site.clean("--json")

    assert (result.exit_code, result.stdout, programs.exit_code) == (1, "", 1)
    assert what in result.stderr
    assert f"{site.folder / 'mxcp-site.yml'}:" in result.stderr
    assert json.loads(programs.stdout)["status"] == "error"
    assert len(site.lines()) == 1


def test_keys_of_newer_versions_do_no_harm(site: Site) -> None:
    """What is not about the audit trail is left alone, unless it looks like a slip of a key that is."""
    site.configure(SITE + "telemetry_sink: {a: [1, {b: c}]}\nextensions: [json]\n")
    site.write(record(OLD))

    assert site.deleted() == {"mxcp.endpoints:v2": 1}


def test_the_user_configuration_is_read_where_it_is_named(site: Site, tmp_path: Path) -> None:
    """`MXCP_CONFIG` names a file that must be there; it says nothing about the audit trail."""
    site.write(record(OLD))
    config = tmp_path / "config.yml"
    missing = site.clean(env={"MXCP_CONFIG": str(config)})
    config.write_text("mxcp: [\n", encoding="utf-8")
    broken = site.clean(env={"MXCP_CONFIG": str(config)})
    config.write_text("mxcp: '1.0.0'\n", encoding="utf-8")
    old = site.clean(env={"MXCP_CONFIG": str(config)})

    assert f"Error: MXCP user config not found at {config}" in missing.stderr
    assert "not valid YAML" in broken.stderr
    assert "`mxcp` must be the number 1" in old.stderr
    assert {missing.exit_code, broken.exit_code, old.exit_code} == {1}
    assert len(site.lines()) == 1
    config.write_text("mxcp: 1\nprojects: {shop: {profiles: {default: {}}}}\n", encoding="utf-8")
    assert site.clean(env={"MXCP_CONFIG": str(config)}).exit_code == 0
    assert site.lines() == []


def test_the_user_configuration_at_home_is_read(site: Site, tmp_path: Path) -> None:
    """A missing one is none, a broken one is an error."""
    site.write(record(OLD))
    config = tmp_path / "home" / ".mxcp" / "config.yml"
    config.parent.mkdir(parents=True)
    config.write_text("a: b: c\n", encoding="utf-8")

    assert site.clean().exit_code == 1
    assert len(site.lines()) == 1


@pytest.mark.parametrize("name", ["a[b]", "x*", "what?", "[!a]", "dé faut", "{segments}"])
def test_a_path_is_a_path(site: Site, name: str) -> None:
    """Wildcards in a folder or a profile mean themselves."""
    folder = site.folder / name
    folder.mkdir()
    site.configure(SITE.replace("enabled: true", f"enabled: true, path: '{name}/l{name}.jsonl'"))
    for each in (f"l{name}.jsonl", "lab.jsonl", "la.jsonl"):
        (folder / each).write_text(record(OLD) + "\n", encoding="utf-8")
    (folder / f"l{name}_schemas.jsonl").write_text(json.dumps(schema()) + "\n", encoding="utf-8")

    assert site.deleted() == {"mxcp.endpoints:v2": 1}
    assert [(folder / each).stat().st_size > 0 for each in (f"l{name}.jsonl", "lab.jsonl")] == [False, True]
