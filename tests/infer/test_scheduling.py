import os
import signal
import subprocess
import sys

import pytest

from haruspex_infer.errors import HaruspexError
from haruspex_infer.scheduling import ATTEMPTS, Machines, Outcome, spread


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


def needs_a_package(number):
    raise ModuleNotFoundError("No module named 'elsewhere'")


def outcomes(work, tasks, machines):
    found = list(spread(work, tasks, machines))
    assert len(found) == len(tasks)
    return {one.name: one for one in found}


@pytest.fixture(scope="module")
def address():
    """A scheduler with two workers in processes of their own."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    import dask

    pages = {"dashboard_address": None, "worker_dashboard_address": None}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, **pages) as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture(params=["one process", "three processes", "cluster"])
def machines(request):
    if request.param == "cluster":
        return Machines(scheduler=request.getfixturevalue("address"))
    return Machines(workers=1 if request.param == "one process" else 3)


def test_every_entry_has_its_outcome(machines):
    tasks = {f"EMD-{number}": number for number in range(20)}
    assert outcomes(double, tasks, machines) == {n: Outcome(n, 2 * v) for n, v in tasks.items()}


def test_a_failure_costs_its_entry_alone_and_has_a_reason(machines):
    found = outcomes(odd_ones_fail, {str(number): number for number in range(6)}, machines)
    assert {name for name, one in found.items() if one.fault} == {"1", "3", "5"}
    assert found["3"].fault == "given up after ValueError: 3 is odd"


def test_a_killed_process_costs_its_entry_alone(machines):
    found = outcomes(the_third_is_killed, {str(number): number for number in range(8)}, machines)
    assert {name for name, one in found.items() if one.fault} == {"3"}
    assert "process was killed" in found["3"].fault


def test_what_fails_once_is_tried_again(machines, tmp_path):
    found = outcomes(fails_once, {name: tmp_path / name for name in "abc"}, machines)
    assert [found[name].value for name in "abc"] == ["a", "b", "c"]
    assert ATTEMPTS == 2


def test_workers_that_lack_a_package_end_the_run(machines):
    with pytest.raises(HaruspexError, match="No module named 'elsewhere'"):
        list(spread(needs_a_package, {"one": 1}, machines))


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
