# SPDX-License-Identifier: GPL-3.0-or-later
"""Providers, references, and what a person reads when a secret is missing."""

from __future__ import annotations

import string
import typing as t
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from unittest import mock

import pytest
from ansible_collections.durable.temporal.plugins.module_utils import _secrets as masking
from ansible_collections.durable.temporal.plugins.plugin_utils import _secrets
from ansible_collections.durable.temporal.plugins.plugin_utils._references import parse, split
from ansible_collections.durable.temporal.plugins.plugin_utils._secrets import (
    ALPHABET,
    PROVIDERS,
    Environment,
    First,
    Generated,
    Options,
    Provider,
    Reference,
    SecretError,
    directory_of,
    fetch,
    known_only,
    password,
    provider,
    renewable,
    resolve,
    settings,
    unresolved,
)
from hypothesis import given
from hypothesis import strategies as st

A, B = Reference("a"), Reference("b")


class Counting:
    """A provider that has some secrets and remembers the batches that it was asked for."""

    name = "counting"

    def __init__(self, **values: str) -> None:
        self.values = values
        self.batches: list[list[str]] = []

    def get(self, references: t.Sequence[Reference]) -> dict[Reference, str]:
        self.batches.append([str(r) for r in references])
        return {r: self.values[r.name] for r in references if r.name in self.values}

    def remedy(self, reference: Reference) -> str:
        return f"teach me {reference.name}"


# generated


def test_a_generated_secret_is_stable_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "secrets"
    first = Generated(directory).get([A, B])
    assert Generated(directory).get([B, A]) == first
    assert first[A] != first[B]
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in (directory / "a", directory / "b")} == {0o600}
    assert sorted(p.name for p in directory.iterdir()) == [".gitignore", "a", "b"]
    assert (directory / ".gitignore").read_text() == "*\n"


def test_a_task_that_only_looks_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_secrets, "_looking", True)
    directory = tmp_path / "secrets"
    assert len(provider(["generated"], Options(str(directory))).get([A])[A]) == 32
    assert not directory.exists()


def _make(directory: Path) -> str:
    return Generated(directory).get([A])[A]


def test_nothing_is_made_up_where_only_what_is_known_counts(tmp_path: Path) -> None:
    options = Options(directory=str(tmp_path / "s"))
    with known_only():
        source = provider(["generated"], options)
    with pytest.raises(
        SecretError, match=r"bring .*/s/db from the machine that made the platform, or set secrets_directory"
    ):
        fetch(source, [Reference("db")])
    assert not (tmp_path / "s").exists()
    made = fetch(provider(["generated"], options), [Reference("db")])
    assert fetch(source, [Reference("db")]) == made


def test_forks_that_create_the_same_secret_agree(tmp_path: Path) -> None:
    with ProcessPoolExecutor(8) as pool:
        values = set(pool.map(_make, [tmp_path / "secrets"] * 64))
    assert len(values) == 1


