import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from clusters import address_in, cluster

from haruspex_infer import scheduling
from haruspex_infer.errors import CannotWriteError, HaruspexError
from haruspex_infer.files import written_whole
from haruspex_infer.scheduling import ATTEMPTS, Machines, Outcome, UnfitError, _Bounded, slot, spread


def double(number):
    return 2 * number


def odd_ones_fail(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def the_third_is_killed(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fails_once(path):
    if path.exists():
        return path.name
    path.touch()
    raise OSError("the disk was away")


def the_third_never_ends(number):
    while number == 3:
        time.sleep(1)
    return number


def the_third_wants_everything(number):
    if number == 3:
        wanted = bytes(10**9).replace(b"\0", b"1")  # not only promised: written to
        time.sleep(3600 + wanted.count(b"2"))
    return number


def succeeds_once(path):
    if path.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    path.touch()


def needs_a_package(number):
    raise ModuleNotFoundError("No module named 'elsewhere'")


def cannot_work_here(number):
    raise UnfitError(f"There is no GPU for {number}.")


def number_of_the_process(number):
    time.sleep(0.05)
    return slot()


def slow_or_quick(path):
    if path is None:
        return
    with written_whole(path) as stream:
        stream.write(b"half")
        path.with_suffix(".begun").touch()
        while True:
            time.sleep(60)


def outcomes(work, tasks, machines):
    found = list(spread(work, tasks, machines))
    assert len(found) == len(tasks)
    return {one.name: one for one in found}


@contextmanager
def strict_cluster(**options):
    """A cluster that gives up work whose worker is killed."""
    # its settings are there only when it is imported
    pytest.importorskip("distributed", reason="Dask is not installed")
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), cluster(**options) as made:
        yield made


@contextmanager
def at_a_warning(do):
    """Do something when the scheduling first warns."""

    class Once(logging.Handler):
        def emit(self, _):
            logger.removeHandler(self)
            threading.Thread(target=do).start()

    logger, handler = logging.getLogger("haruspex_infer.scheduling"), Once()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


@pytest.fixture(scope="module")
def address():
    with strict_cluster(n_workers=2) as there:
        yield there.scheduler_address


@pytest.fixture(params=["one process", "three processes", "cluster"])
def machines(request):
    if request.param == "cluster":
        yield Machines(scheduler=request.getfixturevalue("address"))
    elif request.param == "mortal cluster":  # whose workers take their time to come back, if they do
        with strict_cluster(n_workers=2) as there:
            yield Machines(scheduler=there.scheduler_address)
    else:
        yield Machines(workers=1 if request.param == "one process" else 3)


def test_every_entry_has_its_outcome(machines):
    tasks = {f"EMD-{number}": number for number in range(20)}
    assert outcomes(double, tasks, machines) == {n: Outcome(n, 2 * v) for n, v in tasks.items()}


def test_a_failure_costs_its_entry_alone_and_has_a_reason(machines):
    found = outcomes(odd_ones_fail, {str(number): number for number in range(6)}, machines)
    assert {name for name, one in found.items() if one.fault} == {"1", "3", "5"}
    assert found["3"].fault == "given up after ValueError: 3 is odd"


@pytest.mark.parametrize("machines", ["one process", "three processes", "mortal cluster"], indirect=True)
def test_a_killed_process_costs_its_entry_alone(machines):
    found = outcomes(the_third_is_killed, {str(number): number for number in range(8)}, machines)
    assert {name for name, one in found.items() if one.fault} == {"3"}
    assert "process was killed" in found["3"].fault


@pytest.mark.parametrize("machines", ["one process", "mortal cluster"], indirect=True)
def test_work_that_takes_too_long_costs_its_entry_alone(machines):
    machines = replace(machines, longest=1 / 60)
    found = outcomes(the_third_never_ends, {str(number): number for number in range(5)}, machines)
    assert {name for name, one in found.items() if one.fault} == {"3"}
    assert found["3"].fault.endswith("killed each time (out of memory, or longer than 0.0166667 minutes?)")


def test_what_fails_once_is_tried_again(machines, tmp_path):
    found = outcomes(fails_once, {name: tmp_path / name for name in "abc"}, machines)
    assert [found[name].value for name in "abc"] == ["a", "b", "c"]
    assert ATTEMPTS == 2


def test_workers_that_lack_a_package_end_the_run(machines):
    with pytest.raises(HaruspexError, match="No module named 'elsewhere'"):
        list(spread(needs_a_package, {"one": 1}, machines))


def test_a_process_that_cannot_do_any_of_it_ends_the_run(machines):
    with pytest.raises(UnfitError, match=r"^There is no GPU for 1\.$"):
        list(spread(cannot_work_here, {"one": 1}, machines))


def test_processes_know_their_number():
    found = spread(number_of_the_process, {str(number): number for number in range(12)}, Machines(workers=2))
    assert {outcome.value for outcome in found} == {0, 1}
    assert slot() == 0


def test_who_stops_asking_waits_for_nothing_and_leaves_nothing(tmp_path):
    """As at Ctrl-C: what is under way ends at once, and what it was writing is removed."""
    path, begun = tmp_path / "file", tmp_path / "file.begun"
    found = spread(slow_or_quick, {"quick": None, "slow": path}, Machines(workers=2))
    assert next(found).name == "quick"
    while not begun.exists():
        time.sleep(0.05)
    found.close()
    assert [left.name for left in tmp_path.iterdir()] == ["file.begun"]


def deaf_at_first(path):
    """As where a signal comes just before its thread waits for something."""
    usual = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda number, _: signal.signal(number, usual))
    slow_or_quick(path)


