"""The networks of golden/symbols, written again with mx.sym."""

import minimx as mx


def mlp():
    d = mx.sym.Variable("data")
    x = mx.sym.Activation(mx.sym.FullyConnected(d, num_hidden=128, name="fc1"), act_type="relu", name="relu1")
    x = mx.sym.Activation(mx.sym.FullyConnected(x, num_hidden=64, name="fc2"), act_type="relu", name="relu2")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=10, name="fc3"), name="softmax")


def autonames():
    d = mx.sym.Variable("data")
    x = mx.sym.Activation(mx.sym.FullyConnected(d, num_hidden=8), act_type="tanh")
    y = mx.sym.FullyConnected(x, num_hidden=8)
    z = (x + y) * 2 - 1.5 * x / (y + 3)
    z = mx.sym.concat(z, mx.sym.relu(-y), dim=1)
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(z, num_hidden=3))


def lenet():
    x = mx.sym.Variable("data")
    for i, filters in enumerate((20, 50), 1):
        x = mx.sym.Convolution(x, kernel=(5, 5), num_filter=filters, name=f"conv{i}")
        x = mx.sym.Pooling(mx.sym.Activation(x, act_type="tanh"), pool_type="max", kernel=(2, 2), stride=(2, 2))
    x = mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=500, name="fc1")
    x = mx.sym.FullyConnected(mx.sym.Activation(x, act_type="tanh"), num_hidden=10, name="fc2")
    return mx.sym.SoftmaxOutput(x, name="softmax")


def vgg16():
    x = mx.sym.Variable("data")
    for g, (n, f) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1):
        for i in range(1, n + 1):
            x = mx.sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=f, name=f"conv{g}_{i}")
            x = mx.sym.Activation(x, act_type="relu", name=f"relu{g}_{i}")
        x = mx.sym.Pooling(x, pool_type="max", kernel=(2, 2), stride=(2, 2), name=f"pool{g}")
    x = mx.sym.Flatten(x, name="flatten")
    for k in (6, 7):
        x = mx.sym.FullyConnected(x, num_hidden=4096, name=f"fc{k}")
        x = mx.sym.Dropout(mx.sym.Activation(x, act_type="relu", name=f"relu{k}"), p=0.5, name=f"drop{k}")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=1000, name="fc8"), name="softmax")


def _conv_bn(x, filters, kernel, stride=(1, 1), pad=(0, 0), name=""):
    x = mx.sym.Convolution(
        x, num_filter=filters, kernel=kernel, stride=stride, pad=pad, no_bias=True, name=f"conv_{name}"
    )
    x = mx.sym.BatchNorm(x, eps=2e-5, momentum=0.9, fix_gamma=False, name=f"bn_{name}")
    return mx.sym.Activation(x, act_type="relu", name=f"relu_{name}")


def _inception(x, n1, n3r, n3, nd3r, nd3, projection, name):
    a = _conv_bn(x, n1, (1, 1), name=f"{name}_1x1")
    b = _conv_bn(_conv_bn(x, n3r, (1, 1), name=f"{name}_3x3r"), n3, (3, 3), pad=(1, 1), name=f"{name}_3x3")
    c = _conv_bn(x, nd3r, (1, 1), name=f"{name}_d3x3r")
    c = _conv_bn(c, nd3, (3, 3), pad=(1, 1), name=f"{name}_d3x3_0")
    c = _conv_bn(c, nd3, (3, 3), pad=(1, 1), name=f"{name}_d3x3_1")
    d = mx.sym.Pooling(x, kernel=(3, 3), stride=(1, 1), pad=(1, 1), pool_type="avg", name=f"{name}_pool")
    d = _conv_bn(d, projection, (1, 1), name=f"{name}_proj")
    return mx.sym.Concat(a, b, c, d, name=f"ch_concat_{name}")


