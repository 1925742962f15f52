"""Pieces of work done by PyTorch, plain or compiled; each function returns something that runs so many steps."""

from __future__ import annotations

import ops_torch
import torch
import torch.nn.functional as F
from numbers_for import INPUTS, batches, first_results, matrices, operands, parameters, repeated
from symbol_file import Layer, read
from torch import nn

LAST = torch.channels_last


class Network(nn.Module):
    """A symbol file as a module: images and weights with their channels last, which is fastest here."""

    def __init__(self, symbol: str, shapes: dict[str, list[int]]):
        super().__init__()
        layers, heads = read(symbol)
        self.loss = layers[heads[0]].op
        arrays = {n: torch.from_numpy(a) for n, a in parameters(shapes).items()}
        self.weights = nn.ParameterDict()
        for name, array in arrays.items():
            if array.ndim == 4:
                array = array.contiguous(memory_format=LAST)
            if name.endswith(("_moving_mean", "_moving_var")):
                self.register_buffer(name, array)
            else:
                self.weights[name] = nn.Parameter(array)
        self.names = [layer.name for layer in layers]
        self.steps = []
        for i, layer in enumerate(layers):
            if layer.op == "null":
                continue
            fixed = layer.op == "BatchNorm" and layer.attrs.get("fix_gamma", True)
            if fixed:
                self.weights[layers[layer.inputs[1][0]].name].requires_grad_(False)
            self.steps.append((i, layer, [j for j, _ in layer.inputs if not layers[j].name.endswith("label")]))
        self.tensors = {**self.weights, **dict(self.named_buffers())}
        self.inputs = {i: layer.name for i, layer in enumerate(layers) if layer.op == "null" and layer.name in INPUTS}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the loss layer reads: scores before softmax or logistic, or predictions."""
        values = {i: x for i, name in self.inputs.items() if not name.endswith("label")}
        for i, layer, sources in self.steps:
            ins = [values[j] if j in values else self.tensors[self.names[j]] for j in sources]
            y = apply(layer, ins, self.training)
            values[i] = y
        return y

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        y = self(x)
        if self.loss == "SoftmaxOutput":
            return F.softmax(y, 1)
        return torch.sigmoid(y) if self.loss == "LogisticRegressionOutput" else y

    def cost(self, y: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch."""
        if self.loss == "SoftmaxOutput":
            return F.cross_entropy(y, label)
        if self.loss == "LogisticRegressionOutput":
            return F.binary_cross_entropy_with_logits(y, label)
        return 0.5 * F.mse_loss(y, label)


