"""What commands with `--tuned` say of the runs for which no search found a setting."""

from __future__ import annotations

from collections import Counter

from study.reply import Reply
from study.search_targets import variant_name
from study.tuned import Applied


def with_tuned(reply: Reply, applied: Applied) -> Reply:
    """The reply of a command that was given --tuned, with the runs for which nothing was found."""
    counted = Counter(f"{run.task} {variant_name(run)} ({run.body} {run.size or run.init})" for run in applied.without)
    document = {**reply.document, "tuned": len(applied.tuned), "without_setting": dict(counted)}
    lines = [f"tuned: {len(applied.tuned)} runs have a setting that a search found"]
    lines += [f"as specified, since nothing was found for them: {', '.join(counted)}"] if counted else []
    return Reply(document, [*reply.shown, *lines], reply.exit_code)