def inception_bn():
    full = dict(kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full")
    x = _conv_bn(mx.sym.Variable("data"), 64, (7, 7), (2, 2), (3, 3), name="1")
    x = mx.sym.Pooling(x, name="pool1", **full)
    x = _conv_bn(_conv_bn(x, 64, (1, 1), name="2r"), 192, (3, 3), pad=(1, 1), name="2")
    x = mx.sym.Pooling(x, name="pool2", **full)
    x = _inception(x, 64, 64, 64, 64, 96, 32, "3a")
    x = _inception(x, 64, 64, 96, 64, 96, 64, "3b")
    x = mx.sym.Pooling(x, kernel=(1, 1), global_pool=True, pool_type="avg", name="global_pool")
    x = mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=1000, name="fc1")
    return mx.sym.SoftmaxOutput(x, name="softmax")


def resnet18():
    def normalized(x, name):
        return mx.sym.BatchNorm(x, name=name, eps=2e-5, momentum=0.9, fix_gamma=False)

    def convolved(x, filters, kernel, stride, pad, name):
        extra = {"pad": pad} if pad else {}
        return mx.sym.Convolution(
            x, num_filter=filters, kernel=kernel, stride=stride, no_bias=True, workspace=256, name=name, **extra
        )

    def unit(x, f, stride, same, name):
        a = mx.sym.Activation(normalized(x, f"{name}_bn1"), act_type="relu", name=f"{name}_relu1")
        y = convolved(a, f, (3, 3), stride, (1, 1), f"{name}_conv1")
        y = mx.sym.Activation(normalized(y, f"{name}_bn2"), act_type="relu", name=f"{name}_relu2")
        y = convolved(y, f, (3, 3), (1, 1), (1, 1), f"{name}_conv2")
        return y + (x if same else convolved(a, f, (1, 1), stride, None, f"{name}_sc"))

    x = mx.sym.BatchNorm(mx.sym.Variable("data"), fix_gamma=True, eps=2e-5, name="bn_data")
    x = convolved(x, 64, (7, 7), (2, 2), (3, 3), "conv0")
    x = mx.sym.Activation(mx.sym.BatchNorm(x, fix_gamma=False, eps=2e-5, name="bn0"), act_type="relu", name="relu0")
    x = mx.sym.Pooling(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max")
    for i, f in enumerate([64, 128, 256, 512], 1):
        x = unit(x, f, (1, 1) if i == 1 else (2, 2), False, f"stage{i}_unit1")
        x = unit(x, f, (1, 1), True, f"stage{i}_unit2")
    x = mx.sym.BatchNorm(x, fix_gamma=False, eps=2e-5, name="bn1")
    x = mx.sym.Activation(x, act_type="relu", name="relu1")
    x = mx.sym.Flatten(mx.sym.Pooling(x, global_pool=True, kernel=(7, 7), pool_type="avg", name="pool1"))
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=1000, name="fc1"), name="softmax")


def dcgan_g():
    options = dict(fix_gamma=True, eps=1e-5 + 1e-12)
    g = mx.sym.Variable("rand")
    g = mx.sym.Deconvolution(g, name="g1", kernel=(4, 4), num_filter=64, no_bias=True)
    g = mx.sym.Activation(mx.sym.BatchNorm(g, name="gbn1", **options), name="gact1", act_type="relu")
    up = dict(kernel=(4, 4), stride=(2, 2), pad=(1, 1), no_bias=True)
    for i, f in ((2, 32), (3, 16)):
        g = mx.sym.Deconvolution(g, name=f"g{i}", num_filter=f, **up)
        g = mx.sym.Activation(mx.sym.BatchNorm(g, name=f"gbn{i}", **options), name=f"gact{i}", act_type="relu")
    return mx.sym.Activation(mx.sym.Deconvolution(g, name="g4", num_filter=3, **up), name="gact4", act_type="tanh")


