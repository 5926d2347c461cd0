# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases: what is kept, what is live, where going back leads; archives; locks; releases on disk."""

from __future__ import annotations

import datetime
import errno
import getpass
import io
import json
import os
import tarfile
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.durable.temporal.plugins.module_utils._dependencies import Npm
from ansible_collections.durable.temporal.plugins.module_utils._release import (
    Release,
    ReleaseError,
    State,
    Store,
    after_install,
    after_prune,
    after_switch,
    check_archive,
    check_digest,
    file_digest,
    history_of,
    member_path,
    outcome,
    reject,
    release_id,
    superfluous,
    unpack,
)
from ansible_collections.durable.temporal.plugins.module_utils._run_as import Account, passed_on
from hypothesis import given
from hypothesis import strategies as st


def state(ids: str, live: str = "", history: str = "", bad: str = "") -> State:
    """``state("abc", live="c", history="abc")``: releases of one letter."""
    releases = tuple(Release(i, digest=i * 8, bad="bad" if i in bad else "") for i in ids)
    return State(releases, live, tuple(history), served=tuple(history))


# --- What is live


@pytest.mark.parametrize(
    ("ids", "live", "history", "bad", "previous"),
    [
        ("", "", "", "", ""),
        ("a", "a", "a", "", ""),
        ("ab", "b", "ab", "", "a"),
        ("abc", "c", "abc", "b", "a"),
        ("ac", "c", "abc", "", "a"),
        ("abc", "b", "ab", "", "a"),
        ("abc", "a", "a", "", ""),
        ("ab", "b", "ab", "a", ""),
    ],
)
def test_previous(ids: str, live: str, history: str, bad: str, previous: str) -> None:
    assert state(ids, live, history, bad).previous() == previous


BACK = "\n  To go back: ansible-playbook -i INVENTORY rollback.yml -e rollback_application=orders -e rollback_release="


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (state(""), state(""), "orders: no release is live\n  There is none to go back to"),
        (
            state(""),
            state("a", "a", "a"),
            "orders: release a is live; before it none was\n  There is no earlier release to go back to",
        ),
        (state("a", "a", "a"), state("ab", "b", "ab"), f"orders: release b is live; before it a was{BACK}a"),
        (state("abc", "c", "abc"), state("abc", "b", "ab"), f"orders: release b is live; before it c was{BACK}c"),
        (
            state("abc", "c", "abc"),
            state("abc", "b", "ab", bad="c"),
            f"orders: release b is live; before it c was{BACK}a",
        ),
        (state("ab", "b", "ab"), state("ab", "b", "ab"), f"orders: release b is live, as before{BACK}a"),
    ],
)
def test_the_outcome_says_what_is_live_and_how_to_go_back(before: State, after: State, says: str) -> None:
    assert outcome("orders", before, after) == says
    assert outcome("orders", before, after, predicted=True) == says.replace(" is live;", " would be live;")


def test_going_back_repeatedly_walks_through_history() -> None:
    now = state("abcd", "d", "abcd")
    seen = []
    while target := now.previous():
        now = after_switch(now, target, back=True)
        seen.append(now.live)
    assert seen == ["c", "b", "a"]


def test_going_back_skips_what_is_bad_and_what_is_gone() -> None:
    assert after_switch(state("ad", "d", "abd"), "a", back=True).history == ("a",)
    now = reject(state("abcd", "d", "abcd", bad="c"), "d", "fails")
    assert (now.live, now.find("d").bad, now.history) == ("b", "fails", ("a", "b"))  # type: ignore[union-attr]


def test_deploying_an_old_release_again_puts_it_on_top() -> None:
    now = after_switch(state("abc", "c", "abc"), "a")
    assert (now.live, now.history, now.previous()) == ("a", ("b", "c", "a"), "c")


def test_making_a_bad_release_live_takes_the_mark_off() -> None:
    assert after_switch(state("ab", "a", "a", bad="b"), "b").find("b").bad == ""  # type: ignore[union-attr]


