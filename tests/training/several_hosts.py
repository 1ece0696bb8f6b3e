"""The command on several hosts: processes of this machine that find each other by JAX's variables."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

CODE = """
from bench_shadows.training.devices import distributed
distributed.HEARTBEAT_SECONDS = 10
{before}
from bench_shadows.main import entry
entry()
"""
"""The command, with heartbeats of a test."""


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Hosts:
    """Processes that run one command together; leaving the context kills what is left of them.

    Args:
      words: the command.
      count: how many.
      devices: of each of them.
      before: what some of them do before they start, Python.
      logs: a folder for what they say.
    """

    def __init__(
        self,
        words: Sequence[str],
        count: int,
        logs: Path,
        devices: int = 1,
        before: Mapping[int, str] | None = None,
    ):
        logs.mkdir(parents=True, exist_ok=True)
        self.logs = [logs / f"host-{number}.log" for number in range(count)]
        port = free_port()
        self.processes: list[subprocess.Popen[bytes]] = []
        for number, log in enumerate(self.logs):
            variables = {
                "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
                "JAX_NUM_PROCESSES": str(count),
                "JAX_PROCESS_ID": str(number),
            }
            shape = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
            with open(log, "w") as file:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, "-c", CODE.format(before=(before or {}).get(number, "")), *words],
                        stdout=file,
                        stderr=subprocess.STDOUT,
                        env=os.environ | shape | (variables if count > 1 else {}),
                    )
                )

    def send(self, number: int, what: signal.Signals) -> None:
        """A signal to one of them."""
        self.processes[number].send_signal(what)

    def wait(self, seconds: float = 1200) -> list[int]:
        """The exit codes of all; subprocess.TimeoutExpired where one lives on."""
        deadline = time.monotonic() + seconds
        return [process.wait(max(0.1, deadline - time.monotonic())) for process in self.processes]

    def wait_for(self, number: int, seconds: float) -> int:
        """The exit code of one."""
        return self.processes[number].wait(seconds)

    def said(self, number: int) -> str:
        """What one of them said so far."""
        return self.logs[number].read_text()

    def __enter__(self) -> "Hosts":
        return self

    def __exit__(self, *failure: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
