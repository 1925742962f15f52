"""Control flow on the gpu: the same numbers as on the cpu."""

import numpy as np
from test_control_flow import bound, every_program, trained, unrolling  # noqa: F401

import minimx as mx


@every_program
def test_equals_the_cpu(name, gpu):
    outputs, slopes = trained(bound(name))
    there_outputs, there = trained(bound(name, mx.gpu(0)))
    for a, b in zip(outputs, there_outputs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    for n in slopes:
        np.testing.assert_allclose(slopes[n], there[n], rtol=1e-10, atol=1e-12)
