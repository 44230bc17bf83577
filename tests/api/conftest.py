"""Fixtures of the black-box suite: a fresh `whimbrel serve`, the stock SDK and the stock command line.

`cargo x test` runs the suite and sets the variables used below. Tests see the service as any client
does: they know its address and its keys, and nothing of its insides.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

import boto3
import botocore.config
import pytest

REGION = "eu-central-1"
ACCOUNT_ID = "000000000000"
ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

# The client itself where it is: Debian's command of the name is a script that takes longer than most statements.
PSQL = "/usr/lib/postgresql/15/bin/psql" if os.path.exists("/usr/lib/postgresql/15/bin/psql") else "psql"

# The system's certificates are of no use to the MySQL client here, and reading them takes it longer than all else.
WITHOUT_CERTIFICATES = {"SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/nonexistent"}

# Machines of a continuous integration are slower, and shared.
SLOWNESS = 3 if os.environ.get("CI") else 1

START_PATIENCE_S = 60 * SLOWNESS
STOP_PATIENCE_S = 30
CLI_PATIENCE_S = 300


@dataclass(frozen=True)
class DatabaseServer:
    """A throwaway database server, as `cargo x test` started it."""

    engine: str
    host: str
    port: int
    user: str
    password: str
    ca_pem: str
    url: str

    @property
    def is_postgres(self) -> bool:
        return self.engine.startswith("postgres")

    @property
    def dms_engine_name(self) -> str:
        """The engine's name in the API."""
        if self.is_postgres:
            return "postgres"
        return "mariadb" if self.engine.startswith("mariadb") else "mysql"

    def sql(self, statements: str, database: str | None = None) -> str:
        """Run SQL with the engine's own client; rows come back as lines, columns parted by tabs."""
        if self.is_postgres:
            command = [PSQL, "-X", "-q", "-A", "-t", "-F", "\t", "-P", "null=NULL"]
            command += ["-v", "ON_ERROR_STOP=1", "-h", self.host, "-p", str(self.port)]
            command += ["-U", self.user, "-d", database or "postgres"]
            environment = {"PGPASSWORD": self.password, "PGSSLMODE": "disable"}
        else:
            command = ["mariadb", "--no-defaults", "--protocol=tcp", "--ssl", "--batch"]
            command += ["--skip-column-names", "--default-character-set=utf8mb4"]
            command += ["-h", self.host, "-P", str(self.port), "-u", self.user, database or "mysql"]
            environment = {"MYSQL_PWD": self.password, **WITHOUT_CERTIFICATES}
        done = subprocess.run(
            command,
            input=statements,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=CLI_PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


class Whimbrel:
    """A `whimbrel serve` process that can be killed and started again on the same data."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.data_dir = folder / "data"
        self.log_path = folder / "serve.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [os.environ["WHIMBREL_BINARY"], "serve"]
        command += ["--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self.data_dir)]
        command += ["--region", REGION, "--account-id", ACCOUNT_ID]
        environment = {
            **os.environ,
            "WHIMBREL_ADMIN_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "WHIMBREL_ADMIN_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        }
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self.answers, START_PATIENCE_S, "whimbrel answers", self.log)

    def answers(self) -> bool:
        """Whether something speaks HTTP on the port, whatever it says."""
        assert self.process is not None
        assert self.process.poll() is None, f"whimbrel ended:\n{self.log()}"
        try:
            urllib.request.urlopen(self.url, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Stop it as an administrator would."""
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Stop it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_PATIENCE_S)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def client(self, **overrides):
        """A `dms` client of the stock SDK."""
        settings = {
            "region_name": REGION,
            "endpoint_url": self.url,
            "aws_access_key_id": ACCESS_KEY_ID,
            "aws_secret_access_key": SECRET_ACCESS_KEY,
            # An error of ours must show, not be tried again until it passes.
            "config": botocore.config.Config(retries={"total_max_attempts": 1}),
        }
        return boto3.session.Session().client("dms", **{**settings, **overrides})

    def aws(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run `aws dms ...` of the stock command line."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_DEFAULT_REGION": REGION,
            # As `whimbrel serve` tells its users to.
            "AWS_ENDPOINT_URL_DATABASE_MIGRATION_SERVICE": self.url,
            "AWS_DEFAULT_OUTPUT": "json",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_PAGER": "",
        }
        command = [os.environ["WHIMBREL_AWS_CLI"], "dms", *words]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=CLI_PATIENCE_S
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: no other test may run meanwhile")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, patience_s: float, what: str, explain=lambda: "") -> None:
    """Wait until `condition()` is true; `explain()` is added to the complaint if it never is."""
    assert comes_true(condition, patience_s), f"waited in vain until {what}\n{explain()}"


def comes_true(condition, patience_s: float) -> bool:
    """Whether `condition()` is true before patience is at its end."""
    deadline = time.monotonic() + patience_s * SLOWNESS
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(scope="session")
def servers() -> dict[str, DatabaseServer]:
    """The running database servers: postgres15, postgres18, mariadb1011, mysql97."""
    listed = json.loads(pathlib.Path(os.environ["WHIMBREL_TEST_SERVERS"]).read_text())["servers"]
    return {server["engine"]: DatabaseServer(**server) for server in listed}


@contextlib.contextmanager
def small_disk(engine: str, megabytes: int, *settings: str):
    """A server of its own with a small disk to be filled up, and the folder of that disk as the server names it."""
    command = [os.environ["WHIMBREL_XTASK"], "db", "small-disk", engine, str(megabytes), *settings]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        # It stops when its input ends, as it does with this process.
        said = json.loads(process.stdout.readline())
        yield DatabaseServer(**said["server"]), said["small_disk"]
        process.stdin.close()


@pytest.fixture(autouse=True)
def beside_others(request):
    """Tests run beside each other, except for those marked `alone`, which change something of a shared server."""
    is_alone = request.node.get_closest_marker("alone") is not None
    with open(os.environ["WHIMBREL_TEST_SERVERS"]) as lock:
        # Through one door, one after the other, so that who wants to be alone is not passed by for ever.
        with open(__file__) as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(lock, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        yield


@pytest.fixture(scope="session")
def whimbrel(tmp_path_factory):
    """A service shared by the whole run; a test leaves it as it found it, or uses names of its own."""
    service = Whimbrel(tmp_path_factory.mktemp("whimbrel"))
    service.start()
    yield service
    service.stop()


@pytest.fixture
def own_whimbrel(tmp_path):
    """A service of the test's own, which it may kill."""
    service = Whimbrel(tmp_path)
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="session")
def dms(whimbrel):
    """A client of the stock SDK, signed in as the administrator."""
    return whimbrel.client()


@pytest.fixture(scope="session")
def aws(whimbrel):
    """A function that runs `aws dms ...` and answers its parsed output."""

    def run(*words: str):
        out = whimbrel.aws(*words).stdout
        return json.loads(out) if out.strip() else None

    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Show the end of the service's log beside a failed test."""
    report = yield
    if report.failed:
        for name in ("whimbrel", "own_whimbrel"):
            service = getattr(item, "funcargs", {}).get(name)
            if service is not None:
                tail = service.log()[-8000:]
                report.sections.append((f"log of {name}", tail))
    return report