def test_a_process_that_misses_a_signal_is_told_again(tmp_path):
    path, begun = tmp_path / "file", tmp_path / "file.begun"
    found = spread(deaf_at_first, {"quick": None, "slow": path}, Machines(workers=2))
    assert next(found).name == "quick"
    while not begun.exists():
        time.sleep(0.05)
    found.close()
    assert [left.name for left in tmp_path.iterdir()] == ["file.begun"]


def test_a_cluster_without_workers_is_told_of(caplog):
    with cluster(n_workers=0, processes=False) as there, at_a_warning(lambda: there.scale(1)):
        found = list(spread(double, {"one": 1}, Machines(scheduler=there.scheduler_address)))
    assert found == [Outcome("one", 2)]
    assert f"{there.scheduler_address} has no workers yet: waiting for them." in caplog.messages


@pytest.mark.parametrize("machines", ["one process", "cluster"], indirect=True)
def test_workers_of_another_version_end_the_run(machines, monkeypatch):
    monkeypatch.setattr(_Bounded.__init__, "__defaults__", ("0.0.1",))
    with pytest.raises(HaruspexError, match=r"has haruspex-infer \S+: install 0\.0\.1 there\."):
        list(spread(double, {"one": 1}, machines))


def test_a_worker_that_takes_too_much_memory_is_ended():
    """By its nanny; the scheduler and the other entries go on."""
    with strict_cluster(n_workers=1, memory_limit="500 MB") as there:
        machines = Machines(scheduler=there.scheduler_address)
        tasks = {str(number): number for number in range(2, 5)}
        found = outcomes(the_third_wants_everything, tasks, machines)
    assert {name for name, one in found.items() if one.fault} == {"3"}
    assert "out of memory" in found["3"].fault


def test_an_answer_that_is_lost_with_its_worker_costs_its_entry_alone(monkeypatch, tmp_path):
    usual = scheduling._as_they_finish

    def lost(client, futures):
        for future in usual(client, futures):
            for worker in client.run(os.getpid).values():
                os.kill(worker, signal.SIGKILL)
            yield future

    monkeypatch.setattr(scheduling, "_as_they_finish", lost)
    with strict_cluster(n_workers=1) as there:
        machines = Machines(scheduler=there.scheduler_address)
        found = outcomes(succeeds_once, {"1": tmp_path / "1"}, machines)
    assert "process was killed" in found["1"].fault


def test_an_answer_that_never_comes_is_a_fault_of_its_entry_alone(monkeypatch):
    usual = scheduling._as_they_finish

    def forgotten(client, futures):
        for future in usual(client, futures):
            # as the scheduler tells of an answer that is gone, and then of no other
            client.futures[future.key].lose()
            yield future

    monkeypatch.setattr(scheduling, "_as_they_finish", forgotten)
    monkeypatch.setattr(scheduling, "LOST_SECONDS", 1)
    with cluster(n_workers=1, processes=False) as there:
        found = outcomes(double, {"one": 1}, Machines(scheduler=there.scheduler_address))
    assert "process was killed" in found["one"].fault


def test_a_scheduler_without_workers_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr("haruspex_infer.scheduling.DESERTED_SECONDS", 1)
    monkeypatch.setattr("haruspex_infer.scheduling._LOOK_SECONDS", 0.2)
    said = pytest.raises(HaruspexError, match="has no workers: start some")
    with cluster(n_workers=0, processes=False) as there, said:
        list(spread(double, {"one": 1}, Machines(scheduler=there.scheduler_address)))


