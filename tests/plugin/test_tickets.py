"""Tickets: whole files or none, and keys that tell jobs apart."""

import os

import pytest

from snakemake_executor_plugin_submitit.tickets import Ticket, TicketError, Tickets, job_key, job_work

TICKET = Ticket("12_3", "slurm", "/folder", "abc", ["0"], ["out"])


def test_ticket_is_read_as_it_was_written(tmp_path):
    tickets = Tickets(tmp_path / "new" / "folder")
    assert tickets.read("key") is None
    tickets.write("key", TICKET)
    assert tickets.read("key") == TICKET
    assert os.listdir(tickets.folder) == ["key.json"]
    tickets.remove("key")
    tickets.remove("key")
    assert tickets.read("key") is None


def test_interrupted_write_leaves_the_old_ticket(tmp_path, monkeypatch):
    tickets = Tickets(tmp_path)
    tickets.write("key", TICKET)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        tickets.write("key", Ticket("13", "slurm", "/folder", "abc", [], []))
    assert tickets.read("key") == TICKET


@pytest.mark.parametrize("text", ["", "{", "[]", '{"job_id": "1"}', '{"other": 1}', "null"])
def test_damaged_ticket_is_named(tmp_path, text):
    (tmp_path / "key.json").write_text(text)
    with pytest.raises(TicketError, match=r"key\.json is damaged"):
        Tickets(tmp_path).read("key")


def test_key_is_the_rule_and_what_it_makes(make_job):
    key = job_key(make_job("train", "a"))
    assert key == job_key(make_job("train", "a", params=[("lr", 1)], shellcmd="other", mem_mb=5))
    assert len({key, job_key(make_job("train", "b")), job_key(make_job("test", "a"))}) == 3


def test_work_changes_with_input_parameters_and_command(make_job, tmp_path):
    file = tmp_path / "input"
    file.touch()
    job = {"files": [file], "params": [("lr", 0.1)], "shellcmd": "train {output}"}
    work = job_work(make_job(**job))
    assert job_work(make_job(**job, mem_mb=9000)) == work
    changed = [{"files": []}, {"params": [("lr", 0.2)]}, {"params": [("wd", 0.1)]}, {"shellcmd": "train -v {output}"}]
    works = {job_work(make_job(**{**job, **change})) for change in changed}
    os.utime(file, (1, 1))
    works |= {work, job_work(make_job(**job))}
    file.unlink()
    works.add(job_work(make_job(**job)))
    assert len(works) == 7


def test_job_without_outputs_is_known_by_its_wildcards(make_job):
    first, second = make_job(), make_job()
    first.output, second.output = [], []
    assert job_key(first) == job_key(second)
    second.wildcards_dict = {"n": "1"}
    assert job_key(first) != job_key(second)