def test_the_only_release_stays_live_when_it_is_rejected() -> None:
    now = reject(state("a", "a", "a"), "a", "fails")
    assert (now.live, now.find("a").bad) == ("a", "fails")  # type: ignore[union-attr]


def test_rejecting_another_release_changes_only_its_mark() -> None:
    now = reject(state("ab", "b", "ab"), "a", "fails")
    assert (now.live, now.history) == ("b", ("a", "b"))


def test_history_comes_from_the_log_and_ends_with_what_is_live() -> None:
    log: list[dict[str, t.Any]] = [
        {"action": "install", "release": "a"},
        {"action": "live", "release": "a"},
        {"action": "live", "release": "b"},
        {"action": "live", "release": "c"},
        {"action": "back", "release": "b"},
        {"action": "live", "release": None},
        {},
    ]
    assert history_of(log, "b") == ("a", "b")
    assert history_of(log, "b", forget=False) == ("a", "c", "b")
    assert history_of([], "b") == ("b",)
    assert history_of(log, "x") == ("a", "b", "x")
    assert history_of([], "") == ()


# --- What is kept


@pytest.mark.parametrize(
    ("ids", "live", "history", "bad", "keep", "gone"),
    [
        ("abcdef", "f", "abcdef", "", 5, "a"),
        ("abcdefg", "g", "abcdefg", "", 5, "ab"),
        ("abc", "c", "abc", "", 5, ""),
        ("abc", "c", "abc", "", 1, "a"),
        ("abc", "a", "a", "", 1, "bc"),
        ("abcdef", "f", "abcdef", "d", 5, "d"),
        ("abcdef", "a", "efa", "", 2, "bcde"),
        ("abcd", "d", "ad", "", 2, "bc"),
        ("abcdefg", "g", "bcdafg", "", 5, "eb"),
    ],
)
def test_superfluous(ids: str, live: str, history: str, bad: str, keep: int, gone: str) -> None:
    assert "".join(superfluous(state(ids, live, history, bad), keep)) == gone


def test_what_was_gone_back_from_stays_longer_than_what_was_never_live() -> None:
    now = after_switch(state("abcdef", "c", "abc"), "b", back=True)
    assert (now.history, now.served) == (("a", "b"), ("a", "c", "b"))
    assert superfluous(now, 3) == ["d", "e", "f"]


def test_a_release_that_something_still_runs_in_is_not_deleted() -> None:
    now = replace(state("abcdef", "f", "abcdef"), used=frozenset("a"))
    assert superfluous(now, 5) == ["b"]
    assert [r.id for r in after_prune(now, 2).releases] == ["a", "e", "f"]


LETTERS = "abcdefgh"


@given(
    ids=st.sets(st.sampled_from(LETTERS)),
    history=st.permutations(LETTERS),
    bad=st.sets(st.sampled_from(LETTERS)),
    keep=st.integers(0, 9),
)
def test_pruning_keeps_what_is_live_and_what_it_came_from(
    ids: set[str], history: list[str], bad: set[str], keep: int
) -> None:
    kept = [i for i in history if i in ids]
    now = state("".join(sorted(ids)), kept[-1] if kept else "", "".join(kept), "".join(bad))
    after = after_prune(now, keep)
    assert {now.live, now.previous()} - {""} <= {r.id for r in after.releases}
    assert len(after.releases) <= max(keep, 2)
    assert len(after.releases) >= min(keep, len(ids))
    assert not superfluous(after, keep)


def test_installing_sorts_by_time_and_forgets_partial_ones() -> None:
    now = after_install(State(partial=("x.partial",)), Release("b"))
    assert [r.id for r in after_install(now, Release("a")).releases] == ["a", "b"]
    assert now.partial == ()


def test_an_id_sorts_by_time_in_utc() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    moment = datetime.datetime(2026, 11, 21, 1, 2, 3, tzinfo=zone)
    assert release_id(moment, "1a2b3c4d5e") == "20261120230203-1a2b3c4d"


