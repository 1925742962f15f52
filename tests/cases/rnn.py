"""Cases for recurrent layers."""

import numpy as np

from . import Case, real

GATES = {"rnn_relu": 1, "rnn_tanh": 1, "lstm": 4, "gru": 3}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def unit(mode, x, product, h, c=None, clip=None):
    """The next states from the input's projection and the recurrent product."""
    if mode == "rnn_relu":
        return np.maximum(x + product, 0), None
    if mode == "rnn_tanh":
        return np.tanh(x + product), None
    if mode == "lstm":
        i, f, g, o = np.split(x + product, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        c = np.clip(c, *clip) if clip else c
        return sigmoid(o) * np.tanh(c), c
    (xr, xz, xn), (pr, pz, pn) = np.split(x, 3, axis=-1), np.split(product, 3, axis=-1)
    z = sigmoid(xz + pz)
    return (1 - z) * np.tanh(xn + sigmoid(xr + pr) * pn) + z * h, None


def scan(mode, x, weight, bias, h, c=None, reverse=False, clip=None):
    """Outputs of every step, and the last states."""
    outputs, cells = [None] * len(x), [None] * len(x)
    for t in range(len(x))[:: -1 if reverse else 1]:
        h, c = unit(mode, x[t], h @ weight.T + bias, h, c, clip)
        outputs[t], cells[t] = h, c
    return outputs, cells, h, c


def rnn(mode, size, layers=1, bidirectional=False, states=False, lengths=False, clip=None):
    """The twin of RNN."""

    def twin(data, parameters, state, *rest):
        sides = 1 + bidirectional
        rows, at = GATES[mode] * size, 0

        def cut(*shape):
            nonlocal at
            at += int(np.prod(shape))
            return parameters[at - int(np.prod(shape)) : at].reshape(shape)

        weights = [
            (cut(rows, sides * size if layer else data.shape[2]), cut(rows, size))
            for layer in range(layers)
            for _ in range(sides)
        ]
        biases = [(cut(rows), cut(rows)) for _ in range(layers * sides)]
        assert at == len(parameters)
        n = rest[-1] if lengths else [data.shape[0]] * data.shape[1]
        value, last, last_cells = data, [], []
        for layer in range(layers):
            found = []
            for side in range(sides):
                k = layer * sides + side
                out = np.zeros((*value.shape[:2], size))
                ends, end_cells = [], []
                for b, steps in enumerate(n):  # example by example, so that each has its length
                    x = value[:steps, b : b + 1] @ weights[k][0].T + biases[k][0]
                    c = rest[0][k, b : b + 1] if mode == "lstm" else None
                    h = state[k, b : b + 1]
                    outputs, _, h, c = scan(mode, x, weights[k][1], biases[k][1], h, c, bool(side), clip)
                    out[:steps, b : b + 1] = outputs
                    ends.append(h)
                    end_cells.append(c)
                found.append(out)
                last.append(np.concatenate(ends))
                last_cells.append(None if c is None else np.concatenate(end_cells))
            value = np.concatenate(found, axis=2)
        if not states:
            return value
        return (value, np.stack(last), np.stack(last_cells)) if mode == "lstm" else (value, np.stack(last))

    return twin


def parameter_count(mode, size, inputs, layers=1, sides=1):
    widths = [inputs] + [sides * size] * (layers - 1)
    return sum(sides * GATES[mode] * size * (w + size + 2) for w in widths)


def rnn_case(mode, time=3, batch=2, inputs=4, size=3, layers=1, bidirectional=False, lengths=None, clip=None, **more):
    sides = 1 + bidirectional
    params = {"mode": mode, "state_size": size, "num_layers": layers, "bidirectional": bidirectional, **more}
    if lengths is not None:
        params["use_sequence_length"] = True
    if clip:
        params |= {"lstm_state_clip_min": clip[0], "lstm_state_clip_max": clip[1]}
    given = [real(time, batch, inputs), real(parameter_count(mode, size, inputs, layers, sides), low=-1, high=1)]
    given += [real(layers * sides, batch, size, low=-1, high=1)] * (2 if mode == "lstm" else 1)
    given += [] if lengths is None else [np.array(lengths)]
    twin = rnn(mode, size, layers, bidirectional, more.get("state_outputs", False), lengths is not None, clip)
    return Case("RNN", given, params, twin, ulps=64, length=(inputs + size) * time * layers, half=False)


def scan_case(mode, reverse=False, time=3, batch=2, hidden=3, **more):
    rows = GATES[mode] * hidden
    given = [real(time, batch, rows), real(rows, hidden, low=-1, high=1), real(rows)]
    given += [real(batch, hidden, low=-1, high=1)] * (2 if mode == "lstm" else 1)
    return Case("_rnn_scan", given, {"mode": mode, "reverse": reverse, **more}, None, grads=())


def scan_grad_case(mode, given, reverse=False, time=3, batch=2, hidden=3, **more):
    rows = GATES[mode] * hidden
    states, step, one = real(time + 1, batch, hidden), real(time, batch, hidden), real(batch, hidden)
    arriving = [a for a, there in zip([step, one, one, step], given, strict=False) if there]
    kept = {"lstm": [real(time, batch, rows), states], "gru": [real(time, batch, rows), states, step]}.get(
        mode, [states]
    )
    params = {"mode": mode, "reverse": reverse, "given": given, **more}
    return Case("_rnn_scan_grad", [*arriving, real(rows, hidden), *kept], params, None, grads=())


CLIP = {"lstm_state_clip_min": -0.3, "lstm_state_clip_max": 0.4, "lstm_state_clip_nan": True}
CASES = [
    *(rnn_case(mode) for mode in GATES),
    *(rnn_case(mode, layers=2, bidirectional=True, state_outputs=True) for mode in GATES),
    *(rnn_case(mode, time=2, batch=7, size=37, inputs=5, state_outputs=True) for mode in GATES),
    rnn_case("lstm", time=1, batch=1, size=1, inputs=1, layers=3),
    rnn_case("lstm", clip=(-0.3, 0.4), state_outputs=True, lstm_state_clip_nan=True),
    rnn_case("lstm", bidirectional=True, lengths=[2, 3], state_outputs=True),
    rnn_case("gru", batch=3, bidirectional=True, layers=2, lengths=[1, 3, 2]),
    rnn_case("gru", p=0.0, layers=2),
    Case(
        "RNN",
        [real(3, 2, 4), real(parameter_count("lstm", 3, 4, 2)), real(2, 2, 3), real(2, 2, 3)],
        {"mode": "lstm", "state_size": 3, "num_layers": 2, "p": 0.5},
        None,
        train=True,
        grads=(),
    ),
    *(scan_case(mode, reverse) for mode in GATES for reverse in (False, True)),
    scan_case("lstm", **CLIP),
    *(scan_grad_case(mode, (1, 0), reverse) for mode in ("rnn_relu", "rnn_tanh", "gru") for reverse in (False, True)),
    scan_grad_case("lstm", (1, 1, 1, 1)),
    scan_grad_case("lstm", (0, 1, 0, 0), True, **CLIP),
    Case("_rnn_param_concat", [real(3), real(4)], {"dim": 0}, lambda *x: np.concatenate(x)),
    Case("_rnn_param_concat", [real(2, 3), real(2, 4), real(2, 1)], {}, lambda *x: np.concatenate(x, axis=1)),
]
