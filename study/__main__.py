"""The command line `study`. Starts in a fraction of a second: what a command needs is imported by that command."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from study.errors import LedgerWarning, StorageError, UserError, one_line, unknown_name
from study.interruption import INTERRUPTED, terminable

if TYPE_CHECKING:
    from study.reply import Reply

_COMMANDS = {
    "list": "what there is, one line each",
    "plan": "what a grid costs and what of it is done; nothing runs",
    "run": "train what is missing of a grid; may be interrupted and repeated at any time",
    "status": "what of a grid is done, failed, diverged or missing",
    "report": "tables and figures of a ledger as one offline HTML page",
    "fit": "a scaling law through runs of a ledger, or the reason why they carry none",
    "search": "find settings for the variants of a task; `run --tuned` uses them",
    "pretrain": "make a body; `run` does it by itself where a grid needs it",
    "doctor": "what works on this machine, what is missing, how to mend it",
}
LISTS = ("grids", "tasks", "models", "inits", "train-sets", "claims")
# Errors with a message for the user that are no ValueErrors, by module: looked up only where that was imported.
_TYPED = {"tasks.files": "MissingData", "models.hub": "OfflineError", "study.bodies": "MissingBody"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 some runs failed, 2 the user's mistake, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        warnings.simplefilter("always", LedgerWarning)
        try:
            with terminable():
                args = _parse(arguments)
                reply = _answer(args, ["study", *arguments])
                _print(reply, as_json=args.json)
        except _user_errors() as error:
            print(f"study: {one_line(error)}", file=sys.stderr)
            return 2
        except MemoryError as error:
            print(f"study: out of memory ({one_line(error)}); what was written stays", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            command = shlex.join(["study", *arguments])
            print(f"study: interrupted; what ended is kept; to continue: {command}", file=sys.stderr)
            return INTERRUPTED
    return reply.exit_code


def _user_errors() -> tuple[type[BaseException], ...]:
    """Evaluated when something was raised, so that no module is imported for it."""
    typed = (getattr(sys.modules[module], name) for module, name in _TYPED.items() if module in sys.modules)
    return (ValueError, StorageError, *typed)


def _show_warning(message: Warning | str, *_: Any) -> None:
    print(f"study: {one_line(message)}", file=sys.stderr)


def _parse(arguments: list[str]) -> argparse.Namespace:
    command = next((word for word in arguments if not word.startswith("-")), None)
    if command is not None and command not in _COMMANDS:
        raise unknown_name("command", command, _COMMANDS)
    return _parser().parse_args(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="study", description="Grids of frozen-transformer experiments, each result exactly once.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made = {name: commands.add_parser(name, help=text, description=text) for name, text in _COMMANDS.items()}
    made["list"].add_argument("what", nargs="?", choices=LISTS, help=" | ".join(LISTS) + "; all of them by default")
    for name in ("plan", "run", "status"):
        made[name].add_argument("grid", metavar="GRID", help="a name of `study list grids`, or path/file.py:function")
        made[name].add_argument("--where", metavar="CONDITIONS", help="only these runs: 'task=bit-xor|digits,seed=0'")
        made[name].add_argument("--seeds", metavar="N", type=int, help="only the seeds below N")
        made[name].add_argument("--tuned", action="store_true", help="with the settings that `study search` found")
    for name in ("run", "status", "report", "fit", "search", "pretrain"):
        made[name].add_argument(
            "--out", required=True, metavar="URI", help="the ledger: a folder, or s3://, gs://, ..."
        )
    made["plan"].add_argument("--out", metavar="URI", help="the ledger; tells what is done of the grid")
    made["run"].add_argument("--retry-failed", action="store_true", help="also the runs that failed before")
    made["run"].add_argument(
        "--log-to", metavar="TRACKER", help="also copy results: tensorboard:DIR, wandb:PROJECT or mlflow:URI"
    )
    _add_search(made["search"])
    _add_fit(made["fit"])
    for name in ("run", "search", "pretrain"):
        made[name].add_argument("--address", metavar="ADDRESS", help="a running Ray cluster; 'auto' finds it")
    made["report"].add_argument("--to", required=True, metavar="DIR", help="folder for index.html and the figures")
    made["pretrain"].add_argument(
        "init",
        metavar="INIT",
        help="what to pretrain on, such as language, vision:digits, dyck or cellular-automata:30",
    )
    made["pretrain"].add_argument("--size", required=True, help="size of the body: nano, mini, ... or LAYERSxWIDTH")
    made["pretrain"].add_argument("--body", default="gpt2", help="architecture (default: %(default)s)")
    made["pretrain"].add_argument("--num-steps", metavar="N", type=int, help="updates, instead of the recipe's own")
    made["pretrain"].add_argument("--seed", metavar="N", type=int, default=0, help="which one of these bodies")
    for subparser in made.values():
        subparser.add_argument("--json", action="store_true", help="one JSON document as the last line of stdout")
        subparser.allow_abbrev = False
    return parser


def _add_fit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--x", required=True, help="params, trained, examples, steps, flops, depth, width or a column")
    parser.add_argument("--y", required=True, help="test_error, test_loss, ... or a column where lower is better")
    parser.add_argument("--by", metavar="COLUMNS", help="columns that tell variants apart: init,train_set")
    parser.add_argument("--form", default="power-floor", help="the law to fit (default: %(default)s); docs/fits.md")
    parser.add_argument("--where", metavar="CONDITIONS", help="only these runs: 'task=bit-memory,train_set=full'")
    parser.add_argument("--rung", metavar="COLUMNS", help="columns that tell rungs apart, where x differs by seed")
    parser.add_argument("--between", metavar="FLOOR,CEILING", help="rescale an error: floor_accuracy,1")
    parser.add_argument("--samples", metavar="N", type=int, default=1000, help="bootstrap fits (default: %(default)s)")


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="what is learned: a task of the grid")
    parser.add_argument(
        "--variant", metavar="NAME", action="append", help="fpt, full, frozen-random, ...; may be repeated"
    )
    parser.add_argument("--all-variants", action="store_true", help="every variant of the task in the grid")
    parser.add_argument("--samples", metavar="N", type=int, required=True, help="proposals for each variant")
    parser.add_argument("--sampler", default="tpe", help="tpe, random, qmc, gp or grid (default: %(default)s)")
    parser.add_argument("--seeds", metavar="K", type=int, default=2, help="seeds of a proposal (default: %(default)s)")
    parser.add_argument("--num-steps", metavar="N", type=int, help="steps of a proposal, instead of the grid's")
    parser.add_argument(
        "--set", metavar="NAME=DOMAIN", action="append", help="'lr=log:1e-5..1e-2', 'batch_size=4|8', 'dropout=fixed'"
    )
    parser.add_argument("--grid", default="tuning", help="whose runs are to use what is found (default: %(default)s)")
    parser.add_argument("--where", metavar="CONDITIONS", help="only these runs of the grid: 'protocol=fixed'")


def _answer(args: argparse.Namespace, command: list[str]) -> Reply:
    from study import commands

    return commands.COMMANDS[args.command](args, command)


def _print(reply: Reply, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(reply.document, allow_nan=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)  # a file has no width: lines must not break at 80
    for item in reply.shown:
        if isinstance(item, str):
            console.print(item, markup=False, soft_wrap=True)
        else:
            console.print(item)


if __name__ == "__main__":
    sys.exit(main())
