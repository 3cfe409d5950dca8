"""The commands of `study`: arguments in, `Reply` out. Each imports what it needs when it is called."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from study.reply import DONE, SOME_FAILED, Reply

if TYPE_CHECKING:
    from study.spec import RunSpec


def _list(args: argparse.Namespace, command: list[str]) -> Reply:
    from study import listing

    del command
    return listing.answer(args.what)


def _plan(args: argparse.Namespace, command: list[str]) -> Reply:
    from study import plan, preflight
    from study.ledger import Ledger

    del command
    runs = _runs(args)
    ledger = Ledger(args.out) if args.out else None
    unreachable = preflight.unreachable(runs, with_weights=False)
    priced = preflight.resolve(run for run in runs if run.init not in unreachable)
    unpriced = [(run, unreachable[run.init]) for run in runs if run.init in unreachable]
    return plan.answer(args.grid, priced, ledger, unpriced)


def _run(args: argparse.Namespace, command: list[str]) -> Reply:
    from study import mirror, status
    from study.launch import run_grid
    from study.ledger import Ledger

    target = mirror.parse_target(args.log_to) if args.log_to is not None else None
    runs = _runs(args)
    with mirror.mirrored(target, args.out, runs):
        run_grid(
            runs,
            out=args.out,
            address=args.address,
            retry_failed=args.retry_failed,
            grid_name=args.grid,
            command=shlex.join(command),
        )
    reply = status.answer(args.grid, runs, Ledger(args.out))
    return Reply(reply.document, reply.shown, DONE if reply.document["all_done"] else SOME_FAILED)


def _status(args: argparse.Namespace, command: list[str]) -> Reply:
    from study import status
    from study.ledger import open_existing

    del command
    return status.answer(args.grid, _runs(args), open_existing(args.out))


def _report(args: argparse.Namespace, command: list[str]) -> Reply:
    from analysis.report import write_report

    page = write_report(args.out, args.to, command)
    return Reply({"report": str(page)}, [f"report: {page}"])


def _pretrain(args: argparse.Namespace, command: list[str]) -> Reply:
    from study.launch_bodies import described, run_pretraining

    del command
    outcome = run_pretraining(
        args.init,
        body=args.body,
        size=args.size,
        out=args.out,
        num_steps=args.num_steps,
        seed=args.seed,
        address=args.address,
    )
    return Reply(outcome.card, described(outcome, args.out))


def _doctor(args: argparse.Namespace, command: list[str]) -> Reply:
    from study import doctor

    del args, command
    return doctor.answer()


def _runs(args: argparse.Namespace) -> list[RunSpec]:
    from study.grids import load_grid
    from study.selection import select

    return select(load_grid(args.grid), where=args.where, seeds=args.seeds)


COMMANDS: dict[str, Callable[[argparse.Namespace, list[str]], Reply]] = {
    "list": _list,
    "plan": _plan,
    "run": _run,
    "status": _status,
    "report": _report,
    "pretrain": _pretrain,
    "doctor": _doctor,
}