def dcgan_d():
    down = dict(kernel=(4, 4), stride=(2, 2), pad=(1, 1), no_bias=True)
    leaky = dict(act_type="leaky", slope=0.2)
    x = mx.sym.Convolution(mx.sym.Variable("data"), name="d1", num_filter=16, **down)
    x = mx.sym.LeakyReLU(x, name="dact1", **leaky)
    x = mx.sym.Convolution(x, name="d2", num_filter=32, **down)
    x = mx.sym.LeakyReLU(mx.sym.BatchNorm(x, name="dbn2", fix_gamma=True, eps=1e-5 + 1e-12), name="dact2", **leaky)
    x = mx.sym.Flatten(mx.sym.Convolution(x, name="d3", kernel=(8, 8), num_filter=1, no_bias=True))
    return mx.sym.LogisticRegressionOutput(data=x, label=mx.sym.Variable("label"), name="dloss")


def multi_output():
    d = mx.sym.Variable("data")
    x = mx.sym.Activation(mx.sym.FullyConnected(d, num_hidden=16, name="shared"), act_type="relu", name="act")
    a = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=10, name="cls"), name="softmax")
    b = mx.sym.LinearRegressionOutput(mx.sym.FullyConnected(x, num_hidden=2, name="reg"), name="lro")
    s = mx.sym.SliceChannel(x, num_outputs=4, axis=1, name="split")
    c = mx.sym.MakeLoss(mx.sym.sum(mx.sym.square(s[0] - s[2])), grad_scale=0.1, name="extra")
    return mx.sym.Group([a, b, c, mx.sym.BlockGrad(s[1], name="feat")])


class Xavier:
    """Writes itself down as mx.init.Xavier(rnd_type='gaussian', factor_type='in', magnitude=2) does."""

    def dumps(self):
        return '["xavier", {"rnd_type": "gaussian", "factor_type": "in", "magnitude": 2}]'


def attrs():
    with mx.AttrScope(ctx_group="stage1", __tag__="first"):
        d = mx.sym.Variable("data", shape=(0, 20))
        w = mx.sym.Variable("w_shared", lr_mult=0.5, wd_mult=0.0, init=Xavier())
        x = mx.sym.FullyConnected(d, weight=w, num_hidden=20, name="fc1", lr_mult=2.0)
    with mx.AttrScope(ctx_group="stage2"):
        x = mx.sym.BatchNorm(x, name="bn1")
        x = mx.sym.LeakyReLU(x, act_type="prelu", name="prelu1")
        mood = {"__mood__": "so so", "__wd_mult__": "3.0"}
        x = mx.sym.FullyConnected(x, weight=w, num_hidden=20, no_bias=True, name="fc2", attr=mood)
    return mx.sym.SoftmaxOutput(x, name="softmax", normalization="batch", use_ignore=True, ignore_label=0)


def ssdlike():
    d = mx.sym.Variable("data")
    x = mx.sym.Convolution(d, kernel=(3, 3), pad=(1, 1), num_filter=8, dilate=(1, 1), name="c1")
    x = mx.sym.Activation(x, act_type="relu")
    up = mx.sym.UpSampling(x, scale=2, sample_type="nearest", num_args=1, name="up")
    dec = mx.sym.Deconvolution(x, kernel=(4, 4), stride=(2, 2), pad=(1, 1), num_filter=8, num_group=8, name="dec")
    crop = mx.sym.Crop(up, dec, num_args=2, name="crop")
    p = mx.sym.Reshape(mx.sym.transpose(crop, axes=(0, 2, 3, 1)), shape=(0, -1, 4))
    n = mx.sym.L2Normalization(p, mode="spatial", name="l2")
    k = mx.sym.topk(n, k=2, axis=1, ret_typ="both", name="top")
    s = mx.sym.slice_axis(mx.sym.clip(p, a_min=0.0, a_max=6.0), axis=1, begin=0, end=None)
    total = mx.sym.cast(mx.sym.sum(n), dtype="float16")
    return mx.sym.Group([mx.sym.mean(s, axis=(1, 2), keepdims=True), k, total])


NETWORKS = (
    mlp,
    autonames,
    lenet,
    vgg16,
    inception_bn,
    resnet18,
    dcgan_g,
    dcgan_d,
    multi_output,
    attrs,
    ssdlike,
)
