"""The Ray runtime that a launch works on: a private one on this machine, or a cluster that is there already."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from study.errors import UserError, one_line
from study.interruption import handlers_kept
from study.processes import available_cpus

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths of the user stay valid in workers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's coming default; without it every worker warns
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0 only the old reporter is silent
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # five files per trial that nobody reads
    "TUNE_GLOBAL_CHECKPOINT_S": "600",  # Tune's own state is never restored
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C reaches us as KeyboardInterrupt
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "600",
}
"""Set in the launching process and on workers."""
_FORWARDED = ("STUDY_DATA", "HF_HOME", "HF_HUB_OFFLINE")
"""Variables of the user that workers of a cluster need as well."""
_PACKAGES = ("study", "tasks", "models")
_OBJECT_STORE_BYTES = 256 << 20
"""Shared memory of a private runtime: it carries specifications only."""
_LOOK_SECONDS = 2.0
_ANSWER_SECONDS = 5.0
_REMINDER_SECONDS = 600.0
_PATIENCE_SECONDS = 3600.0
_WHY = "on the head `ray status` says what the autoscaler tried: a quota, no spot capacity, an image that is gone?"

_logger = logging.getLogger(__name__)


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to Ray for the block; a runtime this process is already connected to is used and left alone.

    Args:
        address: of a cluster, "auto" for the one of this machine, None for a private runtime.

    Raises:
        UserError: there is no cluster at the address.
    """
    os.environ.update(ENVIRONMENT)
    import ray
    from ray.exceptions import AuthenticationError

    if ray.is_initialized():
        yield
        return
    if address is None:
        with handlers_kept():
            ray.init(
                address="local",
                num_cpus=available_cpus(),
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
    else:
        # Only our own packages travel; what they import is installed on the nodes.
        root = Path(__file__).parent.parent
        forwarded = {name: os.environ[name] for name in _FORWARDED if name in os.environ}
        runtime_env = {
            "py_modules": [str(root / package) for package in _PACKAGES],
            "env_vars": ENVIRONMENT | forwarded,
        }
        try:
            with handlers_kept():
                ray.init(address=address, runtime_env=runtime_env, logging_level=logging.ERROR, log_to_driver=False)
        except (ConnectionError, ValueError, AuthenticationError) as error:
            raise UserError(
                f"no Ray cluster at '{one_line(address)}', or it wants a token: start one, or leave --address out, "
                "or set RAY_AUTH_MODE=token (and RAY_AUTH_TOKEN where it is not in ~/.ray/auth_token)"
            ) from error
    try:
        if address is not None:
            _await_worker()
        yield
    finally:
        with handlers_kept():
            ray.shutdown()


def is_gone(address: str) -> bool:
    """Whether nobody answers at the address, host:port, of a cluster's head."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError):  # a port beyond 65535
        return True
    return False


def require_head(address: str | None) -> None:
    """Refuse an address, host:port, where nobody answers, since Ray itself would try it again and again; and one of Ray
    Client, through which Tune would run on the cluster and tell us nothing of its trials.

    Raises:
        UserError: so it is.
    """
    if address is not None and address.startswith("ray://"):
        raise UserError(
            f"'{one_line(address)}' is one of Ray Client: run the command on the cluster (`ray exec`, "
            "`ray job submit`) with --address auto, or give the head's HOST:PORT"
        )
    if address is not None and re.fullmatch(r"[^/]+:\d+", address) and is_gone(address):
        raise UserError(f"nobody answers at '{one_line(address)}': start a Ray cluster there, or leave --address out")


def _await_worker() -> None:
    """Wait for a node that works: an autoscaling cluster may begin with its head alone.

    What the first one has decides how packs are cut and whether they ask for a GPU.

    Raises:
        UserError: none came within an hour: a head that waits costs money, too.
    """
    import ray
    from ray.autoscaler import sdk

    if ray.cluster_resources().get("CPU", 0) > 0:
        return
    _logger.warning("the cluster has no processors yet: waiting for its first worker")
    sdk.request_resources(num_cpus=1)
    started = told = time.monotonic()
    while not ray.cluster_resources().get("CPU", 0) > 0:
        if time.monotonic() - started > _PATIENCE_SECONDS:
            raise UserError(f"no worker came within an hour; {_WHY}")
        if time.monotonic() - told > _REMINDER_SECONDS:
            told = time.monotonic()
            _logger.warning("still waiting for a worker; %s", _WHY)
        time.sleep(_LOOK_SECONDS)
    sdk.request_resources(bundles=[])  # otherwise a worker would be kept after the work
