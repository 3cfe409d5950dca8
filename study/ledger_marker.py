"""The file that makes a folder a ledger, OUT/ledger.json: nothing is ever written into a place that has other files."""

from __future__ import annotations

import json

from study.errors import StorageError, UserError, one_line, place
from study.ledger_schema import COLUMNS_VERSION
from study.storage import Storage

MARKER = "ledger.json"
_CONTENT = {"ledger": "fpt-study", "schema_version": COLUMNS_VERSION}


def marker() -> bytes:
    """The content of a new ledger's file."""
    return json.dumps(_CONTENT).encode()


def check_marker(storage: Storage) -> None:
    """Refuse a file that is not that of a ledger which this version knows.

    Raises:
        UserError: so it is, or it cannot be read.
        StorageError: the place fails.
    """
    path = f"{place(storage.uri)}/{MARKER}"
    try:
        found = json.loads(storage.read(MARKER))
        is_ours = found["ledger"] == _CONTENT["ledger"] and found.keys() == _CONTENT.keys()
        is_known = is_ours and 1 <= found["schema_version"] <= COLUMNS_VERSION
    except StorageError:
        raise
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {one_line(error.strerror)}") from None
    except (ValueError, TypeError, LookupError):
        is_known = False
    if not is_known:
        known = f"versions 1 to {COLUMNS_VERSION}" if COLUMNS_VERSION > 1 else "version 1"
        raise UserError(f"'{path}' is not that of a ledger of {known}")
