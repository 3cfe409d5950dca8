"""TensorBoard: one folder of event files per run, written aside and then renamed, so that a folder is complete."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from tensorboardX import SummaryWriter

from study.errors import UserError, one_line
from study.mirror import Row, config_of, name_of, points_of, results_of


class TensorBoard:
    """Writes below a local folder; the package is one that Ray Tune brings.

    Raises:
        UserError: the folder is a file.
    """

    errors: tuple[type[Exception], ...] = ()

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"--log-to tensorboard: '{one_line(folder)}' is a file")
        self._folder = folder

    def known(self) -> set[str]:
        """See `Tracker`."""
        paths = self._folder.iterdir() if self._folder.is_dir() else ()
        return {path.name.rpartition("_")[2] for path in paths if not path.name.startswith(".")}

    def log(self, run: Row, curve: Sequence[Row]) -> None:
        """See `Tracker`."""
        target = self._folder / name_of(run)
        aside = self._folder / f".tmp-{uuid.uuid4().hex}"
        started = run["started_at"].timestamp() if run["started_at"] else 0.0
        seconds = {row["step"]: row["wall_seconds"] or 0.0 for row in curve}
        try:
            with SummaryWriter(str(aside)) as writer:
                for step, values in points_of(curve).items():
                    for name, value in values.items():
                        writer.add_scalar(name, value, step, walltime=started + seconds[step])
                for name, value in results_of(run).items():
                    writer.add_scalar(f"result/{name}", value, run["num_steps_done"] or 0)
                writer.add_text("run", f"```json\n{json.dumps(config_of(run), indent=1)}\n```")
            aside.rename(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def open_tracker(place: str) -> TensorBoard:
    """The tracker of a local folder."""
    return TensorBoard(Path(place).expanduser())
