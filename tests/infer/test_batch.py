"""Many maps: one machine and a Dask cluster give the same, a second call does what is missing."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import held
import pytest
from clusters import address_in
from test_cli import COMMAND, failure, run
from test_mapfile import write_mrc
from toys import lump

from haruspex_infer import batch
from haruspex_infer.annotator import Annotator
from haruspex_infer.batch import Task, annotate_all, shared_out
from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import sole_use
from haruspex_infer.job import Settings, annotate_map, finished, read_summary
from haruspex_infer.network import digest_of
from haruspex_infer.scheduling import UnfitError

SMALL = (24, 20, 28)


@pytest.fixture(scope="module")
def hold(tmp_path_factory):
    """While a file is there, the workers of the cluster answer no tile."""
    return tmp_path_factory.mktemp("hold") / "hold"


@pytest.fixture(scope="module")
def address(tmp_path_factory, hold):
    """A scheduler and two workers, each a process that was started by hand, as on machines of a cluster."""
    pytest.importorskip("distributed", reason="Dask is not installed")
    folder = tmp_path_factory.mktemp("cluster")
    where, started = folder / "scheduler.json", []
    environment = held.command(hold)["env"]
    here = ["--dashboard-address", ":0", "--scheduler-file", str(where)]
    worker = ["dask_worker", "--nthreads", "3", "--no-nanny", "--local-directory", str(folder)]
    worker += ["--preload", held.__file__]
    try:
        for program, *options in (["dask_scheduler", "--port", "0", "--host", "127.0.0.1"], worker, worker):
            command = [sys.executable, "-m", f"distributed.cli.{program}", *options, *here]
            started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        yield address_in(where, started[0])
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


@pytest.fixture(params=["this machine", "cluster"])
def where(request):
    """Options that say where maps are annotated."""
    return ["--scheduler", request.getfixturevalue("address")] if request.param == "cluster" else []


@pytest.fixture
def maps(tmp_path):
    """Three maps of one name in folders of their own, one that cannot be read, and a list of them."""
    for number, job in enumerate(("job1", "job2", "job3")):
        (tmp_path / job).mkdir()
        write_mrc(tmp_path / job / "map.mrc", lump(SMALL, seed=number), (1.1, 1.1, 1.1))
    (tmp_path / "bad.mrc").write_bytes(b"")
    (tmp_path / "list.txt").write_text("# of today\njob1/map.mrc\n\nbad.mrc\njob2/map.mrc\njob3/map.mrc\n")
    return tmp_path


def annotate(maps, toy, *options):
    return run("@list.txt", "--network", toy, "--device", "cpu", "-o", "out", *options, cwd=maps)


def table(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "haruspex_maps.csv").open(newline="") as stream:
        return {row["map"]: row for row in csv.DictReader(stream)}


def statuses(folder: Path) -> list[str]:
    return [row["status"] for row in table(folder).values()]


def times(folder: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/map_labels.mrc")}


def test_a_batch_is_annotated_and_goes_on(where, maps, toy):
    out = maps / "out"
    done = annotate(maps, toy, *where)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if "error" in line]
    assert errors == [f"haruspex-infer: error: {maps / 'bad.mrc'} is empty."]
    rows = table(out)
    assert list(rows) == ["job1/map.mrc", "bad.mrc", "job2/map.mrc", "job3/map.mrc"]
    assert statuses(out) == ["annotated", "failed", "annotated", "annotated"]
    assert rows["bad.mrc"]["fault"] == f"{maps / 'bad.mrc'} is empty."
    assert rows["job2/map.mrc"]["folder"] == "out/job2_map_haruspex"
    summary = read_summary(maps / rows["job2/map.mrc"]["folder"], Path("map.mrc"))
    row = rows["job2/map.mrc"]
    assert [row[n] for n in ("nx", "ny", "nz")] == ["28", "20", "24"]
    assert row["voxel_x"] == "1.1000"
    assert float(row["helix"]) == pytest.approx(
        summary["composition"]["helix"]["molecule_fraction"], abs=1e-4
    )
    assert (row["device"], row["host"]) == ("cpu", summary["host"])
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == [f"job{n}_map_haruspex" for n in (1, 2, 3)]
    printed = done.stdout.splitlines()
    assert len(printed) == 1 + len(rows) + 1
    assert printed[2].startswith("failed ")
    assert printed[-1] == "3 annotated, 1 failed (out/haruspex_maps.csv)"

    # what is whole stays; what lacks a file, has changed, failed or was asked for otherwise is done anew
    before = times(out)
    (out / "job1_map_haruspex" / "map_helix.mrc").unlink()
    write_mrc(maps / "job2" / "map.mrc", lump(SMALL, seed=7), (1.2, 1.2, 1.2))
    write_mrc(maps / "bad.mrc", lump(SMALL, seed=8), (1.1, 1.1, 1.1))
    done = annotate(maps, toy, *where)
    assert done.returncode == 0, done.stderr
    assert statuses(out) == ["annotated", "annotated", "annotated", "annotated before"]
    after = times(out)
    assert {name for name in before if before[name] == after[name]} == {"job3_map_haruspex"}
    assert (out / "job1_map_haruspex" / "map_helix.mrc").is_file()

    quiet = annotate(maps, toy, *where, "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert statuses(out) == ["annotated before"] * 4
    assert times(out) == after


def test_results_are_those_of_their_settings_map_and_network(maps, toy):
    path, folder = maps / "job1" / "map.mrc", maps / "a"
    given, digest = settings_of(toy), digest_of(toy)
    assert finished(folder, path, given.asked(path, digest)) is None
    annotate_map(Annotator(toy, "cpu"), path, folder, replace(given, elements=True), lambda line: None)
    assert finished(folder, path, given.asked(path, digest)) is None
    given = replace(given, elements=True)
    assert finished(folder, path, given.asked(path, digest)) == read_summary(folder, path)
    assert finished(folder, path, given.asked(path, "sha256:another")) is None
    mask = write_mrc(maps / "mask.mrc", lump(SMALL), (1.1, 1.1, 1.1))
    for change in ({"voxel_size": 1.15}, {"mask": mask}, {"model": mask}, {"density_weighted": True}):
        assert finished(folder, path, replace(given, **change).asked(path, digest)) is None
    for change in ({"device": "cuda"}, {"memory": 1e9}, {"command": "another"}):
        assert finished(folder, path, replace(given, **change).asked(path, digest)) is not None
    (folder / "map_elements.csv").rename(folder / "gone")
    assert finished(folder, path, given.asked(path, digest)) is None
    (folder / "gone").rename(folder / "map_elements.csv")
    (folder / "map_summary.json").write_text("[]")
    assert finished(folder, path, given.asked(path, digest)) is None


def test_one_machine_and_a_cluster_write_the_same(address, maps, toy):
    for folder, options in (("one", []), ("many", ["--scheduler", address])):
        annotate(maps, toy, *options, "-o", folder)
    files = sorted(path.relative_to(maps / "one") for path in (maps / "one").rglob("*.mrc"))
    assert len(files) == 15
    for path in files:
        assert (maps / "one" / path).read_bytes() == (maps / "many" / path).read_bytes()


def test_a_cluster_that_lacks_the_network_is_told_once(address, maps, toy, monkeypatch):
    settings = settings_of(toy)
    monkeypatch.setattr(batch, "digest_of", lambda path: "sha256:another")
    with pytest.raises(HaruspexError, match=r"has another network .*toy\.onnx: install the same there"):
        list(annotate_all({maps / "job1" / "map.mrc": maps / "a"}, settings, maps / "t.csv", address))


def test_a_worker_is_told_what_it_lacks(maps, toy):
    task = Task(maps / "job1" / "map.mrc", maps / "a", settings_of(toy), ("cpu",), digest_of(toy))
    assert batch._annotate(task).fault == ""
    with pytest.raises(UnfitError, match=r"The GPU \(cuda:77\) cannot be used"):
        batch._annotate(replace(task, devices=("cuda:77",)))


def test_a_disk_that_is_full_ends_the_batch(maps, toy):
    resource = pytest.importorskip("resource")

    def fill():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    done = run("@list.txt", "--network", toy, "--device", "cpu", "-o", "out", cwd=maps, preexec_fn=fill)
    assert "cannot be written: File too large" in failure(done)
    assert statuses(maps / "out") == ["waiting"] * 4


def settings_of(toy, **changes):
    given = Settings(str(toy), "cpu", None, None, None, False, False, None, False, "")
    return replace(given, **changes)


def test_a_device_that_is_not_there_ends_the_batch(maps, toy):
    done = run("@list.txt", "--network", toy, "--device", "cuda:77", "-o", "out", cwd=maps)
    assert "The GPU (cuda:77) cannot be used" in failure(done)
    assert statuses(maps / "out") == ["waiting"] * 4


def test_a_folder_in_use_costs_its_map_alone(maps, toy):
    (maps / "out" / "job2_map_haruspex").mkdir(parents=True)
    with sole_use(maps / "out" / "job2_map_haruspex"):
        done = annotate(maps, toy, "-q")
    assert "Another run writes to" in done.stderr
    assert statuses(maps / "out") == ["annotated", "failed", "failed", "annotated"]


@pytest.fixture
def three(tmp_path, toy):
    """Arguments for three maps."""
    first = write_mrc(tmp_path / "a.mrc", lump(SMALL), (1.1, 1.1, 1.1))
    maps = [first, *(shutil.copy(first, tmp_path / f"{name}.mrc") for name in "bc")]
    return [*maps, "--network", toy, "--device", "cpu", "-o", tmp_path / "out"]


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_batch_that_is_ended_goes_on(tmp_path, three, number):
    """The first map is done and the second under way when the end comes."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        **held.command(out / "b_haruspex", *three), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for(out / "b_haruspex", process)
    # Ctrl-C reaches every process of a terminal; the others are sent to one
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    _, said = process.communicate()
    assert "Traceback" not in said
    if number != signal.SIGKILL:
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
        assert not list(out.rglob("*.part"))
    assert statuses(out) == ["annotated", "waiting", "waiting"]
    assert not (out / "b_haruspex" / "b_summary.json").exists()
    before = (out / "a_haruspex" / "a_labels.mrc").stat().st_mtime_ns
    while subprocess.run(["pgrep", "-g", str(process.pid)], check=False, capture_output=True).stdout:
        time.sleep(0.1)  # no process outlives the command
    done = run(*three, "-q")
    assert done.returncode == 0, done.stderr
    assert statuses(out) == ["annotated before", "annotated", "annotated"]
    assert (out / "a_haruspex" / "a_labels.mrc").stat().st_mtime_ns == before