def test_a_value_written_by_hand_counts_and_is_tightened(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("by hand\n")
    (tmp_path / "a").chmod(0o644)
    assert Generated(tmp_path).get([A]) == {A: "by hand"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_a_directory_made_by_hand_is_tightened(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Generated(tmp_path).get([A])
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(SecretError, match=r"a of the secret a is empty\. Write the value"):
        Generated(tmp_path).get([A])


def test_without_create_nothing_is_made_up(tmp_path: Path) -> None:
    assert Generated(tmp_path / "none", create=False).get([A]) == {}
    assert not (tmp_path / "none").exists()


def test_without_writing_a_value_is_made_up_and_nothing_is_changed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("by hand\n")
    (tmp_path / "a").chmod(0o644)
    found = Generated(tmp_path, write=False).get([A, B])
    assert (found[A], len(found[B])) == ("by hand", 32)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "link" / "loop")
    with pytest.raises(SecretError, match=r"The file .*/link/a of the secret a cannot be read"):
        Generated(tmp_path / "link").get([A])
    with pytest.raises(SecretError, match=r"below /proc/secrets .*Set secrets_directory"):
        Generated(Path("/proc/secrets")).get([A])


def test_a_short_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="is 8; expected 16 or more"):
        Generated(tmp_path, length=8).get([A])


@given(st.integers(16, 200))
def test_passwords_need_no_quoting_and_have_each_kind(length: int) -> None:
    value = password(length)
    assert len(value) == length
    assert set(value) <= set(ALPHABET)
    assert value[0].isalpha()
    assert set(value) & set(string.ascii_lowercase)
    assert set(value) & set(string.ascii_uppercase)
    assert set(value) & set(string.digits)


# renewal


def test_a_renewal_that_was_begun_is_finished_with_its_value(tmp_path: Path) -> None:
    source = Generated(tmp_path)
    first = source.get([A])[A]
    assert not source.renewing("a")
    source.renew("a")
    second = source.get([A])[A]
    assert second != first
    assert source.renewing("a")
    source.renew("a")
    assert source.get([A])[A] == second, "a value that is being handed out was replaced"
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if path.name != ".gitignore"} == {0o600}
    source.settle("a")
    assert not source.renewing("a")
    assert source.get([A])[A] == second
    assert [path.name for path in tmp_path.iterdir() if path.name != ".gitignore"] == ["a"]
    source.settle("a")
    source.renew("a")
    assert source.get([A])[A] not in {first, second}


class Cut(Exception):
    """The run ends here."""


