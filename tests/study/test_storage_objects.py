"""A ledger in an object store: on a local server of the S3 protocol whose answers get lost, late or refused."""

import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.fs
import pytest

from study import storage_objects
from study.errors import LedgerWarning, StorageError, UserError, place
from study.ledger import Ledger
from study.provenance import manifest
from study.storage import open_storage

PLACES = itertools.count()
BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Faulty:
    """A WSGI application in front of another one, which fails some of the requests.

    Attributes:
        fault: asked before each request for what to do: "" to serve it, "busy" to answer 503, "lost" to serve it and
            then answer 500, "late" to serve it when the client has given up.
    """

    def __init__(self, application) -> None:
        self.application = application
        self.fault = lambda: ""
        self.lock = threading.Lock()
        self.num_faults = 0

    def __call__(self, environ: dict, start_response) -> Iterator[bytes]:
        with self.lock:
            fault = self.fault()
            self.num_faults += bool(fault)
        if fault == "late":
            time.sleep(2.5)
        if fault in ("", "late"):
            return self.application(environ, start_response)
        if fault == "lost":
            list(self.application(environ, lambda *args: None))
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status = "500 Internal Server Error" if fault == "lost" else "503 Slow Down"
        start_response(status, [("Content-Length", str(len(BUSY))), ("Content-Type", "application/xml")])
        return iter([BUSY])


@pytest.fixture(scope="module")
def server():
    """The address of the server, and what makes it fail."""
    server_of_moto = pytest.importorskip("moto.server", reason="moto[server,s3] is a development tool")
    serving = pytest.importorskip("werkzeug.serving")
    from moto.moto_server.werkzeug_app import create_backend_app

    faulty = Faulty(server_of_moto.DomainDispatcherApplication(create_backend_app))

    class Silent(serving.WSGIRequestHandler):
        def log(self, *args, **kwargs) -> None:
            """Tests are quiet."""

    http = serving.make_server("127.0.0.1", 0, faulty, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield f"127.0.0.1:{http.server_port}", faulty
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def uri(server, monkeypatch: pytest.MonkeyPatch, request) -> Iterator[str]:
    """A place on the server for one test; tries follow each other quickly."""
    address, faulty = server
    faulty.fault, faulty.num_faults = lambda: "", 0
    monkeypatch.setattr(storage_objects, "_PAUSES_SECONDS", (0.01,) * 11)
    options = f"scheme=http&endpoint_override={address}&region=us-east-1"
    filesystem, _ = pyarrow.fs.FileSystem.from_uri(f"s3://key:secret@bucket?{options}&allow_bucket_creation=true")
    filesystem.create_dir("bucket")
    yield f"s3://key:secret@bucket/{request.node.name.partition('[')[0]}{next(PLACES)}?{options}"
    faulty.fault = lambda: ""


def impatient(ledger: Ledger, address: str) -> Ledger:
    """The same ledger through a client that tries once and waits a second, so that our own tries are what is tested."""
    ledger.storage.filesystem = pyarrow.fs.S3FileSystem(
        access_key="key", secret_key="secret", region="us-east-1", scheme="http", endpoint_override=address,
        request_timeout=1.0, retry_strategy=pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=1),
        allow_delayed_open=True,
    )  # fmt: skip
    return ledger


def used(made, ledger: Ledger) -> tuple[pa.Table, pa.Table]:
    """A ledger after appends, a repeated pack, a failure, a foreign file and a compaction."""
    ledger.prepare()
    for seed in range(3):
        ledger.append([made.row(seed, test_accuracy=seed / 7)], [made.curve(seed, step) for step in range(2)], "p")
    ledger.append([made.row(0, test_accuracy=0.9, minute=1)], [made.curve(0, loss=9.0)], "again")
    ledger.append([made.row(5, "failed", error="x")], [], "q")
    ledger.storage.commit("runs/foreign.txt", b"hello")
    with pytest.warns(LedgerWarning, match="foreign.txt"):
        before = ledger.runs().drop_columns("attempt"), ledger.curves().drop_columns("attempt")
    with pytest.warns(LedgerWarning, match="foreign.txt set aside"):
        assert len(ledger.compact()) == 1
    after = ledger.runs().drop_columns("attempt"), ledger.curves().drop_columns("attempt")
    assert before[0].equals(after[0]) and before[1].equals(after[1])
    assert len(ledger.storage.names("runs")) == len(ledger.storage.names("curves")) == 1
    assert ledger.storage.names("quarantine/runs") == ["foreign.txt"]
    return after


