# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a platform's parts come from when not from the usual place.

A managed PostgreSQL, an engine that somebody has put in, one of the vendor's repository, a registry, other sizes; on
Debian 12 and 13. A host beside stands for the places: Debian's PostgreSQL, Debian's registry, and a package repository in
which Debian's engine has the names and the layout of the vendor's.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from play import ROOT, environment, play
from test_several_hosts import address, on

BESIDE, ENGINE_12, ENGINE_13, BARE_12, BARE_13 = (
    f"durable-sources-{name}" for name in ("beside", "engine", "engine13", "bare12", "bare13")
)
VENDOR_PORT, REGISTRY_PORT = 8000, 5000
IMAGES = {"postgres": "17", "server": "1.32.2", "admin_tools": "1.32.2", "ui": "2.56.0"}
NAMES = {"postgres": "library/postgres", "server": "temporalio/server"} | {
    "admin_tools": "temporalio/admin-tools",
    "ui": "temporalio/ui",
}
REPOSITORY = r"""
set -e
cd /srv && mkdir -p vendor/debian/pool build && cd build
apt-get -qq download docker.io docker-cli containerd docker-compose
rename() {
  dpkg-deb -R "$1"_*.deb "$2"
  sed -i "s/^Package: .*/Package: $2/; s/containerd (/containerd.io (/; /^\(Breaks\|Replaces\|Conflicts\|Provides\|Recommends\|Suggests\):/d" \
    "$2/DEBIAN/control"
  sed -i "/^Architecture:/a Conflicts: $1\nReplaces: $1" "$2/DEBIAN/control"
  dpkg-deb -Znone -b "$2" ../vendor/debian/pool >/dev/null
}
rename docker.io docker-ce
rename docker-cli docker-ce-cli
rename containerd containerd.io
rename docker-compose docker-compose-plugin
export GNUPGHOME=/root/vendor-key && mkdir -m 700 $GNUPGHOME
gpg --quiet --batch --passphrase '' --quick-generate-key 'Test vendor <vendor@example.com>' default default never
cd /srv/vendor/debian && gpg --armor --export >gpg
for suite in bookworm trixie; do
  mkdir -p dists/$suite/stable/binary-amd64
  apt-ftparchive packages pool >dists/$suite/stable/binary-amd64/Packages
  apt-ftparchive -o APT::FTPArchive::Release::Suite=$suite -o APT::FTPArchive::Release::Codename=$suite \
    -o APT::FTPArchive::Release::Components=stable -o APT::FTPArchive::Release::Architectures=amd64 \
    release dists/$suite >/srv/Release
  gpg --quiet --batch --clearsign --output dists/$suite/InRelease /srv/Release
done
systemd-run --quiet --unit=vendor python3 -m http.server --directory /srv/vendor 8000
"""
# Debian's asks everybody for a password.
REGISTRY = (
    "sed -i '/^auth:/,/^health:/{/^health:/!d}' /etc/docker/registry/config.yml && systemctl restart docker-registry"
)
DATABASE = """
set -e
cat >/etc/postgresql/17/main/conf.d/managed.conf <<'CONF'
listen_addresses = '*'
ssl = on
CONF
echo 'hostssl all all 10.213.0.0/24 scram-sha-256' >>/etc/postgresql/17/main/pg_hba.conf
systemctl restart postgresql@17-main
su postgres -c "psql -qc \\"create role platform login createdb createrole password 'Managed-by-others-7'\\""
"""


def psql(query: str, vm: str = BESIDE) -> str:
    inside = "su postgres -c" if vm == BESIDE else "docker exec -u postgres temporal-postgres sh -c"
    return on(vm, f'{inside} "psql -At -c \\"{query}\\""').strip()