def test_a_digest_finds_the_live_release_before_the_newest() -> None:
    same = tuple(Release(i, digest="x") for i in "abc")
    assert State(same, live="b").by_digest("x").id == "b"  # type: ignore[union-attr]
    assert State(same).by_digest("x").id == "c"  # type: ignore[union-attr]
    assert State(same).by_digest("y") is None


# --- Archives

GOOD = {"package.json": "{}", "package-lock.json": "{}", "dist/worker.js": "1"}


def archive(path: Path, files: dict[str, str], extra: t.Iterable[tarfile.TarInfo] = ()) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
        for member in extra:
            tar.addfile(member)
    return str(path)


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def without(name: str) -> dict[str, str]:
    return {k: v for k, v in GOOD.items() if k != name}


@pytest.mark.parametrize("prefix", ["", "./"])
def test_a_good_archive(tmp_path: Path, prefix: str) -> None:
    links = [
        special(f"{prefix}latest.js", tarfile.SYMTYPE, "dist/worker.js"),
        special(f"{prefix}dist", tarfile.DIRTYPE),
    ]
    assert check_archive(archive(tmp_path / "a.tar.gz", {prefix + k: v for k, v in GOOD.items()}, links)) == 5


@pytest.mark.parametrize(
    ("files", "extra", "says"),
    [
        (without("package-lock.json"), [], "no package-lock.json;"),
        (without("package.json"), [], "no package.json;"),
        ({}, [], "no package.json and no package-lock.json; .*declare dependencies: none for .* Go"),
        ({f"app/{k}": v for k, v in GOOD.items()}, [], "pack from inside it"),
        ({**GOOD, "/etc/cron.d/x": ""}, [], "outside the release"),
        ({**GOOD, "dist/../../x": ""}, [], "outside the release"),
        ({**GOOD, "dist/../..": ""}, [], "outside the release"),
        (GOOD, [special("x", tarfile.SYMTYPE, "/etc/passwd")], "points to '/etc/passwd'"),
        (GOOD, [special("dist/x", tarfile.SYMTYPE, "../..")], r"points to '\.\./\.\.'"),
        (GOOD, [special("dist/x", tarfile.SYMTYPE, "../../x")], r"points to '\.\./\.\./x'"),
        (GOOD, [special("x", tarfile.LNKTYPE, "../../etc/passwd")], "outside the release"),
        (GOOD, [special("x", tarfile.FIFOTYPE)], "device or a pipe"),
        (GOOD, [special("x", tarfile.CHRTYPE)], "device or a pipe"),
        ({**GOOD, "link/x": ""}, [special("link", tarfile.SYMTYPE, "dist")], "through the link 'link'"),
        (without("package.json"), [special("package.json", tarfile.SYMTYPE, "dist/worker.js")], "no package.json;"),
    ],
)
def test_a_bad_archive_is_refused_by_name(
    tmp_path: Path, files: dict[str, str], extra: list[tarfile.TarInfo], says: str
) -> None:
    with pytest.raises(ReleaseError, match=says):
        check_archive(archive(tmp_path / "a.tar.gz", files, extra))


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("dist/worker.js", ""),
        ("./dist/worker.js", ""),
        ("latest/worker.js", ""),
        ("worker.js", ""),
        ("node_modules/.bin/next", ""),
        ("installed/.bin/next", ""),
        ("/usr/bin/node", ""),
        ("../../shared/run", ""),
        # Nobody makes it of npm's packages.
        ("venv/bin/python", "no venv/bin/python, which is what process w starts"),
        ("python3", "or the whole path of a program of the host, such as /usr/bin/python3"),
        (
            "lib/worker.js",
            r"no lib/worker\.js, which is what process w starts\. It has dist/worker\.js, worker\.js: declare",
        ),
        ("dist", "no dist, which is what process w starts. Declare the file that it has"),
        ("bin/worker", "no bin/worker"),
    ],
)
def test_what_is_started_must_be_in_the_archive(tmp_path: Path, program: str, says: str) -> None:
    links = [
        special("dist", tarfile.DIRTYPE),
        special("latest", tarfile.SYMTYPE, "dist"),
        special("worker.js", tarfile.SYMTYPE, "latest/worker.js"),
        special("installed", tarfile.SYMTYPE, "node_modules"),
    ]
    path = archive(tmp_path / "a.tar.gz", GOOD, links)
    if not says:
        assert check_archive(path, programs={"w": program}) == 5
        return
    with pytest.raises(ReleaseError, match=says):
        check_archive(path, programs={"w": program})


