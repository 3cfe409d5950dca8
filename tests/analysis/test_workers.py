"""Sections made in several processes are those that one process makes, and what goes wrong there is told here."""

import multiprocessing
import os
import signal

import pytest

from analysis import general, images, load, report, sections, workers
from study.errors import UserError

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork processes"
)


@pytest.fixture
def several(monkeypatch):
    monkeypatch.setattr(workers, "LEAST_RUNS", 1)
    monkeypatch.setattr(workers, "_can_fork", lambda: True)


@pytest.fixture(scope="module")
def data(study_ledger):
    return sections.tables(load.load(str(study_ledger)), command="study report")


def killed(data):
    os.kill(os.getpid(), signal.SIGKILL)


def refused(data):
    raise UserError("no such table; name another")


def absent(data):
    return None


def process(data):
    return sections.Part(sections.Section("process", str(os.getpid()), ""))


def test_a_report_does_not_depend_on_who_made_its_sections(study_ledger, tmp_path, monkeypatch, request):
    monkeypatch.setattr(images, "write", lambda jobs: "not here")
    serial = report.write_report(str(study_ledger), str(tmp_path / "report"), ["study", "report"]).read_text()
    request.getfixturevalue("several")
    again = [str(study_ledger), str(tmp_path / "report"), ["study", "report"]]
    several = report.write_report(*again, num_processes=2).read_text()
    assert several == serial and len(serial) > 100_000


def test_they_are_made_elsewhere_in_order_and_none_is_lost(several, data):
    first, nothing, accuracy = workers.made([process, absent, general.test_accuracy], data, num_processes=2)
    assert int(first.section.title) != os.getpid() and nothing is None
    here = general.test_accuracy(data)
    assert accuracy.section == here.section and [one.name for one in accuracy.pictures] == [
        one.name for one in here.pictures
    ]
    assert accuracy.pictures[0].variants[0][1] == here.pictures[0].variants[0][1].to_dict()


def test_small_ledgers_and_single_processors_need_no_processes(data, monkeypatch):
    (part,) = workers.made([process], data, num_processes=2)
    assert int(part.section.title) == os.getpid()
    monkeypatch.setattr(workers, "LEAST_RUNS", 1)
    assert int(workers.made([process, absent], data, num_processes=1)[0].section.title) == os.getpid()


def test_a_refusal_and_a_killed_process_are_one_line(several, data):
    with pytest.raises(UserError, match="no such table; name another"):
        workers.made([absent, refused], data, num_processes=2)
    with pytest.raises(UserError, match="was killed, perhaps for want of memory"):
        workers.made([absent, killed], data, num_processes=2)
    assert workers.made([absent, absent], data, num_processes=2) == [None, None]