def slowly(vm: str, command: str) -> None:
    """What takes longer than a question."""
    done = subprocess.run(["docker", "exec", vm, "sh", "-c", command], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr


def install(vm: str, packages: str) -> None:
    apt = "DEBIAN_FRONTEND=noninteractive apt-get -qq"
    slowly(vm, f"{apt} update && {apt} install -y --no-install-recommends {packages}")


@contextmanager
def host(name: str, image: str) -> Iterator[str]:
    """A test host, by its address, for as long as it is needed."""
    release, engine, _rest = image.partition("-engine")
    subprocess.run([ROOT / "scripts" / ("host-image-engine" if engine else "host-image"), release], check=True)
    try:
        subprocess.run([ROOT / "scripts" / "vm", "new", name, image], check=True)
        yield address(name)
    finally:
        subprocess.run([ROOT / "scripts" / "vm", "down", name], check=True)


def inventory(folder: Path, vm: str, **variables: Any) -> Path:
    """The inventory of one host with everything but applications, with the variables that a user would add."""
    one = {"hosts": {"one": {}}}
    folder.mkdir()
    (folder / "hosts.yml").write_text(
        json.dumps(
            {
                "all": {
                    "vars": {"ansible_connection": "community.docker.docker"},
                    "hosts": {"one": {"ansible_host": vm, "topology_applications": [], **variables}},
                    "children": dict.fromkeys(("postgres", "temporal", "temporal_ui"), one),
                }
            }
        )
    )
    (folder / "group_vars").symlink_to(ROOT / "inventories" / "local" / "group_vars")
    return folder


def role(folder: Path, vm: str, name: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run one role alone, without preflight and wiring."""
    playbook = folder / f"{name}.yml"
    playbook.write_text(
        json.dumps([{"hosts": "all", "gather_facts": False, "roles": [f"durable.temporal.{name}"], "vars": variables}])
    )
    connection = ["-e", "ansible_connection=community.docker.docker"]
    command = ["ansible-playbook", "-i", f"{vm},", *connection, str(playbook)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DURABLE_RUN_DIR", str(tmp_path_factory.mktemp("run")))
        patch.setenv("DURABLE_CHECKOUT", str(ROOT))
        yield


@pytest.fixture(scope="module")
def beside() -> Iterator[str]:
    with host(BESIDE, "debian13") as reached:
        install(BESIDE, "postgresql ssl-cert docker-registry apt-utils gnupg")
        on(BESIDE, DATABASE)
        on(BESIDE, REGISTRY)
        slowly(BESIDE, REPOSITORY)
        yield reached


@pytest.fixture(scope="module")
def engine(beside: str) -> Iterator[str]:
    with host(ENGINE_12, "debian12-engine") as reached:
        # As its owner has configured it.
        registry = json.dumps({"insecure-registries": [f"{beside}:{REGISTRY_PORT}"]})
        on(ENGINE_12, f"mkdir -p /etc/docker && echo '{registry}' >/etc/docker/daemon.json && systemctl restart docker")
        yield reached


def test_a_managed_database_and_an_engine_that_was_put_in(beside: str, engine: str, tmp_path: Path) -> None:
    before = on(ENGINE_12, "cat /etc/docker/daemon.json; dpkg -l | grep -E 'docker|containerd'")
    place = inventory(
        tmp_path / "inventory",
        ENGINE_12,
        docker_source="none",
        postgres_runtime="external",
        postgres_login_host=beside,
        postgres_login_user="platform",
        postgres_superuser_password="Managed-by-others-7",
        postgres_ssl_mode="require",
        temporal_database_sslmode="require",
    )
    site = play("site", place)
    assert site.rc == 0, site.failure
    again = play("site", place)
    assert (again.rc, again.changed) == (0, []), again.failure
    status = play("status", place)
    assert status.rc == 0, status.failure

    assert "temporal-postgres" not in on(ENGINE_12, "docker ps --all")
    assert on(ENGINE_12, "cat /etc/docker/daemon.json; dpkg -l | grep -E 'docker|containerd'") == before
    start = "temporal workflow start --namespace order-processing --task-queue none --type Any --workflow-id managed-1"
    on(ENGINE_12, start)
    assert psql("select rolsuper from pg_roles where rolname = 'platform'") == "f"
    encrypted = "select ssl, count(*) > 0 from pg_stat_activity join pg_stat_ssl using (pid) where usename = 'temporal'"
    assert psql(f"{encrypted} group by 1") == "t|t", "every connection is encrypted"
    found = "su postgres -c \"psql -At temporal_visibility -c 'select workflow_id from executions_visibility'\""
    assert "managed-1" in on(BESIDE, found).split()


@pytest.fixture(scope="module")
def registry(beside: str, engine: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry that has the images under their official names. They were made here: the official ones cannot be had."""
    place = f"{beside}:{REGISTRY_PORT}"
    references = {component: f"{place}/{NAMES[component]}:{version}" for component, version in IMAGES.items()}
    tasks = [
        {
            "durable.temporal.artifacts": {
                "source": "debian" if component == "postgres" else "go_module",
                "images": [{"component": component, "version": version, "reference": references[component]}],
            }
        }
        for component, version in IMAGES.items()
    ]
    playbook = tmp_path_factory.mktemp("registry") / "images.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    command = ["ansible-playbook", "-i", f"{ENGINE_12},", "-e", "ansible_connection=community.docker.docker"]
    made = subprocess.run([*command, str(playbook)], env=environment(), capture_output=True, text=True, timeout=900)
    assert made.returncode == 0, made.stdout
    for reference in references.values():
        slowly(ENGINE_12, f"docker push --quiet {reference}")
    return place


SIZES: Mapping[str, Mapping[str, str]] = {
    "medium": {"shared_buffers": "1GB", "max_connections": "150", "effective_cache_size": "3GB"},
    "large": {"shared_buffers": "2GB", "max_connections": "200", "effective_cache_size": "6GB"},
}


def test_images_of_a_registry_and_the_larger_sizes(registry: str, tmp_path: Path) -> None:
    here = (ROOT / ".local" / "artifact-source").read_text().strip()
    # A registry has no programs; the vendor's releases are not to be had everywhere.
    programs = "release" if here == "registry" else here
    with host(BARE_13, "debian13"):
        for size, settings in SIZES.items():
            place = inventory(
                tmp_path / size,
                BARE_13,
                topology_size=size,
                topology_artifact_source="registry",
                temporal_client_artifact_source=programs,
                postgres_image_source="registry",
                docker_daemon_options={"registry-mirrors": [f"http://{registry}"]},
            )
            site = play("site", place)
            assert site.rc == 0, site.failure
            in_effect = {name: psql(f"show {name}", BARE_13) for name in settings}
            assert in_effect == settings
        images = on(BARE_13, "docker ps --format '{{.Image}}'").split()
        assert sorted(images) == sorted(
            f"{NAMES[component].removeprefix('library/')}:{version}" for component, version in IMAGES.items()
        )
        assert "8g" in on(BARE_13, "grep mem_limit /opt/order-processing/temporal/postgres.yaml").replace("8192m", "8g")
        assert play("status", place).rc == 0
        again = play("site", place)
        assert (again.rc, again.changed) == (0, []), again.failure


def containers(vm: str) -> str:
    return on(vm, "docker ps --no-trunc --quiet; dpkg -l | grep -E 'docker|containerd'")


def test_the_engine_of_the_vendor(beside: str, tmp_path: Path) -> None:
    with host(BARE_12, "debian12"):
        # Debian 12's own engine is too old; nobody takes it away.
        install(BARE_12, "docker.io")
        for source in ("auto", "none"):
            refused = play("site", inventory(tmp_path / f"old-{source}", BARE_12, docker_source=source))
            assert refused.rc != 0
            assert refused.changed == []
            assert f" is {source}, and " in refused.failure
            assert "is 20.10" in refused.failure
            alone = role(tmp_path, BARE_12, "docker", docker_source=source)
            assert alone.returncode != 0
            assert "expected 25 or newer" in alone.stdout
        slowly(BARE_12, "DEBIAN_FRONTEND=noninteractive apt-get -qq purge --autoremove -y docker.io")

        nowhere = inventory(tmp_path / "nowhere", BARE_12, docker_vendor_repository="http://127.0.0.1:1/linux")
        failed = play("site", nowhere, "--tags", "host,docker")
        assert failed.rc != 0
        for told in ("http://127.0.0.1:1/linux/debian", "docker_source", "docker_vendor_repository"):
            assert told in failed.failure

        vendor = {"docker_vendor_repository": f"http://{beside}:{VENDOR_PORT}"}
        place = inventory(tmp_path / "vendor", BARE_12, **vendor)
        site = play("site", place, "--tags", "host,docker")
        assert site.rc == 0, site.failure
        assert on(BARE_12, "docker compose version --short").startswith("2.")
        assert on(BARE_12, "docker info --format '{{.LiveRestoreEnabled}}'").strip() == "true"
        assert "docker-ce" in containers(BARE_12)
        again = play("site", place, "--tags", "host,docker")
        assert (again.rc, again.changed) == (0, []), again.failure

        before = containers(BARE_12)
        refused = play("site", inventory(tmp_path / "other", BARE_12, docker_source="distribution"))
        assert refused.rc != 0
        assert "an engine from elsewhere (package docker-ce" in refused.failure
        # The same engine, put in by somebody else: neither replaced nor configured.
        on(BARE_12, "rm /etc/apt/sources.list.d/durable-temporal-docker.sources /var/lib/durable-temporal/docker")
        on(BARE_12, "echo '{}' >/etc/docker/daemon.json")
        taken = play("site", place, "--tags", "host,docker")
        assert (taken.rc, taken.changed) == (0, []), taken.failure
        assert containers(BARE_12) == before
        assert on(BARE_12, "cat /etc/docker/daemon.json").strip() == "{}"


def test_an_engine_of_the_distribution_that_others_use(tmp_path: Path) -> None:
    kept = "docker ps --no-trunc --quiet; cat /etc/docker/daemon.json; docker info --format '{{.DockerRootDir}}'"
    with host(ENGINE_13, "debian13-engine"):
        settings = json.dumps({"data-root": "/srv/docker", "log-driver": "local"})
        on(ENGINE_13, f"mkdir -p /etc/docker && echo '{settings}' >/etc/docker/daemon.json && systemctl restart docker")
        program = "/usr/bin/sleep $(ldd /usr/bin/sleep | grep -o '/[^ ]*')"
        on(ENGINE_13, f"tar --dereference -cP {program} | docker import - shop")
        on(ENGINE_13, "docker run --detach --name shop --network none shop /usr/bin/sleep infinity")
        before = on(ENGINE_13, kept)
        taken = play("site", inventory(tmp_path / "taken", ENGINE_13), "--tags", "host,docker")
        assert taken.rc == 0, taken.failure
        assert on(ENGINE_13, kept) == before
        refused = play("site", inventory(tmp_path / "named", ENGINE_13, docker_source="distribution"))
        assert refused.rc != 0
        assert refused.changed == []
        for told in ("data-root, log-driver", "containers run (shop)", "Set docker_source to none"):
            assert told in refused.failure

        # Declared, and its container stopped: ours from now on.
        on(ENGINE_13, "docker stop -t 1 shop")
        declared = {"docker_source": "distribution", "docker_daemon_options": json.loads(settings) | {"log-opts": {}}}
        site = play("site", inventory(tmp_path / "ours", ENGINE_13, **declared), "--tags", "host,docker")
        assert site.rc == 0, site.failure
        there = "docker ps --all --format '{{.Names}}'; docker info --format '{{.DockerRootDir}}'"
        assert on(ENGINE_13, there).split() == ["shop", "/srv/docker"]
        on(ENGINE_13, """sed -i 's/^{/{"shutdown-timeout": 20,/' /etc/docker/daemon.json""")
        edited = play("site", tmp_path / "ours")
        assert edited.rc != 0
        assert edited.changed == []
        assert "it has shutdown-timeout of its own" in edited.failure
