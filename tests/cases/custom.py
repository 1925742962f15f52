"""Operators written in Python."""

import numpy as np

import minimx as mx

from . import Case, real


class Power(mx.operator.CustomOp):
    def __init__(self, exponent):
        self.exponent = exponent

    def forward(self, is_train, req, in_data, out_data, aux):
        self.assign(out_data[0], req[0], in_data[0] ** self.exponent)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], out_grad[0] * self.exponent * in_data[0] ** (self.exponent - 1))


@mx.operator.register("case_power")
class PowerProp(mx.operator.CustomOpProp):
    def __init__(self, exponent="2"):
        super().__init__()
        self.exponent = int(exponent)

    def create_operator(self, ctx, in_shapes, in_dtypes):
        return Power(self.exponent)


class SumAndProduct(mx.operator.CustomOp):
    def forward(self, is_train, req, in_data, out_data, aux):
        a, b = in_data
        self.assign(out_data[0], req[0], a + b)
        self.assign(out_data[1], req[1], a * b)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        a, b = in_data
        self.assign(in_grad[0], req[0], out_grad[0] + out_grad[1] * b)
        self.assign(in_grad[1], req[1], out_grad[0] + out_grad[1] * a)


@mx.operator.register("case_sum_and_product")
class SumAndProductProp(mx.operator.CustomOpProp):
    def list_arguments(self):
        return ["a", "b"]

    def list_outputs(self):
        return ["sum", "product"]

    def infer_shape(self, in_shape):
        return in_shape, [in_shape[0]] * 2, []

    def create_operator(self, ctx, in_shapes, in_dtypes):
        return SumAndProduct()


CASES = [
    Case("Custom", [real(3, 4)], {"op_type": "case_power"}, np.square),
    Case("Custom", [real(3, 4)], {"op_type": "case_power", "exponent": 3}, lambda x: x**3),
    Case("Custom", [real(3, 4), real(3, 4)], {"op_type": "case_sum_and_product"}, lambda a, b: (a + b, a * b)),
]
