"""The thread pool: several callers at once, other thread counts, fork."""

import os
import threading

import numpy as np
import pytest

from minimx import _core

N = 300


@pytest.fixture
def threads():
    before = _core.thread_count()
    yield _core.set_thread_count
    _core.set_thread_count(before)


def product(count):
    """A program whose one call is large enough to be cut between threads, and what its result must be."""
    rng = np.random.default_rng(count)
    a, b = rng.standard_normal((2, N, N)).astype("float32")
    device = _core.device("cpu", 0)
    program = _core.Program()
    slots, storages = [], []
    for _ in range(3):
        slots.append(program.add_bound(device))
        storages.append(_core.Storage(device, a.nbytes))
        program.bind(slots[-1], storages[-1], 0)
    _core.copy_in(storages[0], 0, a)
    _core.copy_in(storages[1], 0, b)
    sizes = dict(batch=1, m=N, n=N, k=N, lda=N, ldb=N, ldc=N, batch_a=0, batch_b=0, batch_c=0)
    args = sizes | dict(trans_a=0, trans_b=0, bias_axis=0, activation=0)
    scratch = program.add_arena(device, [0])
    program.add_call(device, "gemm.float32", args, [*slots[:2], -1, -1, slots[2], scratch])
    program.seal([(device, _core.thread_count() * N * (256 + N + 64) * 4)], None)
    return program, _core.view(storages[2], 0, [N, N], np.dtype("float32")), a @ b


def check(made):
    program, result, expected = made
    result[:] = 0
    program.run(0, 1)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


def test_several_callers_at_once(threads):
    threads(3)
    made = [product(i) for i in range(4)]
    failures = []

    def work(one):
        try:
            for _ in range(50):
                check(one)
        except AssertionError as error:
            failures.append(error)

    callers = [threading.Thread(target=work, args=(one,)) for one in made]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not failures


def test_more_threads_than_cores(threads):
    threads(4 * (os.cpu_count() or 1))
    one = product(1)
    for _ in range(20):
        check(one)


def test_results_do_not_depend_on_the_thread_count(threads):
    results = []
    for count in (1, 2, 3, 7):
        threads(count)
        program, result, _ = product(1)
        program.run(0, 1)
        results.append(result.copy())
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_after_fork():
    one = product(1)
    check(one)
    child = os.fork()
    if child == 0:
        try:
            for _ in range(5):
                check(one)
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    check(one)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork_while_another_thread_multiplies(threads):
    threads(2)
    busy, idle = product(1), product(2)
    stop = threading.Event()

    def work():
        while not stop.is_set():
            busy[0].run(0, 1)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                try:
                    check(idle)
                    os._exit(0)
                except BaseException:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        worker.join()
