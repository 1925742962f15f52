"""update: puts the optimizer into the graph, so that a whole training step is one program.

A rule says for one parameter what its new value is, as a graph of operators:

    def sgd(step, name, weight, grad):
        return weight - step.scalar("lr") * (grad + 1e-4 * weight)

Scalars (learning rates and their kin) and states (momenta) become arrays that the program reads and writes; a scheduler
writes a number into a scalar, no new plan is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ..graph import Graph, Value, apply, made_for, variable


class Recipe:
    """What a rule may ask for while it describes one parameter's update."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.scalars: dict[str, Value] = {}
        self.states: dict[str, Value] = {}
        self.changes: list[tuple[Value, Value]] = []

    def scalar(self, name: str, dtype: str = "float32") -> Value:
        """A number that may change from step to step."""
        if name not in self.scalars:
            self.scalars[name] = self.graph.auxiliary[name] = variable(name, (1,), dtype)
        return self.scalars[name]

    def state(self, name: str, like: Value) -> Value:
        """An array of a parameter's shape that lives as long as the step, zero at first."""
        if name not in self.states:
            self.states[name] = self.graph.auxiliary[name] = variable(name, like.shape, like.dtype, like.node.device)
        return self.states[name]

    def change(self, state: Value, value: Value) -> None:
        """Gives a state its new value after the step."""
        self.changes.append((state, value))


def _if(condition: Value, new: Value, old: Value) -> Value:
    """`new` where the only element of the condition is not 0, else `old`."""
    axes = apply("Reshape", [condition], shape=(1,) * old.ndim) if old.ndim != 1 else condition
    return apply("_where_rows", [axes, new, old])


Rule = Callable[[Recipe, str, Value, Value], Value]


FINITE = "_finite"  # the state that says whether the last update took place


def update(graph: Graph, rule: Rule, guarded: bool = False) -> tuple[Graph, Recipe]:
    """The graph with every gradient turned into an update of its argument. If it is `guarded`, nothing is updated when a
    gradient is not finite, and the state FINITE says whether all were."""
    recipe = Recipe(graph)
    gradients = list(graph.gradients.values())
    for name, grad in graph.gradients.items():
        weight = graph.arguments[name]
        with made_for(weight.node, "_update"):
            recipe.changes.append((weight, rule(recipe, name, weight, grad)))
    updates = [*graph.updates, *recipe.changes]
    if guarded and gradients:
        finite = apply("multi_all_finite", gradients, num_arrays=len(gradients))
        updates = [(target, _if(finite, value, target)) for target, value in updates]
        updates.append((recipe.state(FINITE, finite), finite))
    return dataclasses.replace(graph, gradients={}, updates=updates), recipe
