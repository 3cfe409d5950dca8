"""Making one body by name: `study pretrain`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from study.cluster import connected, require_head
from study.errors import UserError, one_line
from study.interruption import Interruption
from study.ledger import Ledger
from study.processes import available_cpus
from study.provenance import git_revision
from study.storage import absolute

if TYPE_CHECKING:
    from study.bodies import BodySource
    from study.progress import Board
    from study.tally import Tally


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        card: of the body.
        is_new: it was made now; otherwise it was there already.
    """

    card: dict[str, Any]
    is_new: bool


def run_pretraining(
    init: str,
    *,
    body: str,
    size: str,
    out: str,
    num_steps: int | None = None,
    seed: int = 0,
    address: str | None = None,
) -> Outcome:
    """Make one body where the store does not have it: in this process, or on the Ray cluster at `address`.

    Raises:
        UserError: an init, body or size that does not exist or is not pretrained here, or pretraining failed.
        tasks.files.MissingData: its data are neither here nor to be fetched.
        KeyboardInterrupt: its state is kept; the same command continues.
    """
    from study import spec_checks
    from study.bodies import source_of
    from study.body_store import has_body, read_card
    from study.inits import parse
    from study.recipes import recipe_for

    spec_checks.whole("seed", seed, *spec_checks.WHOLE["seed"])
    recipe = recipe_for(init, body=body, size=size, seed=seed, num_steps=num_steps)
    _refuse_published(init, body, recipe.size)
    source = source_of(str(parse(init)), recipe)
    ledger = Ledger(absolute(out))
    is_new = not has_body(ledger.storage, source.key)
    if is_new:
        require_head(address)
        ledger.prepare()
        error = _here(source, ledger) if address is None else _on_cluster(source, ledger, address)
        if error:
            raise UserError(f"the {source.name} could not be made: {error}")
    return Outcome(read_card(ledger.storage, source.key), is_new)


def described(outcome: Outcome, out: str) -> list[str]:
    """What to tell of it, in lines."""
    from study.recipes import recipe_for
    from study.reply import duration, quantity

    card = outcome.card
    metric = card["metric"].replace("_", " ")
    baseline = "" if card["baseline_metric"] is None else f" (without context: {card['baseline_metric']:.3g})"
    resumed = f", continued {card['num_resumed']} times" if card["num_resumed"] else ""
    lines = [
        f"{'made' if outcome.is_new else 'already there'}: {card['init']} body of {card['body']} {card['size']}, seed "
        f"{card['seed']}, in {out.rstrip('/')}/bodies/{card['key']}",
        f"held-out {metric} {card['held_out_metric']:.3g}{baseline} after {card['num_steps']} steps, "
        f"{quantity(card['num_tokens_seen'])} tokens, {quantity(card['train_flops'])}FLOP, "
        f"{duration(card['wall_seconds'])}{resumed}",
    ]
    own = recipe_for(card["init"], body=card["body"], size=card["size"], seed=card["seed"])
    if own.num_steps != card["num_steps"]:
        lines.append(f"a trial: runs of a grid take the body of the recipe's own {own.num_steps} steps")
    return lines


def _refuse_published(init: str, body: str, size: str) -> None:
    """No run would use a body of our own where its init means published weights."""
    from models.hub import pinned
    from study.inits import parse

    asked = parse(init)
    published = pinned(body, asked.name, size) if asked.is_plain else None
    if published is not None:
        example = {"language": "language:text", "vision": "vision:cifar10"}.get(asked.name, asked.name)
        raise UserError(
            f"init '{init}' of {body} {size} means the published weights {published}; "
            f"to pretrain one of your own name its data, as in '{example}'"
        )


def _here(source: BodySource, ledger: Ledger) -> str:
    """Make it in this process; returns why that failed."""
    import torch

    from study.allocator import keep_freed_memory
    from study.body_execution import MAX_THREADS, BodyExecution
    from study.execution import CommitFailed
    from study.progress import Board
    from study.running import told

    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(min(MAX_THREADS, available_cpus(), torch.get_num_threads()))
    execution = BodyExecution(source, ledger=ledger, revision=git_revision(), device=device)
    board, interruption = Board("bodies", work=[1.0], total=1), Interruption()
    try:
        with told(ledger.storage, board.snapshot), board.shown(), interruption.caught():
            for _ in execution.steps():
                _show(board, execution.tally)
                if interruption.has_come:
                    execution.stop()
                    raise KeyboardInterrupt
            _show(board, execution.tally)
    except CommitFailed as error:
        raise UserError(str(error)) from None
    except torch.AcceleratorError as error:
        return one_line(error)
    return execution.tally.error


def _show(board: Board, tally: Tally) -> None:
    from study.progress import Part

    # What went wrong is raised, and so told once.
    board.update(0, Part(tally.ended, tally.failed, tally.fraction, error="", note=tally.note, restored=tally.restored))


def _on_cluster(source: BodySource, ledger: Ledger, address: str) -> str:
    """Make it as a trial; returns why that failed."""
    from study.rounds import Launch, run_round

    with connected(address):
        return run_round(Launch(ledger), [source], []).get(source.key, "")
