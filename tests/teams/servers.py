"""Real servers on this machine: PostgreSQL, an S3-compatible store, SFTP, and those that a command starts."""

import asyncio
import logging
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PASSWORD = "pass-word-of-the-database"


def free_port() -> int:
    """A port of this machine that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 1800) -> None:
    """Wait until a server is ready.

    Raises:
        AssertionError: it ended, or is not ready in time; with what it printed.
    """
    until = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < until, log.read_text()[-3000:]
        time.sleep(0.1)


def stop(process: subprocess.Popen[bytes], number: int, whole_group: bool = True) -> None:
    """End a server with this signal, by force where it does not follow."""
    for signal_number, patience in ((number, 20), (9, 10)):
        try:
            os.killpg(process.pid, signal_number) if whole_group else process.send_signal(signal_number)
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            process.wait(patience)
            return


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server that asks for passwords.

    Attributes:
        address: host:port.
        administrator: environment of its administrator, with its programs first in PATH.
    """

    address: str
    administrator: dict[str, str]


class Unavailable(Exception):
    """A server cannot run on this machine."""


@contextmanager
def running_postgres(package: Path, folder: Path) -> Iterator[Postgres]:
    """A real PostgreSQL from the wheel `package`, with its data below `folder`.

    Raises:
        Unavailable: it does not run here.
    """
    user: dict[str, Any] = {}
    programs = max(package.glob("pginstall*/bin"))
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root, and "nobody" may not reach the environment of Python: the programs move.
        nobody = pwd.getpwnam("nobody")
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        for part in (programs.parent, package.with_name(f"{package.name}.libs")):
            if part.is_dir():
                shutil.copytree(part, folder / part.relative_to(package.parent), symlinks=True)
        programs = folder / programs.relative_to(package.parent)
        folder.chmod(0o755)
    data = folder / "data"
    data.mkdir(mode=0o700)
    (folder / "password").write_text(PASSWORD)
    if user:
        shutil.chown(data, user["user"], user["group"])
    environment = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), "LC_ALL": "C"}
    init = [
        "--pgdata",
        str(data),
        "--username=postgres",
        "--auth=scram-sha-256",
        f"--pwfile={folder}/password",
        "--no-sync",
    ]
    made = subprocess.run(
        [str(programs / "initdb"), *init], env=environment, capture_output=True, text=True, check=False, **user
    )
    if made.returncode:
        raise Unavailable(f"PostgreSQL does not run here: {(made.stderr or made.stdout).strip()[-200:]}")
    port, log = free_port(), folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", data, "-F"],
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
            **user,
        )
    try:
        asked = [str(programs / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={port}"]
        wait_for(lambda: subprocess.run(asked, env=environment, check=False).returncode == 0, process, log)
        administrator = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "PGPASSWORD": PASSWORD}
        yield Postgres(f"127.0.0.1:{port}", environment | administrator)
    finally:
        stop(process, 2, whole_group=False)  # SIGINT: do not wait for clients


@dataclass(frozen=True)
class Bucket:
    """Buckets of an S3-compatible server that checks keys.

    Attributes:
        endpoint: its address.
        key: who may use the buckets "echosynth-mlflow" and "echosynth-dvc".
        secret: the secret of that key.
    """

    endpoint: str
    key: str
    secret: str

    def words(self) -> dict[str, str]:
        """What stands in server.env in place of the page's words."""
        return {
            "DATABASE-PASSWORD": PASSWORD,
            "https://s3.hospital.example": self.endpoint,
            "BUCKET-KEY": self.key,
            "BUCKET-SECRET": self.secret,
        }

    def names(self, bucket: str) -> list[str]:
        """Names of all objects in a bucket."""
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
        )
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]


@contextmanager
def running_bucket() -> Iterator[Bucket]:
    """An S3-compatible server in this process, which checks keys."""
    import boto3
    from moto.core.authorization import enable_iam_authentication
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        first = {
            "endpoint_url": endpoint,
            "region_name": "us-east-1",
            "aws_access_key_id": "first",
            "aws_secret_access_key": "first",
        }
        for name in ("echosynth-mlflow", "echosynth-dvc"):
            boto3.client("s3", **first).create_bucket(Bucket=name)
        people = boto3.client("iam", **first)
        people.create_user(UserName="team")
        allowed = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
        people.put_user_policy(UserName="team", PolicyName="buckets", PolicyDocument=allowed)
        made = people.create_access_key(UserName="team")["AccessKey"]
        with enable_iam_authentication():
            yield Bucket(endpoint, made["AccessKeyId"], made["SecretAccessKey"])
    finally:
        server.stop()


@contextmanager
def running_sftp(folder: Path, port: int, member: Path) -> Iterator[None]:
    """A machine with SFTP and no shell, whose root is `folder`, with a host key of its own each time.

    Args:
        folder: what members see as /.
        port: on 127.0.0.1.
        member: file with the public key that is let in.
    """
    import asyncssh

    loop, ready = asyncio.new_event_loop(), threading.Event()
    listening: list[Any] = []

    def serve() -> None:
        asyncio.set_event_loop(loop)
        start = asyncssh.listen(
            "127.0.0.1",
            port,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=str(member),
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=os.fsencode(folder)),
        )
        listening.append(loop.run_until_complete(start))
        ready.set()
        loop.run_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(1800), "the SFTP server does not start"
    try:
        yield
    finally:
        loop.call_soon_threadsafe(listening[0].close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


@contextmanager
def running(command: str, folder: Path, url: str, environment: Mapping[str, str]) -> Iterator[None]:
    """Start the command of a server in `folder`, and wait until `url`/health answers; all its processes end with it."""
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=folder,
            env=dict(environment),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        wait_for(lambda: _answers(f"{url}/health"), process, log)
        yield
    finally:
        stop(process, 15)


def _answers(url: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        urllib.request.urlopen(url, timeout=60, context=context).close()
    except OSError:
        return False
    return True
