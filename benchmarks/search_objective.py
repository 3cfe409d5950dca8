"""An objective whose best is known, and an engine that learns as it says: what benchmarks/search.py searches."""

from __future__ import annotations

import dataclasses
import math

import optuna
import torch

from study.grids import load_grid
from study.measurements import Evaluated
from study.origin import Origin
from study.search_evaluation import evaluate
from study.search_plan import Plan
from study.search_request import Request, plans
from study.search_samplers import make_sampler
from study.search_server import SearchServer
from study.search_space import Range, own_values
from study.spec import RunSpec
from study.storage import open_storage

BEST = {"lr": 8e-3, "orthogonal_gain": 1.0, "warmup_share": 0.03}


def quality(values) -> float:
    """1 at its best: a peak in three continuous values, lowered by two choices."""
    lr = math.log10(values["lr"] / BEST["lr"]) / 1.5
    gain = math.log2(values["orthogonal_gain"] / BEST["orthogonal_gain"]) / 3
    warmup = (values["warmup_share"] - BEST["warmup_share"]) / 0.2
    miss = lr**2 + gain**2 + warmup**2 + 0.05 * (values["schedule"] != "cosine") + 0.03 * (values["batch_size"] != 8)
    return math.exp(-miss)


def learned(share: float) -> float:
    """Share of its quality that a setting shows after a share of its steps: quickly at first."""
    return (1 - math.exp(-6 * share)) / (1 - math.exp(-6))


class Synthetic:
    """Learns as the objective says, quickly at first."""

    def __init__(self, runs, **_):
        self.runs, self.step = list(runs), 0

    def rounds(self):
        while self.runs:
            yield [self._evaluated(run) for run in self.runs]
            self.step += self.runs[0].eval_every_steps

    def _evaluated(self, run):
        values = {**vars(run), "warmup_share": run.warmup_steps / run.num_steps}
        accuracy = quality(values) * learned(self.step / run.num_steps)
        return Evaluated(run.run_id, self.step, "valid", 100, 1.0, accuracy, run.lr, None, 0.0, 0.0)

    def drop(self, run_ids):
        self.runs = [run for run in self.runs if run.run_id not in run_ids]


def frozen_random(task: str) -> RunSpec:
    """The first run of a frozen random nano in the grid of searches."""
    runs = load_grid("tuning")
    return next(run for run in runs if (run.task, run.init, run.train_set, run.seed) == (task, "random", "fpt", 0))


def synthetic_plans(count: int, num_samples: int) -> list[Plan]:
    """Searches that differ in the seed of their sampler only, by way of an argument that changes nothing."""
    base = dataclasses.replace(
        frozen_random("bit-xor"), num_steps=1000, eval_every_steps=1
    )  # so that a warm-up's share is exact
    sizes = ({"num_valid_examples": 32, "num_test_examples": 16 + number} for number in range(count))
    runs = [dataclasses.replace(base, task_args=args) for args in sizes]
    return [plan for run in runs for plan in plans(Request("bit-xor", None, num_samples, num_seeds=1), [run])]


def found_by(server: SearchServer, plan: Plan) -> float:
    """Regret of the best proposal."""
    best = server._studies[plan.name].best
    return 1 - quality(plan.space.values(best.params))


def plain_regret(plan: Plan, seed: int) -> float:
    """Of Optuna alone: one proposal after the other, none of them stopped; ours are the space and the sampler."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = make_sampler("tpe", seed=seed, num_samples=plan.num_samples)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial(plan.space.own(own_values(plan.target.base)))

    def objective(trial):
        chosen = {}
        for each in plan.space.dimensions:
            domain = each.domain
            if plan.space.is_open(each, chosen):
                chosen[each.name] = (
                    trial.suggest_float(each.name, domain.low, domain.high, log=domain.is_log)
                    if isinstance(domain, Range)
                    else trial.suggest_categorical(each.name, domain.values)
                )
        return quality(plan.space.values(chosen))

    study.optimize(objective, n_trials=plan.num_samples)
    return 1 - study.best_value


def drive(server: SearchServer, engine, out: str) -> None:
    """One worker, without Ray."""
    storage, origin = open_storage(out), Origin(None, torch.device("cpu"))
    while (cohort := server.next(0)) is not None:
        for _ in evaluate(cohort, server, origin=origin, storage=storage, make_engine=engine):
            pass
