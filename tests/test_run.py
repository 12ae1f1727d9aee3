"""What a run's folder holds, read back for reports."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from reports import Record, load_run, record_to_mapping, write_records

OK = Record(
    run_id="r",
    scenario="neom",
    model="sable",
    mode="chunkwise",
    agents=4,
    seq_len=8,
    envs=2,
    status="ok",
    files="0000-sable",
)


def write_run(folder: Path, *records: Record) -> Path:
    """A run's folder as a sweep leaves it, with a line torn off at the end."""
    lines = [json.dumps(record_to_mapping(record)) for record in records]
    (folder / "records.jsonl").write_text("".join(f"{line}\n" for line in lines) + lines[0][:20])
    return folder


def test_the_last_record_of_a_repeat_counts(tmp_path: Path) -> None:
    failed = dataclasses.replace(OK, status="oom")
    again = dataclasses.replace(OK, repeat=1)
    assert load_run(write_run(tmp_path, failed, again, OK)).records == (OK, again)


def test_environments_in_the_order_of_time(tmp_path: Path) -> None:
    write_run(tmp_path, OK)
    assert load_run(tmp_path).hosts == ()
    for number, name in enumerate(["environment", *(f"host-{i}" for i in range(2, 12))]):
        (tmp_path / f"{name}.json").write_text(json.dumps({"number": number}))
    assert [found["number"] for found in load_run(tmp_path).hosts] == list(range(11))
    (tmp_path / "host-3.json").write_text("{")
    with pytest.raises(ValueError, match=r"host-3.json is not a JSON object: the file was edited or damaged"):
        load_run(tmp_path)


def test_files_of_a_point(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path, OK))
    assert run.samples(OK) == run.timeline(OK) == []
    (tmp_path / "timelines").mkdir()
    (tmp_path / "timelines" / "0000-sable.csv").write_text("seconds,phase,rss_bytes\n0.5,start,100\n")
    assert run.timeline(OK) == [{"seconds": "0.5", "phase": "start", "rss_bytes": "100"}]
    (tmp_path / "secret.csv").write_text("a\n1\n")
    assert run.timeline(dataclasses.replace(OK, files="../secret")) == []


def test_a_table_alone(tmp_path: Path) -> None:
    with (tmp_path / "some.csv").open("w", newline="") as stream:
        write_records([OK], stream)
    run = load_run(tmp_path / "some.csv")
    assert (run.name, run.records, run.hosts) == ("some", (OK,), ())
    assert run.samples(OK) == []


def test_the_folder_of_a_baseline(tmp_path: Path) -> None:
    with (tmp_path / "results.csv").open("w", newline="") as stream:
        write_records([OK], stream)
    (tmp_path / "host.json").write_text('{"cpu": "Abacus 3"}')
    run = load_run(tmp_path)
    assert (run.name, run.records, run.hosts) == (tmp_path.name, (OK,), ({"cpu": "Abacus 3"},))
    (tmp_path / "manifest.json").touch()
    with pytest.raises(ValueError, match=r"is not a run: it has no records.jsonl"):
        load_run(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, f'{{"agents": {"9" * 5000}}}', "3"], ids=["nested", "digits", "3"])
def test_lines_that_no_sweep_wrote(tmp_path: Path, text: str) -> None:
    write_run(tmp_path, OK)
    lines, environment = tmp_path / "records.jsonl", tmp_path / "host.json"
    environment.write_text(text)
    with pytest.raises(ValueError, match=r"host.json is not a JSON object: the file was edited or damaged$"):
        load_run(tmp_path)
    lines.write_text(f"{lines.read_text()}{text}\n")
    with pytest.raises(
        ValueError, match=r"records.jsonl, line 2 is not a JSON object: the file was edited or damaged$"
    ):
        load_run(tmp_path)


def test_samples_that_are_no_table(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path, OK))
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "0000-sable.csv").write_text("update\n" + "9" * 200_000)
    with pytest.raises(ValueError, match=r"0000-sable.csv: not valid CSV \(field larger than field limit"):
        run.samples(OK)


def test_rows_that_stand_twice_in_a_table_count_once_for_each_run(tmp_path: Path) -> None:
    failed, again = dataclasses.replace(OK, status="oom"), dataclasses.replace(OK, repeat=1)
    other = dataclasses.replace(OK, run_id="other")
    with (tmp_path / "some.csv").open("w", newline="") as stream:
        write_records([failed, again, other, OK, other], stream)
    assert load_run(tmp_path / "some.csv").records == (OK, again, other)


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not a run: it has no records.jsonl"):
        load_run(tmp_path)
    with pytest.raises(ValueError, match=r"nowhere does not exist: name a run directory or its results.csv"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"a: cannot be read \(File name too long\); check the path"):
        load_run(tmp_path / ("a" * 300))
