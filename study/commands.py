"""The commands of `study`: arguments in, `Reply` out. Each imports what it needs when it is called."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from study.reply import DONE, SOME_FAILED, Reply

if TYPE_CHECKING:
    from study.spec import RunSpec
    from study.tuned import Applied


def _list(args: argparse.Namespace, command: list[str]) -> Reply:
    from study import listing

    del command
    return listing.answer(args.what)


def _plan(args: argparse.Namespace, command: list[str]) -> Reply:
    from study import plan, preflight
    from study.ledger import Ledger

    del command
    runs, applied = _runs(args)
    ledger = Ledger(args.out) if args.out else None
    unreachable = preflight.unreachable(runs, with_weights=False)
    priced = preflight.resolve(run for run in runs if run.init not in unreachable)
    unpriced = [(run, unreachable[run.init]) for run in runs if run.init in unreachable]
    return _with_tuned(plan.answer(args.grid, priced, ledger, unpriced), applied)


def _run(args: argparse.Namespace, command: list[str]) -> Reply:
    from study import mirror, status
    from study.launch import run_grid
    from study.ledger import Ledger

    target = mirror.parse_target(args.log_to) if args.log_to is not None else None
    runs, applied = _runs(args)
    with mirror.mirrored(target, args.out, runs):
        run_grid(
            runs,
            out=args.out,
            address=args.address,
            retry_failed=args.retry_failed,
            grid_name=args.grid,
            command=shlex.join(command),
            tuned=applied.tuned if applied else (),
        )
    reply = _with_tuned(status.answer(args.grid, runs, Ledger(args.out)), applied)
    return Reply(reply.document, reply.shown, DONE if reply.document["all_done"] else SOME_FAILED)


def _status(args: argparse.Namespace, command: list[str]) -> Reply:
    from study import status
    from study.ledger import open_existing

    del command
    runs, applied = _runs(args)
    return _with_tuned(status.answer(args.grid, runs, open_existing(args.out)), applied)


def _search(args: argparse.Namespace, command: list[str]) -> Reply:
    from study import search_reply
    from study.errors import UserError
    from study.grids import load_grid
    from study.search_request import Request, plans
    from study.selection import select

    if args.all_variants == bool(args.variant):
        raise UserError("name what to search for: --variant NAME, which may be repeated, or --all-variants")
    request = Request(
        args.task,
        args.variant,
        args.samples,
        num_seeds=args.seeds,
        sampler=args.sampler,
        overrides=args.set or (),
        num_steps=args.num_steps,
    )
    asked = plans(request, select(load_grid(args.grid), where=args.where))
    from study.search import run_search  # ray, which what is refused above need not wait for

    outcomes = run_search(asked, out=args.out, address=args.address, grid_name=args.grid, command=shlex.join(command))
    return search_reply.answer(outcomes)


def _report(args: argparse.Namespace, command: list[str]) -> Reply:
    from analysis.report import write_report
    from study.processes import available_cpus

    page = write_report(args.out, args.to, command, num_processes=available_cpus())
    return Reply({"report": str(page)}, [f"report: {page}"])


def _fit(args: argparse.Namespace, command: list[str]) -> Reply:
    from analysis import fit_request
    from study.reply import table

    del command
    names = ("x", "y", "by", "form", "where", "rung", "between")
    request = fit_request.Request(**{name: getattr(args, name) for name in names}, num_samples=args.samples)
    found = fit_request.answer(args.out, request)
    shown = [table(title, columns, rows) for title, columns, rows in fit_request.lines(found)]
    return Reply(found.document, [*shown, *found.refusals], SOME_FAILED if found.refusals else DONE)


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


def _runs(args: argparse.Namespace) -> tuple[list[RunSpec], Applied | None]:
    """The runs that are asked for; with --tuned also which of them a search found a setting for."""
    from study.grids import load_grid
    from study.selection import select

    runs = select(load_grid(args.grid), where=args.where, seeds=args.seeds)
    if not args.tuned:
        return runs, None
    from study import tuned
    from study.errors import UserError, place

    if args.out is None:
        raise UserError("--tuned needs --out, the ledger in which a search left its settings")
    applied = tuned.apply(runs, tuned.read(args.out))
    if not applied.tuned:
        raise UserError(f"no run has a setting in '{place(args.out)}'; `study search TASK` finds them")
    return applied.different, applied


def _with_tuned(reply: Reply, applied: Applied | None) -> Reply:
    if applied is None:
        return reply
    from study.tuned_reply import with_tuned

    return with_tuned(reply, applied)


COMMANDS: dict[str, Callable[[argparse.Namespace, list[str]], Reply]] = {
    "list": _list,
    "plan": _plan,
    "run": _run,
    "status": _status,
    "report": _report,
    "fit": _fit,
    "search": _search,
    "pretrain": _pretrain,
    "doctor": _doctor,
}
