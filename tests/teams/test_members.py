"""The server of docs/teams.md for a network: encryption, passwords, members and what they may do."""

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.teams.page import PARAMS, WORKER, clean_environment, documented, require, shell
from tests.teams.servers import PASSWORD, Bucket, Postgres, free_port, running

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("preloaded")]
ADMIN, ANN, BEN = "admin-of-the-server", "password-of-ann", "password-of-ben"
WORK = f"python {WORKER} {{}} 3 ."


def write_certificate(folder: Path) -> None:
    """server.key and server.crt for 127.0.0.1, signed by nobody else."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    written = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "server.key").write_bytes(written)
    (folder / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


@pytest.fixture(scope="module")
def network(
    postgres: Postgres, database: str, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """host:port of the server for a network, with the members ann and ben and a database of its own, and its folder."""
    require("flask_wtf", "cryptography")
    folder, port = tmp_path_factory.mktemp("network"), free_port()
    shell("createdb --owner=mlflow members", folder, postgres.administrator)
    own = {"127.0.0.1:5432/mlflow": f"{database}/members"}
    address, heading = f"127.0.0.1:{port}", "The server on a network"
    write_certificate(folder)
    lines = documented("The server", bucket.words(), "ini")
    more, users = documented(heading, {"ADMIN-PASSWORD": ADMIN} | own, "ini")
    (folder / "server.env").write_text("".join([*lines, more]))
    (folder / "auth.ini").write_text(users)
    known = own | {"0.0.0.0": "127.0.0.1", "mlflow.hospital.example:5000": address}
    fewer = {"--port 5000": f"--port {port}", "--workers 2": "--workers 1"}  # two are started in test_server.py
    [command] = documented(heading, known | fewer)
    environment = clean_environment(folder)
    with running(command, folder, f"https://{address}", environment):
        [add] = documented("Members", {"ADMIN-PASSWORD": ADMIN, "mlflow.hospital.example:5000": address})
        shell(add, folder, environment, typed=f"{ANN}\n")
        shell(add.replace('"ann"', '"ben"'), folder, environment, typed=f"{BEN}\n")
        yield address, folder


@pytest.fixture
def machine(network: tuple[str, Path], tmp_path: Path) -> Path:
    """The workspace of a member, whose home folder it is too, with nothing but params.yaml and an open gate."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "open").touch()
    return tmp_path


def as_member(
    network: tuple[str, Path], home: Path, name: str, password: str, script: str, certificate: str = ""
) -> str:
    """What a script prints, stderr too, that runs after the lines which the page tells a member to type."""
    address, folder = network
    words = {
        "mlflow.hospital.example:5000": address,
        "USERNAME=ann": f"USERNAME={name}",
        "PASSWORD-OF-ANN": password,
        "/etc/ssl/hospital.crt": certificate or str(folder / "server.crt"),
    }
    (home / ".echosynth.env").write_text("".join(documented("On a member's machine", words, "sh")))
    [lines] = documented("On a member's machine", {"dvc repro": script})
    return shell(lines, home, clean_environment(home), check=False).stdout


def test_members_write_and_do_not_delete_what_others_made(network: tuple[str, Path], machine: Path) -> None:
    first = as_member(network, machine, "ann", ANN, WORK.format(0))
    assert not first, first
    (machine / "params.yaml").write_text(f"{PARAMS}ben: 1\n")
    second = as_member(network, machine, "ben", BEN, WORK.format(1))
    assert not second, second
    code = "import mlflow; c = mlflow.MlflowClient(); r = c.search_runs(['1']); "
    code += "print([run.info.run_name for run in r]); c.delete_run(r[-1].info.run_id)"
    seen = as_member(network, machine, "ben", BEN, f'python -c "{code}"')
    assert "'worker 0'" in seen
    assert "'worker 1'" in seen
    assert "PERMISSION_DENIED" in seen or "Permission denied" in seen


def test_wrong_password_and_unknown_certificate_are_one_sentence(network: tuple[str, Path], machine: Path) -> None:
    wrong = as_member(network, machine, "ann", "not-her-password", WORK.format(0))
    assert "not-her-password" not in wrong
    assert "cannot be used: " in wrong.strip().splitlines()[-1]
    assert "not authenticated" in wrong
    (machine / "empty.crt").touch()
    unknown = as_member(network, machine, "ann", ANN, WORK.format(0), "/etc/ssl/certs/ca-certificates.crt")
    assert "certificate" in unknown.lower()
    assert ANN not in unknown


def test_database_password_and_keys_stand_in_no_command(network: tuple[str, Path]) -> None:
    page = "".join(documented("The server on a network", {}))
    assert not any(word in page for word in ("PASSWORD", "SECRET", "KEY"))
    assert PASSWORD not in (network[1] / "server.log").read_text()