@pytest.mark.parametrize("step", ["hardlink_to", "replace"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_renewal_that_is_cut_off_anywhere_is_gone_on_with(tmp_path: Path, step: str, when: str) -> None:
    source = Generated(tmp_path)
    first = source.get([A])[A]
    real = getattr(Path, step)

    def cut(path: Path, target: Path) -> None:
        if when == "after":
            real(path, target)
        raise Cut

    with mock.patch.object(Path, step, cut), pytest.raises(Cut):
        source.renew("a")
    between = source.get([A])[A]
    begun = (step, when) == ("replace", "after")
    assert (between != first) == begun == source.renewing("a")
    source.renew("a")
    after = source.get([A])[A]
    assert after != first
    assert (after == between) == begun
    source.settle("a")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitignore", "a"]


def test_what_does_not_exist_yet_is_renewed_by_making_it(tmp_path: Path) -> None:
    source = Generated(tmp_path / "none")
    source.renew("a")
    assert len(source.get([A])[A]) == 32
    assert not source.renewing("a")


def test_what_others_make_is_not_renewed_here(tmp_path: Path) -> None:
    env, files = Environment({"DURABLE_SECRET_A": "x"}), Generated(tmp_path)
    both = First([env, files])
    assert renewable(both, ["b"]) == {"b": files}
    assert renewable(both, ["a", "b"], strict=False) == {"b": files}
    with pytest.raises(SecretError, match="- a: set the environment variable DURABLE_SECRET_A, then rotate without"):
        renewable(both, ["a", "b"])
    with pytest.raises(SecretError, match="DURABLE_SECRET_B"):
        renewable(env, ["b"])


# env, several, unknown


def test_environment_variables_are_found_by_name() -> None:
    source = Environment({"DURABLE_SECRET_TEMPORAL_DATABASE_PASSWORD": "x", "DURABLE_SECRET_EMPTY": ""})
    wanted = [Reference("temporal-database-password"), Reference("empty"), Reference("other")]
    assert source.get(wanted) == {wanted[0]: "x"}


def test_the_first_provider_that_has_it_gives_it() -> None:
    first, second = Counting(a="1"), Counting(a="2", b="3")
    assert First([first, second]).get([A, B]) == {A: "1", B: "3"}
    assert second.batches == [["b"]]


def test_everything_missing_is_reported_together_with_its_remedy() -> None:
    with pytest.raises(SecretError) as error:
        fetch(Environment({"DURABLE_SECRET_B": "x"}), [A, B, Reference("c-d")])
    assert str(error.value).splitlines() == [
        "2 secrets are not known to the provider env:",
        "- a: set the environment variable DURABLE_SECRET_A.",
        "- c-d: set the environment variable DURABLE_SECRET_C_D.",
    ]


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-a", "a b", ".hidden", "x" * 200])
def test_names_cannot_leave_the_directory(name: str, tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="Not a name of a secret"):
        fetch(Generated(tmp_path), [Reference(name)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names", [["vault"], [], ["env", "Generated"]])
def test_an_unknown_provider_is_named_with_the_known_ones(names: list[str]) -> None:
    with pytest.raises(SecretError, match=r"secrets_provider is .*; expected one or more of generated, env"):
        provider(names, Options("/nowhere"))


def test_a_vault_must_be_named() -> None:
    with pytest.raises(SecretError, match="keyvault_vault is not set"):
        fetch(provider(["azure_keyvault"], Options()), [A])


def test_what_the_vault_does_not_have_comes_from_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Vault(Counting):
        def __init__(self, settings: object, make: object) -> None:
            super().__init__(a="from the vault")

    monkeypatch.setattr(_secrets, "AzureKeyVault", Vault)
    found = fetch(provider(["azure_keyvault", "generated"], Options(str(tmp_path))), [A, B])
    assert found[A] == "from the vault"
    assert (tmp_path / "b").read_text().strip() == found[B]
    assert not (tmp_path / "a").exists()


def test_generated_needs_a_directory() -> None:
    with pytest.raises(SecretError, match="Set secrets_directory"):
        provider(["generated"], Options())


def test_several_names_make_a_chain(tmp_path: Path) -> None:
    source: Provider = provider(["env", "generated"], Options(str(tmp_path)))
    assert source.name == "env, generated"
    assert set(PROVIDERS) == {"generated", "env", "azure_keyvault"}


def test_values_are_registered_for_masking(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[str] = []
    monkeypatch.setattr(masking, "_register", registered.extend)
    fetch(Counting(a="a-long-value", b="short"), [A, B])
    assert registered == ["a-long-value"]


# references


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@keyvault/CosmosDbKey", Reference("CosmosDbKey")),
        ("@keyvault/CosmosDbKey/0123ab", Reference("CosmosDbKey", "0123ab")),
        (
            "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/Db/)",
            Reference("Db", "", "https://v.vault.azure.net"),
        ),
        (
            "@Microsoft.KeyVault(SecretUri=https://v.example:8443/secrets/Db)",
            Reference("Db", "", "https://v.example:8443"),
        ),
        (
            "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/Db/ec96)",
            Reference("Db", "ec96", "https://v.vault.azure.net"),
        ),
        ("@Microsoft.KeyVault(VaultName=v;SecretName=Db)", Reference("Db", "", "v")),
        ("@Microsoft.KeyVault(VaultName=v; SecretName=Db; SecretVersion=7)", Reference("Db", "7", "v")),
        ("plain", None),
        ("", None),
        ("user@keyvault.example", None),
    ],
)
def test_references_are_recognised(text: str, expected: Reference | None) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://app:@keyvault/DbPassword@db/app", ["postgres://app:", Reference("DbPassword"), "@db/app"]),
        ("@keyvault/User:@keyvault/Db-1@db", [Reference("User"), ":", Reference("Db-1"), "@db"]),
        ("Endpoint=sb://x/;Key=@keyvault/Bus;Y=1", ["Endpoint=sb://x/;Key=", Reference("Bus"), ";Y=1"]),
        ("@keyvault/A@keyvault/B", [Reference("A"), Reference("B")]),
        ("a\n@keyvault/A\nb", ["a\n", Reference("A"), "\nb"]),
        (
            "redis://:@Microsoft.KeyVault(VaultName=v;SecretName=Db)@cache/0",
            ["redis://:", Reference("Db", "", "v"), "@cache/0"],
        ),
        (
            "@microsoft.keyvault(SecretUri=https://v.vault.azure.net/secrets/Db/ec96)/path",
            [Reference("Db", "ec96", "https://v.vault.azure.net"), "/path"],
        ),
        ("team@keyvault.example, team@keyvault-eu.example", ["team@keyvault.example, team@keyvault-eu.example"]),
        ("/opt/keyvault/Name", ["/opt/keyvault/Name"]),
        *(
            (text, [text])
            for text in (
                *(
                    "@scope/package",
                    "@everyone",
                    "@azure/keyvault-secrets",
                    "@types/node",
                    "@here: deploys",
                    "@vault/a",
                ),
                *("@keyvalue/store", "@key/x", "@keys/a", "@myvault/x", "@kv", "@kv.example/x", "kv/Name", "a @b/c d"),
                *(
                    "redis://user@kv/0",
                    "https://me@akv:8443/",
                    "git@keystone:team/x.git",
                    "@kvstore/x",
                    "@microsoft/api",
                ),
            )
        ),
        ("@keyvault/User --flag=1", [Reference("User"), " --flag=1"]),
        ("@keyvault/A @keyvault/B", [Reference("A"), " ", Reference("B")]),
        ("", []),
    ],
)
def test_a_text_is_taken_apart(text: str, expected: list[str | Reference]) -> None:
    assert split(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "@keyvault/",
        "@keyvault",
        "@keyvault:Name",
        "@keyvault//Name",
        "@keyvault /Name",
        "@keyvault(Name)",
        "@keyvault.Name",
        "@keyvault-Name",
        "@keyvaultName",
        "@keyvaults/Name",
        "@key-vault/Name",
        "@KeyVault/Name",
        "@KEYVAULT/Name",
        "@Keyvault/Name",
        "@keyvalt/Name",
        "@keyvualt/Name",
        "@kevault/Name",
        "@keyvaul/Name",
        "@key_valt/Name",
        "@keyvalt:Name",
        "@keyvalut(Name)",
        "@azkeyvault/Name",
        "@azureKeyVault/Name",
        "@kv/Name",
        "@KV:Name",
        " @kv/Name",
        "@akv/Name",
        "@Microsoft.KeyVualt(VaultName=v;SecretName=Db)",
        "postgres://app:@keyvalt/Name@db/app",
        "@keyvault/My Secret",
        "@keyvault/My  Own Secret",
        "@keyvault/Schlüssel",
        "@keyvault/{{Name}}",
        "@keyvault/a/b/c",
        "@keyvault/a ",
        " @keyvault/a",
        "@keyvault/a\n",
        "postgres://app:@KeyVault/Name@db/app",
        "postgres://app:@keyvault:Name@db/app",
        "postgres://app:@keyvault/@db/app",
        "https://host/@keyvault/Name/path",
        "https://host/@keyvault/Name/0123ab?x",
        "x @keyvault/Name/0123ab",
        "@Microsoft.KeyVault",
        "@Microsoft.KeyVault()",
        "@Microsoft.KeyVault(SecretName=x)",
        "@Microsoft.KeyVault(SecretUri=https://v/keys/x)",
        "@Microsoft.KeyVault(SecretUri=nonsense",
        "key @Microsoft.KeyVault(SecretUri=nonsense) of x",
        " @Microsoft.KeyVault(VaultName=v;SecretName=Db)",
    ],
)
def test_a_broken_reference_is_not_passed_on_as_a_value(text: str) -> None:
    with pytest.raises(SecretError, match=r"Not a reference (to a secret|alone)|Not clear where a reference ends"):
        split(text)
    with pytest.raises(SecretError):
        resolve({"x": text}, lambda: Counting(Name="x", a="x", A="x"))