@pytest.mark.parametrize("program", ["venv/bin/python", "node_modules/.bin/next"])
def test_where_nothing_is_installed_all_that_is_started_is_in_the_archive(tmp_path: Path, program: str) -> None:
    path = archive(tmp_path / "a.tar.gz", {"README": "1"})
    with pytest.raises(ReleaseError, match=f"it has no {program}"):
        check_archive(path, "none", {"w": program})
    assert check_archive(archive(tmp_path / "b.tar.gz", {program: "1"}), "none", {"w": program}) == 1


def test_what_is_executed_must_be_executable(tmp_path: Path) -> None:
    plain, program = special("bin/worker", tarfile.REGTYPE), special("bin/api", tarfile.REGTYPE)
    plain.mode, program.mode = 0o644, 0o755
    path = archive(tmp_path / "a.tar.gz", {"README": "1"}, [plain, program])
    assert check_archive(path, "none", {"api": "bin/api"}, True) == 1
    assert check_archive(path, "none", {"w": "bin/worker"}) == 1
    with pytest.raises(ReleaseError, match=r"its bin/worker, which process w starts, is not executable \(mode 0644\)"):
        check_archive(path, "none", {"api": "bin/api", "w": "bin/worker"}, True)


def test_a_release_needs_no_directory_that_nothing_is_started_from(tmp_path: Path) -> None:
    files = {"package.json": "{}", "package-lock.json": "{}", "src/worker.mjs": "1"}
    assert check_archive(archive(tmp_path / "a.tar.gz", files), programs={"w": "src/worker.mjs"}) == 5


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    archive(path, {**GOOD, "dist/big": os.urandom(20000).hex()})
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ReleaseError, match=r"cannot be read as a \.tar\.gz"):
        check_archive(path)
    path.write_text("not an archive")
    with pytest.raises(ReleaseError, match=r"cannot be read as a \.tar\.gz"):
        check_archive(path)


@given(st.lists(st.sampled_from(["..", ".", "a", "b", ""]), min_size=1, max_size=6))
def test_no_member_leaves_the_release(parts: list[str]) -> None:
    name = "/".join(parts)
    try:
        path = member_path(name)
    except ReleaseError:
        return
    assert os.path.normpath(os.path.join("/release", path)).startswith("/release")  # noqa: PTH118


