"""Rows and curves with known contents, for the tests of the ledger."""

import datetime as dt

from study.spec import RunSpec

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def spec(seed: int) -> RunSpec:
    return RunSpec(task="bit-xor", size="nano", init="random", num_steps=2, eval_every_steps=1, seed=seed)


def run_id(seed: int) -> str:
    return spec(seed).run_id


def row(seed: int, status: str = "done", minute: int = 0, **columns) -> dict:
    run = spec(seed)
    ended = START + dt.timedelta(minutes=minute)
    return {**run.as_columns(), "run_id": run.run_id, "status": status, "ended_at": ended, **columns}


def curve(seed: int, step: int = 1, loss: float = 0.5) -> dict:
    return {"run_id": run_id(seed), "step": step, "split": "valid", "num_examples": 8, "loss": loss}


def attention(seed: int, query: int = 3, state: str = "selected", weight: float = 0.25) -> dict:
    rest = 1 - weight
    measured = {"weights": [weight, 0.0, rest, 0.0], "relevant": [0, 2], "uniform": 0.5, "head_masses": [1.0, 1.0]}
    return {"run_id": run_id(seed), "state": state, "query": query, "num_examples": 8, **measured}