def test_a_lookup_takes_no_longer_text() -> None:
    with pytest.raises(SecretError, match="Not a reference"):
        parse("see @keyvault/Name")


def test_what_is_told_of_a_broken_reference_is_not_the_password_beside_it() -> None:
    with pytest.raises(SecretError, match=r"'@KeyVault/Name@db/app'") as caught:
        split("postgres://app:hunter2, @KeyVault/Name@db/app&password=hunter2")
    assert "hunter2" not in str(caught.value)


@given(st.text("@keyvault/Name:. -{", max_size=30))
def test_no_text_that_looks_like_a_reference_arrives_as_it_is(text: str) -> None:
    try:
        resolved = "".join(p if isinstance(p, str) else "*" for p in split(text))
    except SecretError:
        return
    assert "@keyvault/" not in resolved


def test_a_structure_is_resolved_in_one_batch() -> None:
    source = Counting(Key="one", Db="two")
    structure = [
        {"name": "app", "environment": {"KEY": "@keyvault/Key", "AGAIN": "@keyvault/Key", "N": 5, "NONE": None}},
        {"processes": [{"environment": {"DB": "a:@keyvault/Db@b"}}]},
    ]
    assert resolve(structure, lambda: source) == [
        {"name": "app", "environment": {"KEY": "one", "AGAIN": "one", "N": 5, "NONE": None}},
        {"processes": [{"environment": {"DB": "a:two@b"}}]},
    ]
    assert source.batches == [["Key", "Db"]]
    assert structure[0]["environment"]["KEY"] == "@keyvault/Key"


