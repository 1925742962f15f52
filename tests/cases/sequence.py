"""Cases for sequences of different lengths, and the CTC loss."""

import itertools

import numpy as np

from . import Case, real, whole


def by_example(x, axis):
    """The data as (batch, time, ...)."""
    return x if axis else np.swapaxes(x, 0, 1)


def masked(x, *length, axis=0, value=0.0):
    y = by_example(x, axis).copy()
    for row, n in zip(y, length[0] if length else [y.shape[1]] * len(y), strict=True):
        row[n:] = value
    return by_example(y, axis)


def reversed_(x, *length, axis=0):
    y = by_example(x, axis).copy()
    lengths = length[0] if length else [y.shape[1]] * len(y)
    for row, n in zip(y, lengths, strict=True):
        row[:n] = row[:n][::-1].copy()
    return by_example(y, axis)


def last(x, *length, axis=0):
    y = by_example(x, axis)
    lengths = length[0] if length else [y.shape[1]] * len(y)
    return np.stack([row[max(n, 1) - 1] for row, n in zip(y, lengths, strict=True)])


def placed(x, length, shape, axis=0):
    y = np.zeros(shape)
    for row, source, n in zip(by_example(y, axis), x, length, strict=True):
        row[max(n, 1) - 1] = source
    return y


LENGTHS = np.array([0, 5, 3])
ONE_TO_FIVE = np.array([1, 5, 3])


def sequence_cases(op, twin, lengths):
    for axis in (0, 1):
        shape = (3, 5, 4) if axis else (5, 3, 4)
        use = {"use_sequence_length": True, "axis": axis}
        yield Case(op, [real(*shape), lengths], use, lambda x, n, axis=axis: twin(x, n, axis=axis))
        yield Case(op, [real(*shape)], {"axis": axis}, lambda x, axis=axis: twin(x, axis=axis))
    yield Case(op, [real(5, 3), lengths], {"use_sequence_length": True}, twin)
    bytes_ = whole(5, 3, 2, high=100)
    for dtype in ("uint8", "int64"):
        yield Case(
            op, [bytes_, lengths.astype("int32")], {"use_sequence_length": True}, twin, grads=(), dtypes=(dtype,)
        )


# ---- CTC -----------------------------------------------------------------------------------------------------------------


def ctc(data, label, *lengths, use_data=False, use_label=False, last_is_blank=False):
    """By the sum over every path there is."""
    time, batch, classes = data.shape
    p = np.exp(data - data.max(axis=2, keepdims=True))
    p /= p.sum(axis=2, keepdims=True)
    lengths = iter(lengths)
    steps = next(lengths) if use_data else [time] * batch
    counts = next(lengths) if use_label else None
    blank, padding = (classes - 1, -1) if last_is_blank else (0, 0)
    losses = []
    for b in range(batch):
        wanted = list(label[b])
        wanted = wanted[: counts[b]] if use_label else wanted[: (wanted + [padding]).index(padding)]
        total = 0.0
        for path in itertools.product(range(classes), repeat=int(steps[b])):
            collapsed = [c for c, _ in itertools.groupby(path) if c != blank]
            if collapsed == wanted:
                total += np.prod([p[t, b, c] for t, c in enumerate(path)])
        losses.append(-np.log(total) if total else 0.0)
    return np.array(losses)


def ctc_case(label, *lengths, time=4, classes=4, **params):
    label = np.array(label)
    kind = {
        "use_data": params.get("use_data_lengths", False),
        "use_label": params.get("use_label_lengths", False),
        "last_is_blank": params.get("blank_label") == "last",
    }
    inputs = [real(time, len(label), classes), label, *map(np.array, lengths)]
    return Case("CTCLoss", inputs, params, lambda *arrays: ctc(*arrays, **kind), ulps=32, length=time * classes)


CASES = [
    *sequence_cases("SequenceMask", masked, LENGTHS),
    Case(
        "SequenceMask",
        [real(5, 3, 4), LENGTHS],
        {"use_sequence_length": True, "value": -1.5},
        lambda x, n: masked(x, n, value=-1.5),
    ),
    *sequence_cases("SequenceReverse", reversed_, LENGTHS),
    *sequence_cases("SequenceLast", last, ONE_TO_FIVE),
    Case("_sequence_place", [real(3, 4), ONE_TO_FIVE], {"shape": (5, 3, 4)}, lambda x, n: placed(x, n, (5, 3, 4))),
    Case(
        "_sequence_place",
        [real(3, 4), ONE_TO_FIVE],
        {"shape": (3, 5, 4), "axis": 1},
        lambda x, n: placed(x, n, (3, 5, 4), 1),
    ),
    ctc_case([[1, 2], [3, 0], [0, 0], [2, 2]]),
    ctc_case([[1, 1, 1], [1, 2, 0]]),  # the first does not fit
    ctc_case([[0, 2], [1, -1]], blank_label="last"),
    ctc_case([[1, 2], [3, 1], [2, 2]], [3, 4, 2], use_data_lengths=True),
    ctc_case([[1, 2], [3, 1], [2, 0]], [1, 2, 0], use_label_lengths=True),
    ctc_case([[1, 2], [3, 1]], [4, 3], [2, 1], use_data_lengths=True, use_label_lengths=True),
    ctc_case([[1, 2, 1, 2, 1], [2, 1, 2, 0, 0]], time=9, classes=3),
]