def apply(layer: Layer, ins: list[torch.Tensor], training: bool) -> torch.Tensor:
    """One layer, by the names and defaults of MXNet."""
    op, a, x = layer.op, layer.attrs, ins[0]
    if op in ("Convolution", "Deconvolution"):
        bias = ins[2] if len(ins) > 2 else None
        options = {"stride": a.get("stride", (1, 1)), "padding": a.get("pad", (0, 0)), "groups": a.get("num_group", 1)}
        return (F.conv2d if op == "Convolution" else F.conv_transpose2d)(x, ins[1], bias, **options)
    if op == "FullyConnected":
        return F.linear(x.flatten(1), ins[1], ins[2] if len(ins) > 2 else None)
    if op == "BatchNorm":
        momentum, eps = 1 - a.get("momentum", 0.9), a.get("eps", 1e-3)
        return F.batch_norm(x, ins[3], ins[4], ins[1], ins[2], training, momentum, eps)
    if op == "Activation":
        return {"relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}[a["act_type"]](x)
    if op == "LeakyReLU":
        return F.leaky_relu(x, a.get("slope", 0.25))
    if op == "Pooling":
        if a.get("global_pool"):
            return F.adaptive_avg_pool2d(x, 1) if a["pool_type"] == "avg" else F.adaptive_max_pool2d(x, 1)
        size = {"kernel_size": a["kernel"], "stride": a.get("stride", (1, 1)), "padding": a.get("pad", (0, 0))}
        pool = F.max_pool2d if a["pool_type"] == "max" else F.avg_pool2d
        return pool(x, **size, ceil_mode=a.get("pooling_convention") == "full")
    if op == "LRN":
        return F.local_response_norm(x, a["nsize"], a["alpha"], a["beta"], a["knorm"])
    if op == "Concat":
        return torch.cat(ins, a.get("dim", 1))
    if op in ("elemwise_add", "_plus", "broadcast_add"):
        return x + ins[1]
    if op == "Flatten":
        return x.flatten(1)
    if op == "Dropout":
        return F.dropout(x, a.get("p", 0.5), training)
    if op.endswith("Output"):
        return x
    raise SystemExit(f"no translation of {op}")


def images(batch) -> torch.Tensor:
    x = torch.from_numpy(batch)
    return x.contiguous(memory_format=LAST) if x.ndim == 4 else x


def data_of(batch: dict) -> tuple:
    data = next(a for n, a in batch.items() if not n.endswith("label"))
    label = next((torch.from_numpy(a) for n, a in batch.items() if n.endswith("label")), None)
    return data, label


def infer(symbol, shapes, compile=False):
    net = Network(symbol, shapes).eval()
    call = torch.compile(net.outputs) if compile else net.outputs
    feeds = [b["data"] for b in batches({"data": shapes["data"]})]

    def run(count: int):
        with torch.inference_mode():
            for i in range(count):
                y = call(images(feeds[i % len(feeds)]))
        return y

    run.check = first_results(run(1).numpy())
    return run


def train(symbol, shapes, optimizer, compile=False, checked=True):
    net = Network(symbol, shapes)
    feeds = [data_of(b) for b in batches(shapes)]
    if net.loss == "SoftmaxOutput":
        feeds = [(x, y.long()) for x, y in feeds]
    check = None
    if checked:
        with torch.inference_mode():
            check = first_results(net.eval().outputs(images(feeds[0][0])).numpy())
    net.train()
    trained = [w for w in net.parameters() if w.requires_grad]
    options = dict(optimizer)
    kind = {"sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop}[options.pop("name")]
    options["lr"] = options.pop("learning_rate")
    if "gamma1" in options:
        options["alpha"] = options.pop("gamma1")
    rule = kind(trained, **options, **({"fused": True} if kind is torch.optim.SGD else {}))
    call = torch.compile(net) if compile else net

    def run(count: int) -> None:
        for i in range(count):
            x, label = feeds[i % len(feeds)]
            rule.zero_grad()
            net.cost(call(images(x)), label).backward()
            rule.step()

    run.check = check
    return run


def gan(generator, judge, shapes, batch, optimizer, compile=False):
    make, tell = Network(generator, shapes), Network(judge, shapes)
    calls = [torch.compile(net) if compile else net for net in (make, tell)]
    options = {"lr": optimizer["learning_rate"], "betas": (optimizer["beta1"], 0.999)}
    rules = [
        torch.optim.Adam([w for w in net.parameters() if w.requires_grad], **options, fused=True)
        for net in (make, tell)
    ]
    noise, real = (torch.from_numpy(b[n]) for n in ("rand", "data") for b in batches(shapes, 1))
    fake_label, real_label = torch.zeros(batch, 1), torch.ones(batch, 1)
    real = images(real.numpy())

    def run(count: int) -> None:
        for _ in range(count):
            fake = calls[0](noise)
            rules[1].zero_grad()
            tell.cost(calls[1](fake.detach()), fake_label).backward()
            tell.cost(calls[1](real), real_label).backward()
            rules[1].step()
            rules[0].zero_grad()
            tell.cost(calls[1](fake), real_label).backward()
            rules[0].step()

    with torch.inference_mode():
        run.check = first_results(make.eval()(noise).numpy())
    make.train()
    return run


def gemm(m, n, k, trans_a, trans_b, dtype, compile=False):
    a, b = (torch.from_numpy(x) for x in matrices(m, n, k, trans_a, trans_b, dtype))
    x, y = a.T if trans_a else a, b.T if trans_b else b
    out = torch.empty(m, n, dtype=x.dtype)
    return repeated(lambda: torch.mm(x, y, out=out))


def array(op, shape, held, compile=False):
    x, b = (torch.from_numpy(v) for v in operands(shape))
    y = torch.empty_like(x.T if op == "transpose" else x).contiguous()

    def linear(x, out=None):
        return torch.mul(x, 2.5).add_(1.5) if out is None else torch.mul(x, 2.5, out=out).add_(1.5)

    if compile:
        if op != "a*x+b":
            raise SystemExit("the same as without the compiler")

        def linear(x, out=None):  # noqa: F811
            return x * 2.5 + 1.5 if out is None else out.copy_(x * 2.5 + 1.5)

        linear = torch.compile(linear)
    todo = {
        "a*x+b": lambda out: linear(x, out),
        "broadcast add": lambda out: torch.add(x, b, out=out),
        "sum": lambda out: torch.sum(x),
        "softmax": lambda out: torch.softmax(x, 1) if out is None else torch.softmax(x, 1, out=out),
        "transpose": lambda out: x.T.contiguous() if out is None else out.copy_(x.T),
    }[op]
    return repeated(lambda: todo(y if held else None))


def eager_add(compile=False):
    a = torch.ones(2, 2)
    return repeated(lambda: a + 1)


def operator(op, shape):
    return ops_torch.operator(op, shape)
