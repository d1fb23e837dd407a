"""Emulators of AWS, each a process on a free port."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time

import boto3
from botocore.config import Config

# moto's own; ministack takes the access key for it.
ACCOUNT = "123456789012"
REGION = "us-east-1"

_START = 60


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def _process(command, port, **environment):
    """The command while it runs; its output is shown if it does not start."""
    # Nothing of who runs the tests: no credentials, no profile, no endpoint.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, env=inherited | {"TMPDIR": folder, "STATE_DIR": folder} | environment, cwd=folder,
                                   stdout=log, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + _START
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{' '.join(command)} does not listen on port {port}:\n{log.read()}")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ministack():
    """ministack while the context lasts; its address."""
    port = _free_port()
    # A name of its own: it would else take the bucket's name for a part of the machine's.
    return _process([sys.executable, "-m", "ministack"], port, GATEWAY_PORT=str(port), GATEWAY_HOST="127.0.0.1",
                    BIND_HOST="127.0.0.1", LOG_LEVEL="WARNING")


def moto():
    """moto's server while the context lasts; its address."""
    port = _free_port()
    return _process([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port)


def client(endpoint, service, access_key=ACCOUNT):
    """A client of this service there."""
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, aws_access_key_id=access_key,
                        aws_secret_access_key="none", config=Config(retries={"total_max_attempts": 1}))


def environment(endpoint, access_key=ACCOUNT):
    """The environment in which a program finds that emulator."""
    return {**os.environ, "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": "none"}