def test_it_holds_the_same_ledger_as_a_folder(made, uri: str, ledger: Ledger) -> None:
    runs, curves = used(made, Ledger(uri))
    local_runs, local_curves = used(made, ledger)
    assert runs.equals(local_runs) and curves.equals(local_curves)
    assert Ledger(uri).finished() == ledger.finished()


def test_lost_answers_and_busy_servers_change_nothing(made, uri: str, server, ledger: Ledger) -> None:
    address, faulty = server
    chance, late = random.Random(0), itertools.count()

    def fault() -> str:
        if next(late) == 20:
            return "late"
        return chance.choices(["", "busy", "lost"], [6, 1, 1])[0]

    faulty.fault = fault
    runs, curves = used(made, impatient(Ledger(uri), address))
    local_runs, local_curves = used(made, ledger)
    assert runs.equals(local_runs) and curves.equals(local_curves)
    assert faulty.num_faults > 20


def test_the_client_as_users_have_it_survives_a_burst_of_errors(made, uri: str, server) -> None:
    _, faulty = server
    requests = itertools.count()
    faulty.fault = lambda: "busy" if next(requests) % 20 < 4 else ""
    ledger = Ledger(uri)
    ledger.prepare()
    ledger.append([made.row(0)], [made.curve(0)], "p")
    assert len(ledger.finished()) == 1 and faulty.num_faults > 3


def test_a_server_that_stays_busy_is_given_up_in_one_line(made, uri: str, server) -> None:
    address, faulty = server
    ledger = impatient(Ledger(uri), address)
    ledger.prepare()
    faulty.fault = lambda: "busy"
    with pytest.raises(StorageError, match=r"fails: .*(SLOW_DOWN|HTTP status 503)") as refusal:
        ledger.append([made.row(0)], [], "p")
    assert faulty.num_faults == 12
    with pytest.raises(UserError, match="cannot write to") as told:
        ledger.prepare()
    assert "\n" not in str(refusal.value) + str(told.value) and "secret" not in str(refusal.value) + str(told.value)


def test_a_wrong_bucket_is_told_at_once(uri: str, server) -> None:
    ledger = Ledger(uri.replace("bucket/", "no-such-bucket/"))
    with pytest.raises(UserError, match=r"cannot write to .*Bucket 'no-such-bucket' not found"):
        ledger.prepare()


def test_a_part_is_one_request(uri: str, server) -> None:
    storage = open_storage(uri)
    storage.commit("runs/first", b"1")  # makes the folder
    _, faulty = server
    requests: list[int] = []
    faulty.fault = lambda: requests.append(1) or ""
    storage.replace("runs/second", b"x" * (1 << 20))
    assert len(requests) == 1


def test_simultaneous_writers_leave_one_result_with_its_own_curves(made, uri: str) -> None:
    ledger = Ledger(uri)
    ledger.prepare()

    def write(writer: int) -> None:
        rows = [made.row(0, minute=writer, test_accuracy=float(writer))]
        Ledger(uri).append(rows, [made.curve(0, loss=float(writer))], "p")
        Ledger(uri).compact()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    for _ in range(2):
        (accuracy,), (loss,) = ledger.runs()["test_accuracy"].to_pylist(), ledger.curves()["loss"].to_pylist()
        assert accuracy == loss
        ledger.compact()


def test_a_folder_among_the_parts_is_left_where_it_is(made, uri: str) -> None:
    ledger = Ledger(uri)
    ledger.prepare()
    ledger.append([made.row(0)], [], "p")
    ledger.storage.commit("runs/folder/keep", b"kept")
    with pytest.warns(LedgerWarning, match="runs/folder left out: a folder"):
        assert len(ledger.compact()) == 1
    with pytest.warns(LedgerWarning, match="runs/folder left out"):
        assert len(ledger.finished()) == 1
    assert ledger.storage.read("runs/folder/keep") == b"kept"


def test_a_password_in_the_uri_is_not_recorded(made) -> None:
    _, document = manifest([made.spec(0)], grid_name="g", command="study run g --out s3://key:secret@bucket/x?region=r")
    assert json.loads(document)["command"] == "study run g --out s3://key:***@bucket/x?region=r"
    assert place("s3://bucket/a@b:c/d@e") == "s3://bucket/a@b:c/d@e" and place("C:/folder@x") == "C:/folder@x"
