"""Several hosts as one run: how they find each other, wait for each other, and end when one of them is lost.

All hosts start the same command and see the same run folder. They compute each step together; what is there once
(data, tables, pages, records) the first of them makes, while the others wait.

No host outlives another one for long:

- one that dies, or stops answering, is missed by JAX's heartbeats (`HEARTBEAT_SECONDS`);
- one that fails tells the others why, and they end within seconds;
- one that lives and gets nowhere is missed by a watch on each host, which knows the steps that all hosts finished
  and ends the job after `config.train.stall_minutes` without a new one.

Each of them ends with exit code 1 and says what is known; the same command on all hosts goes on from the last
checkpoint. Linux and macOS; where JAX's own way of ending (SIGABRT) cannot be caught it stands as it is.
"""

import contextlib
import ctypes
import itertools
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from bench_shadows.errors import BenchShadowsError, ConfigError, RunError
from bench_shadows.progress import duration, say

VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
"""What names the hosts where no cluster does: HOST:PORT of the first one, how many, and which one this is."""
INITIALIZE_SECONDS = 600
"""Hosts of a pod, and the pulls of their containers, are minutes apart."""
HEARTBEAT_SECONDS = 60
"""JAX sends them from threads of its own, which neither compiling nor copying a checkpoint holds up."""
WAIT_SECONDS = 86_400
"""For what the first host does alone: a day. Prepare on a cheap machine before."""
_WATCH_SECONDS = 2.0  # between two looks of the watch
_GRACE_SECONDS = 5.0  # for a host to end in its own words when another one has told that it ends
_CALL_SECONDS = 5.0  # for a call to the first host when this one is about to end

_AGAIN = "The same command on all hosts goes on from the last checkpoint"
_FAILED, _STEPS = "bench_shadows/failed", "bench_shadows/steps"

Result = TypeVar("Result")


# ---- who the hosts are