def test_an_interrupt_leaves_a_cluster_what_it_has_begun(address, hold, tmp_path, toy, three):
    maps = [shutil.copy(three[0], tmp_path / f"{number}.mrc") for number in range(12)]
    out, there = tmp_path / "out", [*three[3:], "--scheduler", address]
    hold.touch()
    command = [*COMMAND, *map(str, (*maps, *there))]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (begun := list(out.glob("*_haruspex"))):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "haruspex-infer: interrupted"
    assert statuses(out) == ["waiting"] * 12
    hold.unlink()
    after = run(*three[:2], *there, "-q")  # when others are done, the first were long before
    assert after.returncode == 0, after.stderr
    assert list(begun[0].glob("*_summary.json"))
    assert len(list(out.glob("*_haruspex"))) < len(maps)  # nobody began what was not under way


def test_a_worker_that_is_killed_is_replaced(tmp_path, three):
    out, hold = tmp_path / "out", tmp_path / "hold"
    hold.touch()
    process = subprocess.Popen(**held.command(hold, *three, "-q"), start_new_session=True)
    wait_for(out / "a_haruspex", process)
    listed = subprocess.run(
        ["pgrep", "-g", str(process.pid), "-f", "spawn_main"], check=True, capture_output=True
    )
    os.kill(int(listed.stdout.split()[0]), signal.SIGKILL)
    hold.unlink()
    assert process.wait() == 0
    assert statuses(out) == ["annotated"] * 3


def test_named_gpus_are_shared_out():
    assert shared_out("auto") == ("auto",)
    assert shared_out("cpu") == ("cpu",)
    assert shared_out("cuda") == ("cuda:0", "cuda:0")
    assert shared_out("cuda:1,3") == ("cuda:1", "cuda:3", "cuda:1", "cuda:3")