def test_unknown_references_are_reported_together() -> None:
    with pytest.raises(SecretError, match=r"(?s)^2 secrets .*- X: teach me X\.\n- Y/1: teach me Y\.$"):
        resolve({"x": "@keyvault/X", "y": ["@keyvault/Y/1"], "z": "@keyvault/Z"}, lambda: Counting(Z="z"))


def test_what_cannot_be_resolved_is_told_with_its_place() -> None:
    source = Counting(Z="canary")
    found = unresolved(
        {
            "a": {"x": "@keyvault/X", "y": ["@keyvault/Z", "@keyvault/Y-@keyvault/X"]},
            "b": "@keyvault/",
            "c": "@keyvault/" + "n" * 128,
        },
        lambda: source,
    )
    assert {place: text.split("; ")[0].split(". ")[0] for place, text in found.items()} == {
        ".b": "cannot be resolved",
        ".a.x": "refers to the secret X, which is not known to the provider counting",
        ".a.y[1]": "refers to the secrets Y-, X, which are not known to the provider counting",
        ".c": f"refers to {'n' * 128!r}, which is not the name of a secret",
    }
    assert found[".a.y[1]"].endswith("expected what it has. Teach me Y-. Teach me X.")
    assert source.batches == [["X", "Z", "Y-"]]
    assert "canary" not in str(found)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(string.ascii_letters),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(string.ascii_letters), inner),
)


@given(PLAIN)
def test_a_structure_without_references_needs_no_provider(structure: t.Any) -> None:
    def none() -> Provider:
        raise AssertionError("asked for a provider")

    assert resolve(structure, none) == structure
    assert unresolved(structure, none) == {}


# options


def test_options_are_taken_from_the_nearest_place() -> None:
    environ = {"DURABLE_SECRETS_PROVIDER": "env, generated", "DURABLE_SECRETS_DIRECTORY": "/environ"}
    assert settings({}, {}, {}) == (["generated"], Options("", 32, False))
    assert settings({}, {"inventory_dir": "/i"}, {}) == (["generated"], Options("/i/.secrets", 32, False))
    assert settings({}, {}, environ) == (["env", "generated"], Options("/environ", 32, False))
    assert settings({}, {"secrets_directory": "/v", "secrets_provider": ["env"]}, environ) == (
        ["env"],
        Options("/v", 32, False),
    )
    assert settings({"directory": "/g", "generate": True}, {"secrets_directory": "/v"}, {})[1] == Options("/g")
    assert directory_of(None, None) == directory_of("own", "") == ""
    assert settings({}, {"inventory_dir": "/i", "secrets_directory": "own/x"}, {})[1] == Options("/i/own/x", 32, False)
    assert directory_of("~/x", "/i") == str(Path.home() / "x")


def test_options_that_cannot_be_read_are_named() -> None:
    with pytest.raises(SecretError, match="secrets_length or secrets_generate_references"):
        settings({"length": "long"}, {}, {})
