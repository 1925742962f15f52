"""mx.profiler: what is recorded, how it is told, and that nothing is recorded otherwise."""

import json
import threading

import pytest

import minimx as mx
from minimx import profiler


@pytest.fixture(autouse=True)
def fresh(tmp_path):
    profiler._profile.clear()
    profiler.set_config(profile_all=True, filename=str(tmp_path / "profile.json"))
    yield tmp_path / "profile.json"
    profiler.set_state("stop")
    profiler._profile.clear()


def network():
    hidden = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=10, name="fc")
    active = mx.sym.Activation(hidden, act_type="relu", name="act")
    return mx.sym.SoftmaxOutput(active, name="softmax")


def train_once(executor):
    executor.forward(is_train=True)
    executor.backward()


def events(path, **wanted):
    found = json.loads(path.read_text())["traceEvents"]
    return [e for e in found if all(e.get(k) == v for k, v in wanted.items())]


def test_calls_of_an_executor(fresh):
    executor = network().simple_bind(mx.cpu(), data=(4, 6))
    train_once(executor)
    profiler.set_state("run")
    for _ in range(3):
        train_once(executor)
    profiler.set_state("stop")
    train_once(executor)
    profiler.dump()
    spans = events(fresh, ph="X", cat="operator")
    layers = [e for e in spans if e["args"]["node"] in ("fc", "fc+act")]
    assert len(layers) == 3
    assert layers[0]["name"].startswith("FullyConnected")
    operands = "float32[4, 6], float32[10, 6], float32[10] -> float32[4, 10]"
    assert layers[0]["args"]["operands"] == operands
    assert layers[0]["args"]["bytes"] == 4 * (24 + 60 + 10 + 40)
    assert all(e["dur"] >= 0 for e in spans)
    starts = [e["ts"] for e in spans]
    assert starts == sorted(starts)
    assert any("backward" in e["args"]["node"] for e in spans)
    memory = events(fresh, ph="C", name="Memory: cpu/0")
    assert len(memory) == len(spans) and all(e["args"]["bytes"] > 0 for e in memory)


def test_operators_at_once(fresh):
    profiler.set_state("run")
    a = mx.nd.ones((3, 5))
    b = mx.nd.dot(a, a, transpose_b=True)
    profiler.set_state("stop")
    mx.nd.dot(a, b, transpose_a=True)
    table = json.loads(profiler.dumps(format="json"))
    assert table["Time"]["operator"]["dot"]["Count"] == 1
    profiler.dump()
    (dot,) = events(fresh, name="dot")
    assert dot["args"]["eager"] is True


def test_choice_of_what_is_profiled(fresh):
    executor = network().simple_bind(mx.cpu(), data=(4, 6))
    profiler.set_config(profile_imperative=True, filename=str(fresh))
    profiler.set_state("run")
    executor.forward()
    mx.nd.exp(mx.nd.ones(4))
    profiler.set_state("stop")
    profiler.dump()
    assert {e["args"]["eager"] for e in events(fresh, ph="X")} == {True}
    assert not events(fresh, ph="C")


def test_pause(fresh):
    profiler.set_state("run")
    mx.nd.exp(mx.nd.ones(4))
    profiler.pause()
    mx.nd.log(mx.nd.ones(4))
    profiler.resume()
    mx.nd.sin(mx.nd.ones(4))
    profiler.set_state("stop")
    names = json.loads(profiler.dumps(format="json"))["Time"]["operator"]
    assert "exp" in names and "sin" in names and "log" not in names


def test_table_is_sorted_and_reset(fresh):
    profiler.set_state("run")
    x = mx.nd.ones(4)
    for _ in range(3):
        mx.nd.exp(x)
    mx.nd.sin(x)
    profiler.set_state("stop")

    def order(**how):
        rows = profiler.dumps(**how).split("operator\n")[1].splitlines()[3:]
        return [row.split()[0] for row in rows if row]

    counts = {"exp": 3, "sin": 1}
    by_count = [n for n in order(sort_by="count") if n in counts]
    assert by_count == ["exp", "sin"]
    assert [n for n in order(sort_by="count", ascending=True) if n in counts] == ["sin", "exp"]
    assert "exp" in profiler.dumps(reset=True)
    assert "exp" not in profiler.dumps()


def test_own_marks(fresh):
    domain = profiler.Domain("load")
    task, frame, event = domain.new_task("decode"), domain.new_frame("batch"), profiler.Event("whole")
    with event:
        pass  # not running: not recorded
    profiler.set_state("run")
    with event, frame, task:
        domain.new_marker("here").mark("thread")
    counter = domain.new_counter("queue", 5)
    counter += 3
    counter.decrement()
    profiler.set_state("stop")
    assert [str(x) for x in (domain, task, frame, event, counter)] == ["load", "decode", "batch", "whole", "queue"]
    assert "decode" in profiler.dumps() and "load,frame" in profiler.dumps()
    profiler.dump()
    assert len(events(fresh, name="whole")) == 1
    assert [e["args"]["queue"] for e in events(fresh, name="queue")] == [5, 8, 7]
    assert events(fresh, name="here")[0]["s"] == "t"


def test_threads_are_told_apart(fresh):
    profiler.set_state("run")
    both = threading.Barrier(2)

    def work():
        x = mx.nd.ones(8)
        both.wait()
        mx.nd.exp(x)
        both.wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    profiler.set_state("stop")
    profiler.dump()
    assert len({e["tid"] for e in events(fresh, name="exp")}) == 2


def test_continuous_dump(fresh):
    profiler.set_config(filename=str(fresh), continuous_dump=True, dump_period=0.01)
    profiler.set_state("run")
    mx.nd.exp(mx.nd.ones(4))
    waited = threading.Event()
    for _ in range(500):
        if fresh.exists() and events(fresh, name="exp"):
            break
        waited.wait(0.01)
    profiler.set_state("stop")
    assert events(fresh, name="exp")


def test_bad_input():
    with pytest.raises(ValueError, match="no option 'file'"):
        profiler.set_config(file="x")
    with pytest.raises(ValueError, match="'run' or 'stop'"):
        profiler.set_state("go")
    with pytest.raises(ValueError, match="sort_by"):
        profiler.dumps(sort_by="name")
    with pytest.raises(mx.MXNetError, match="had not been started"):
        profiler.Event("e").stop()
    profiler.set_state("run")
    with pytest.raises(mx.MXNetError, match="running"):
        profiler.set_config(profile_all=True)


def test_old_names(fresh):
    with pytest.warns(UserWarning, match="set_config"):
        profiler.profiler_set_config("all", str(fresh))
    with pytest.warns(UserWarning, match="set_state"):
        profiler.profiler_set_state("run")
    mx.nd.exp(mx.nd.ones(4))
    with pytest.warns(UserWarning, match="dump"):
        profiler.dump_profile()
    assert events(fresh, name="exp")