def test_digests(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    digest = file_digest(tmp_path / "f")
    check_digest("f", digest, digest.upper())
    check_digest("f", digest, f"sha256:{digest}")
    check_digest("f", digest, "")
    with pytest.raises(ReleaseError, match="expected abc"):
        check_digest("f", digest, "abc")
    with pytest.raises(ReleaseError, match="cannot be read: No such file"):
        file_digest(tmp_path / "missing")


# --- On disk


@pytest.fixture
def account() -> Account:
    return Account.find(getpass.getuser())


@pytest.fixture
def store(tmp_path: Path, account: Account) -> Store:
    made = Store(str(tmp_path / "app"))
    made.prepare(account)
    return made


@pytest.fixture
def npm(tmp_path: Path) -> Npm:
    """An npm that installs one package and writes down its environment; it fails where a file says so."""
    script = tmp_path / "npm"
    script.write_text(
        '#!/bin/sh\nmkdir -p node_modules/ms && env > node_modules/ms/env && echo "$@" > node_modules/ms/arguments\n'
        "if [ -e dist/fail ]; then printf 'npm error %s\\n' 'code E404' '' 'Missing: left-pad@1.3.0 from lock file' \\\n"
        "  'Clean install a project' '' 'Usage:' 'npm ci' 1 2 3 4 5 6 7 8 9 10 11 12 >&2; exit 1; fi\n"
        "if [ -e dist/full ]; then echo 'npm error ENOSPC: no space left on device' >&2; exit 1; fi\n"
    )
    script.chmod(0o755)
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v20.19.2\n")
    node.chmod(0o755)

    class Here(Npm):
        def node_version(self, account: Account) -> str:
            return "v20.19.2"

    return Here(str(script), {"NODE_EXTRA_CA_CERTS": "/ca"})


def install(store: Store, tmp_path: Path, account: Account, npm: Npm, name: str, files: dict[str, str]) -> Release:
    artifact = archive(tmp_path / f"{name}.tar.gz", files)
    return store.install(Release(name, file_digest(artifact)), artifact, account, {"source": name}, npm)


def test_a_disk_that_gets_full_is_told_with_what_to_do(
    store: Store, tmp_path: Path, account: Account, npm: Npm
) -> None:
    with pytest.raises(ReleaseError, match=r"ENOSPC: no space left.*Free some space"):
        install(store, tmp_path, account, npm, "r1", {**GOOD, "dist/full": ""})
    full = OSError(errno.ENOSPC, "No space left on device", "/a/b")
    assert str(ReleaseError.unwritable(Path("/a"), full)).startswith(
        "/a cannot be written: No space left on device (/a/b). Free some space"
    )
    assert "Free" not in str(ReleaseError.unwritable(Path("/a"), OSError(errno.EROFS, "Read-only file system")))


def test_an_empty_host(tmp_path: Path) -> None:
    assert Store(str(tmp_path / "none")).read() == State()


def test_install_switch_mark_and_delete(store: Store, tmp_path: Path, account: Account, npm: Npm) -> None:
    first = install(store, tmp_path, account, npm, "r1", GOOD)
    place = store.releases / "r1"
    assert json.loads((place / "REVISION").read_text())["digest"] == first.digest
    environment = (place / "node_modules/ms/env").read_text()
    assert "NODE_EXTRA_CA_CERTS=/ca" in environment
    assert "HOME=" + str(store.root / ".cache") in environment
    assert "ci --omit=dev --ignore-scripts" in (place / "node_modules/ms/arguments").read_text()
    store.switch("r1")
    assert (store.read().live, str(store.current.readlink())) == ("r1", "releases/r1")
    store.mark("r1", "fails")
    assert store.read().releases[0].bad == "fails"
    store.mark("r1", "")
    assert store.read().releases == (first,)
    store.delete("r1")
    assert store.read() == State(history=("r1",), served=("r1",))


def test_the_same_lock_file_shares_dependencies(store: Store, tmp_path: Path, account: Account, npm: Npm) -> None:
    install(store, tmp_path, account, npm, "r1", GOOD)
    install(store, tmp_path, account, npm, "r2", {**GOOD, "dist/worker.js": "2"})
    install(store, tmp_path, account, npm, "r3", {**GOOD, "package-lock.json": "{ }"})
    inodes = [(store.releases / r / "node_modules/ms/env").stat().st_ino for r in ("r1", "r2", "r3")]
    assert inodes[0] == inodes[1] != inodes[2]
    assert (store.releases / "r1/REVISION").stat().st_ino != (store.releases / "r2/REVISION").stat().st_ino


def test_dependencies_that_another_manifest_declares_are_not_shared(
    store: Store, tmp_path: Path, account: Account, npm: Npm
) -> None:
    """npm is to compare them with the lock file, and refuses what does not fit."""
    install(store, tmp_path, account, npm, "r1", GOOD)
    install(
        store, tmp_path, account, npm, "r2", {**GOOD, "package.json": '{"version": "1.0.1", "scripts": {"x": "y"}}'}
    )
    first, second = ((store.releases / r / "node_modules/ms/env").stat().st_ino for r in ("r1", "r2"))
    assert first == second
    for number, kind in enumerate(("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")):
        files = {**GOOD, "package.json": json.dumps({kind: {"left-pad": "^1.3.0"}}), "dist/fail": ""}
        with pytest.raises(ReleaseError, match="npm ci failed: code E404"):
            install(store, tmp_path, account, npm, f"r{number + 3}", files)
    with pytest.raises(ReleaseError, match="npm ci failed: code E404"):
        install(store, tmp_path, account, npm, "r9", {**GOOD, "package.json": "no JSON", "dist/fail": ""})


def test_a_failed_installation_leaves_nothing(store: Store, tmp_path: Path, account: Account, npm: Npm) -> None:
    with pytest.raises(ReleaseError, match=r"npm ci failed: code E404 \| Missing: left-pad@1\.3\.0 from lock file$"):
        install(store, tmp_path, account, npm, "r1", {**GOOD, "dist/fail": ""})
    with pytest.raises(ReleaseError, match="npm cannot be run"):
        install(store, tmp_path, account, type(npm)("/no/npm", {}), "r1", GOOD)
    assert list(store.releases.iterdir()) == []


def test_leftovers_are_seen_and_removed(store: Store) -> None:
    (store.releases / "r1.partial/dist").mkdir(parents=True)
    (store.releases / "stray file").write_text("")
    assert store.read() == State(partial=("r1.partial",))
    store.clean(store.read().partial)
    assert store.read() == State()


def test_unpacking_drops_set_id_bits_and_keeps_links_inside(
    store: Store, tmp_path: Path, account: Account, npm: Npm
) -> None:
    tool = tarfile.TarInfo("dist/tool")
    tool.mode = 0o4777
    extra = [
        tool,
        special("latest.js", tarfile.SYMTYPE, "dist/worker.js"),
        special("again.js", tarfile.LNKTYPE, "dist/worker.js"),
    ]
    artifact = archive(tmp_path / "a.tar.gz", GOOD, extra)
    store.install(Release("r1", "x"), artifact, account, {}, npm)
    place = store.releases / "r1"
    assert (place / "dist/tool").stat().st_mode & 0o7777 == 0o755
    assert (place / "dist/worker.js").stat().st_mode & 0o7777 == 0o644
    assert str((place / "latest.js").readlink()) == "dist/worker.js"
    assert (place / "again.js").read_text() == "1"


def test_unpacking_judges_the_archive_that_it_reads(tmp_path: Path) -> None:
    # It may be another file than the one that was looked at before.
    (tmp_path / "place").mkdir()
    changed = archive(tmp_path / "a.tar.gz", {**GOOD, "../outside": "x"})
    with pytest.raises(ReleaseError, match="outside the release"):
        unpack(changed, tmp_path / "place")
    assert not list((tmp_path / "place").iterdir())
    assert not (tmp_path / "outside").exists()


def test_a_directory_in_the_place_of_the_link_is_named(store: Store) -> None:
    store.current.mkdir()
    with pytest.raises(ReleaseError, match="is not a link"):
        store.read()


def test_a_dangling_link_is_no_live_release(store: Store) -> None:
    store.switch("gone")
    assert store.read().live == ""


def test_the_log_survives_a_line_that_was_cut_off(store: Store) -> None:
    store.append(action="live", release="a")
    with store.log.open("a") as file:
        file.write('{"action": "li\n')
    store.append(action="live", release="b")
    assert [e["release"] for e in store.entries()] == ["a", "b"]
    assert {"at", "host"} <= set(store.entries()[0])


def test_too_little_space_is_said_before_npm_runs_into_it(
    store: Store, tmp_path: Path, account: Account, npm: Npm, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(t.NamedTuple):
        free: int

    monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage(50 << 20))
    with pytest.raises(ReleaseError, match="has 50 MB free, expected at least 450 MB"):
        install(store, tmp_path, account, npm, "r1", GOOD)


def test_only_what_package_clients_need_is_passed_on() -> None:
    assert passed_on({"npm_config_cafile": "x", "https_proxy": "y", "SECRET": "z", "NODE_OPTIONS": "--no"}) == {
        "npm_config_cafile": "x",
        "https_proxy": "y",
    }