def test_a_scheduler_that_is_killed_ends_the_run(tmp_path):
    pytest.importorskip("distributed", reason="Dask is not installed")
    file = tmp_path / "scheduler.json"
    options = ["--port", "0", "--dashboard-address", ":0", "--host", "127.0.0.1", "--scheduler-file", file]
    process = subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_scheduler", *options])
    try:
        machines = Machines(scheduler=address_in(file, process))
        said = pytest.raises(HaruspexError, match="has ended: start another and run again to go on")
        with at_a_warning(process.kill), said:
            list(spread(abs, {"one": -1}, machines))
    finally:
        process.kill()
        process.wait()


def test_nothing_to_do_starts_nothing():
    assert list(spread(double, {}, Machines(scheduler="tcp://127.0.0.1:9"))) == []


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr("haruspex_infer.scheduling.CONNECTION_SECONDS", 0.2)
    for address in ("tcp://127.0.0.1:9", "no address"):
        with pytest.raises(HaruspexError, match=f"No Dask scheduler answers at {address}"):
            list(spread(double, {"one": 1}, Machines(scheduler=address)))


def test_dask_is_imported_only_where_it_is_asked_for():
    script = (
        "import sys; from haruspex_infer.scheduling import spread;"
        "print(next(spread(abs, {'one': -1})).value, *({'distributed', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


def waits_for_ever(path):
    path.touch()
    while True:
        time.sleep(60)


ENDLESS = """
import sys
import time
from pathlib import Path
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from haruspex_infer.ending import run
from haruspex_infer.scheduling import Machines, spread
from test_scheduling import waits_for_ever

if __name__ == "__main__":
    tasks = {name: Path(sys.argv[1]) / name for name in "ab"}
    run(lambda: list(spread(waits_for_ever, tasks, Machines(2))), "endless")
"""


@pytest.mark.parametrize(
    ("number", "code", "said"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")]
)
@pytest.mark.parametrize("everyone", [False, True])
def test_a_signal_ends_the_processes_too(tmp_path, number, code, said, everyone):
    """A scheduler of jobs asks one process or all of them; Ctrl-C reaches all."""
    (tmp_path / "script.py").write_text(ENDLESS)
    process = subprocess.Popen(
        [
            sys.executable,
            tmp_path / "script.py",
            tmp_path,
            Path(__file__).parent,
            *filter(None, sys.path),
        ],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and not ((tmp_path / "a").exists() and (tmp_path / "b").exists()):
        time.sleep(0.01)
    (os.killpg if everyone else os.kill)(process.pid, getattr(signal, number))
    messages = process.communicate()[1]
    assert (process.returncode, messages) == (code, f"endless: {said}\n")
    with pytest.raises(ProcessLookupError):
        while True:  # the processes end by themselves, none stays
            os.killpg(process.pid, 0)
            time.sleep(0.01)


class Deadly:
    """Ends the process that takes it out of the queue, before any call."""

    def __reduce__(self):
        return signal.raise_signal, (signal.SIGTERM,)


def test_a_process_told_to_end_between_calls_says_nothing(capfd):
    found = outcomes(double, {"deadly": Deadly(), "one": 1}, Machines(workers=1))
    assert found["one"].value == 2
    assert "process was killed" in found["deadly"].fault
    assert capfd.readouterr() == ("", "")


BEGINNING = """
import os
import signal
import sys
from multiprocessing import util
from haruspex_infer.ending import run
from haruspex_infer.scheduling import spread

usual = util.spawnv_passfds

def told_at_once(program, arguments, *passed):
    started = usual(program, arguments, *passed)
    if any("spawn_main" in str(argument) for argument in arguments):
        os.kill(os.getpid(), signal.{})
    return started

util.spawnv_passfds = told_at_once
if __name__ == "__main__":
    run(lambda: list(spread(abs, {{"one": -1}})), "beginning")
"""


@pytest.mark.parametrize(
    ("number", "code", "said"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")]
)
def test_a_signal_while_a_process_begins_leaves_it_nothing_to_complain_of(tmp_path, number, code, said):
    (tmp_path / "script.py").write_text(BEGINNING.format(number))
    command = [sys.executable, tmp_path / "script.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, f"beginning: {said}\n")


def needs_room(number):
    raise CannotWriteError("/data/EMD-1.h5 cannot be written: No space left on device.")


def test_a_disk_that_is_full_ends_the_run(machines):
    """It is no fault of the entry, and the next one would fare no better."""
    with pytest.raises(CannotWriteError, match="No space left on device"):
        list(spread(needs_room, {"one": 1, "two": 2}, machines))


def test_a_machine_that_starts_no_process_is_told_of(monkeypatch):
    def no_room(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("haruspex_infer.scheduling.ProcessPoolExecutor", no_room)
    with pytest.raises(HaruspexError, match=r"No process can be started .*No space left.* /dev/shm"):
        list(spread(double, {"one": 1}, Machines(1)))