def initialize() -> None:
    """Joins the other hosts, where there are any; before any other use of JAX. Does nothing in a lone process.

    Cloud TPU, GKE, Slurm and Open MPI are recognised by JAX itself; elsewhere `VARIABLES` name the hosts.

    Raises:
      ConfigError: some of the variables are there and others are not.
      RunError: a cluster that cannot be read, or hosts that did not come within `INITIALIZE_SECONDS`.
    """
    named = _named()
    if (named or _detected()) <= 1:
        return
    import jax

    try:
        jax.distributed.initialize(
            num_processes=named,
            process_id=int(os.environ[VARIABLES[2]]) if named else None,
            cluster_detection_method="deactivate" if named else None,  # Slurm's would take all GPUs but one away
            initialization_timeout=INITIALIZE_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        where = os.environ.get(VARIABLES[0], "the cluster's first host")
        raise RunError(
            f"the hosts did not come together at {where} within {duration(INITIALIZE_SECONDS)}: "
            f"{_one_line(error)}. Start the command on all of them, and see that they reach the first one's port"
        ) from error
    _catch_abort()
    _watch.start()
    jax.devices()  # the hosts meet once more here, and later some of them may be at work alone
    say(f"host {host()} of {hosts()} (from 0): joined")


def host() -> int:
    """This host's number, from 0."""
    return _jax_state().process_id


def hosts() -> int:
    """How many hosts there are."""
    return _jax_state().num_processes


def is_first_host() -> bool:
    """Whether this host makes what is made once."""
    return host() == 0


def own_folder(run: Path) -> Path:
    """Where this host writes its lines of a run: the first one in the run's folder, others in RUN/hosts/<number>.

    What a straggler's step seconds are stands there; nothing else reads it.
    """
    return run if is_first_host() else run / "hosts" / str(host())


class _Alone:
    process_id, num_processes, client = 0, 1, None


def _jax_state() -> Any:
    """JAX's own state: no public name gives the numbers without starting a backend. Nothing is imported for it."""
    module = sys.modules.get("jax._src.distributed")
    return module.global_state if module else _Alone


def _named() -> int | None:
    """How many hosts the variables name; None where they name nothing."""
    there = [name for name in VARIABLES if os.environ.get(name)]
    if not there or there == [VARIABLES[0]]:
        return None  # an address alone: the cluster knows the rest
    if there == [VARIABLES[1]] and os.environ[VARIABLES[1]] == "1":
        return 1
    if len(there) < len(VARIABLES):
        missing = ", ".join(name for name in VARIABLES if name not in there)
        raise ConfigError(f"{', '.join(there)} without {missing}: set all three on each host, or none")
    count, number = (os.environ[name] for name in VARIABLES[1:])
    if not (count.isdigit() and number.isdigit() and int(number) < int(count)):
        raise ConfigError(
            f"{VARIABLES[1]}={count} and {VARIABLES[2]}={number}: expected N hosts, and one of 0 to N - 1"
        )
    return int(count)


def _detected() -> int:
    """Hosts of the cluster that JAX recognises; 1 where it recognises none.

    A Slurm job of one task must not be initialised: JAX would give it one GPU of all that it has.
    """
    from jax._src.clusters import ClusterEnv  # what jax.distributed.initialize asks

    kinds = (kind for kind in ClusterEnv._cluster_types if not kind.opt_in_only_method)
    try:
        cluster = next((kind for kind in kinds if kind.is_env_present()), None)
        return cluster.get_process_count() if cluster else 1
    except Exception as error:  # each kind of cluster has its own
        raise RunError(
            f"this looks like a cluster, and its hosts cannot be read ({_one_line(error)}). "
            f"Set {', '.join(VARIABLES)} on each host, or {VARIABLES[1]}=1 for this machine alone"
        ) from error


# ---- what the hosts do together


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Around a command that all hosts run: joins them, and ends them all where one of them fails."""
    initialize()
    if hosts() == 1:
        yield
        return
    try:
        yield
        wait_for_all("the end")
    except BaseException as error:
        _end(error)


def on_first_host(what: str, work: Callable[[], Result], quiet: bool = False) -> Result:
    """What `work` returns on the first host (a JSON value); the others wait, and get the same.

    Raises RunError on a host that waited for `WAIT_SECONDS`.
    """
    if hosts() == 1:
        return work()
    key = _once(f"bench_shadows/first/{what}")
    client = _jax_state().client
    if is_first_host():
        result = work()
        client.key_value_set(key, json.dumps(result))
        return result
    if not quiet:
        say(f"host {host()}: waits for host 0: {what}")
    with _waiting(f"host 0: {what}", WAIT_SECONDS):
        return json.loads(client.blocking_key_value_get(key, WAIT_SECONDS * 1000))


def wait_for_all(what: str, seconds: float = WAIT_SECONDS) -> None:
    """Returns when all hosts have come here; raises RunError, naming those that have not, after `seconds`."""
    if hosts() > 1:
        with _waiting(f"all hosts: {what}", seconds):
            _jax_state().client.wait_at_barrier(_once(f"bench_shadows/all/{what}"), int(seconds * 1000))


@contextlib.contextmanager
def _waiting(what: str, seconds: float) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RunError(f"waited {duration(seconds)} for {what} ({_one_line(error)}). {_AGAIN}") from error


def first_host_says(step: int, flag: bool) -> bool:
    """A decision of the first host's clock, taken by all at the same step: every tenth is asked."""
    if hosts() == 1:
        return flag
    return step % 10 == 0 and on_first_host("a decision", lambda: flag, quiet=True)


_counts: Counter[str] = Counter()


def _once(name: str) -> str:
    """A key that was not there before: all hosts come by the same places in the same order."""
    _counts[name] += 1
    return f"{name} #{_counts[name]}"


# ---- leaving


_calls = itertools.count(1)


def preemption(step: int) -> bool:
    """Whether all hosts save and leave after this step; called after every step of a run, in `watched`.

    True on each of them at the same step, soon after SIGTERM or a preemption notice came to one of them; never in
    a lone process. Tells the watch, too, that the step is finished.
    """
    if hosts() == 1:
        return False
    from jax.experimental import multihost_utils

    _watch.finished(step)
    # JAX wants numbers that only grow, and steps begin again with the next run.
    return multihost_utils.reached_preemption_sync_point(next(_calls))


def watched(what: str, stall_minutes: float) -> contextlib.AbstractContextManager[None]:
    """Around a run on several hosts, from restoring to its last save: ends all where no step comes for so long.

    What comes before the first step, or behind the last, must not take longer either.

    SIGTERM is JAX's meanwhile, which tells the other hosts; a handler of one's own would keep it from them.
    """
    return _watch.over(what, 60 * stall_minutes) if hosts() > 1 else contextlib.nullcontext()


# ---- ending


class _Watch(threading.Thread):
    """Looks every few seconds whether another host failed, and whether steps are still being finished."""

    def __init__(self) -> None:
        super().__init__(name="watch over the hosts", daemon=True)
        self._limit: tuple[str, float] | None = None
        self._step: int | None = None
        self._told: int | None = None
        self._moved = 0.0
        self.ending = False  # this host ends by itself

    @contextlib.contextmanager
    def over(self, what: str, seconds: float) -> Iterator[None]:
        self._step, self._moved, self._limit = None, time.monotonic(), (what, seconds)
        try:
            yield
        finally:
            self._limit = None

    def finished(self, step: int) -> None:
        self._step, self._moved = step, time.monotonic()

    def run(self) -> None:
        client = _jax_state().client
        while not self.ending:
            time.sleep(_WATCH_SECONDS)
            with contextlib.suppress(RuntimeError):  # the first host is gone: JAX's heartbeats end this one
                if (failures := client.key_value_dir_get(_FAILED)) and not self.ending:
                    say(f"bench-shadows: host {host()} of {hosts()} ends: {failures[0][1]}")
                    time.sleep(_GRACE_SECONDS)
                    if not self.ending:
                        _exit(1)
                if self._step is not None and self._step != self._told:
                    self._told = self._step
                    client.key_value_set(f"{_STEPS}/{host()}", str(self._told), allow_overwrite=True)
            self._check_limit(client)

    def _check_limit(self, client: Any) -> None:
        limit = self._limit
        if limit is None or time.monotonic() - self._moved < limit[1]:
            return
        what, seconds = limit
        steps = {host(): str(self._step)}
        _bounded(
            lambda: steps.update({int(key.rpartition("/")[2]): n for key, n in client.key_value_dir_get(_STEPS)})
        )
        after = "none" if self._step is None else f"step {self._step} was the last"
        every = ", ".join(f"host {number}: {steps.get(number, 'none')}" for number in range(hosts()))
        _tell_and_exit(
            f"{what}: no step was finished for {duration(seconds)} (config.train.stall_minutes); {after}. "
            f"Steps that the hosts finished: {every}. Look at the host that is behind, or at the storage and the "
            f"network where none is. {_AGAIN}"
        )


_watch = _Watch()


def _end(error: BaseException) -> NoReturn:
    """Ends this host with the error's message, and the others by telling them."""
    if isinstance(error, BenchShadowsError):
        text, code = str(error), error.exit_code
    elif isinstance(error, KeyboardInterrupt):
        text, code = "interrupted", 130
    else:
        traceback.print_exception(error)
        text, code = f"{type(error).__name__}: {_one_line(error)}. If another host died, this follows. {_AGAIN}", 1
    _tell_and_exit(text, code)


def _tell_and_exit(text: str, code: int = 1) -> NoReturn:
    key = f"{_FAILED}/{host()}"
    _watch.ending = True
    _bounded(lambda: _jax_state().client.key_value_set(key, f"host {host()} ended: {text}"))
    say(f"bench-shadows: host {host()} of {hosts()}: {text}")
    time.sleep(2 * _WATCH_SECONDS + _GRACE_SECONDS)  # the others learn it before they miss this host
    _exit(code)


def _exit(code: int) -> NoReturn:
    """At once: what Python and JAX do at an ordinary exit waits for the other hosts."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _bounded(call: Callable[[], Any]) -> None:
    """A call to the first host, which may be gone."""

    def attempt() -> None:
        with contextlib.suppress(RuntimeError):
            call()

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(_CALL_SECONDS)


def _catch_abort() -> None:
    """Turns the abort by which JAX ends a process that lost another one into a message and exit code 1.

    JAX aborts on a thread of its own while Python waits for a step: no handler of Python's `signal` would run.
    """
    last = f"bench-shadows: host {host()} of {hosts()}: JAX ended this process, for the reason above: most often "
    last += f"another host died, or did not answer for {HEARTBEAT_SECONDS} s. {_AGAIN}\n"

    def end(number: int) -> None:
        os.write(2, last.encode())
        os._exit(1)

    with contextlib.suppress(OSError, AttributeError):
        kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
        _catch_abort.handler = kind(end)  # type: ignore[attr-defined]  # kept as long as the process
        libc = ctypes.CDLL(None)
        libc.signal.argtypes = [ctypes.c_int, kind]
        libc.signal(int(signal.SIGABRT), _catch_abort.handler)  # type: ignore[attr-defined]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]
