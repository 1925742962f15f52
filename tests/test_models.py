"""Networks of mx.models: as many parameters as the literature says, and small ones learn."""

import numpy as np
import pytest

import minimx as mx

IMAGE = (1, 3, 224, 224)


def parameters(net, **shapes):
    """The number of trained numbers."""
    arguments, _, _ = net.infer_shape(**shapes)
    sizes = dict(zip(net.list_arguments(), arguments, strict=True))
    return sum(int(np.prod(s)) for n, s in sizes.items() if n not in shapes and not n.endswith("label"))


# Counts of the papers' networks as other libraries publish them (with scales of BatchNorm that stay at one).
COUNTS = {
    "mlp": (lambda: mx.models.mlp(10), (1, 784), 109_386),
    "lenet": (lambda: mx.models.lenet(10), (1, 1, 28, 28), 431_080),
    "alexnet": (mx.models.alexnet, (1, 3, 227, 227), 62_378_344),
    "vgg11": (lambda: mx.models.vgg(num_layers=11), IMAGE, 132_863_336),
    "vgg13": (lambda: mx.models.vgg(num_layers=13), IMAGE, 133_047_848),
    "vgg16": (mx.models.vgg, IMAGE, 138_357_544),
    "vgg16_bn": (lambda: mx.models.vgg(batch_norm=True), IMAGE, 138_365_992),
    "vgg19": (lambda: mx.models.vgg(num_layers=19), IMAGE, 143_667_240),
    "googlenet": (mx.models.googlenet, IMAGE, 6_998_552),
    "inception_bn": (mx.models.inception_bn, IMAGE, 11_295_240),
    "inception_v3": (mx.models.inception_v3, (1, 3, 299, 299), 23_834_568),
    "resnet18_v1": (lambda: mx.models.resnet(num_layers=18, version=1), IMAGE, 11_689_512),
    "resnet34_v1": (lambda: mx.models.resnet(num_layers=34, version=1), IMAGE, 21_797_672),
    "resnet50_v1": (lambda: mx.models.resnet(num_layers=50, version=1), IMAGE, 25_557_032),
    "resnet101_v1": (lambda: mx.models.resnet(num_layers=101, version=1), IMAGE, 44_549_160),
    "resnet152_v1": (lambda: mx.models.resnet(num_layers=152, version=1), IMAGE, 60_192_808),
    "mobilenet": (mx.models.mobilenet, IMAGE, 4_231_976),
    "densenet121": (mx.models.densenet, IMAGE, 7_978_856),
    "densenet161": (lambda: mx.models.densenet(num_layers=161), IMAGE, 28_681_000),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_count(name):
    make, shape, count = COUNTS[name]
    assert parameters(make(), data=shape) == count


def test_names_are_those_of_the_examples():
    names = mx.models.resnet(num_layers=18).list_arguments()
    assert names[:5] == ["data", "bn_data_gamma", "bn_data_beta", "conv0_weight", "bn0_gamma"]
    assert "stage2_unit1_sc_weight" in names and "stage4_unit2_conv2_weight" in names
    assert names[-3:] == ["fc1_weight", "fc1_bias", "softmax_label"]
    assert "conv_3a_double_3x3_reduce_weight" in mx.models.inception_bn().list_arguments()
    assert "mixed_9_tower_1_mixed_conv_1_conv2d_weight" in mx.models.inception_v3().list_arguments()
    assert "conv5_3_weight" in mx.models.vgg().list_arguments()


def test_names_do_not_depend_on_what_was_made_before():
    assert mx.models.lenet().tojson() == mx.models.lenet().tojson()


@pytest.mark.parametrize("layers", [20, 56, 164])
@pytest.mark.parametrize("version", [1, 2])
def test_resnet_for_small_images(layers, version):
    net = mx.models.resnet(10, layers, (3, 32, 32), version)
    weights = [n for n in net.list_arguments() if n.endswith(("_weight",)) and "sc_" not in n]
    assert len(weights) == layers
    assert net.infer_shape(data=(2, 3, 32, 32))[1] == [(2, 10)]


def test_what_does_not_exist_is_refused():
    for make in (lambda: mx.models.vgg(num_layers=12), lambda: mx.models.resnet(num_layers=20)):
        with pytest.raises(ValueError, match="num_layers must be one of"):
            make()
    with pytest.raises(ValueError, match="6 n \\+ 2"):
        mx.models.resnet(10, 19, (3, 32, 32))
    with pytest.raises(ValueError, match="version must be 1 or 2"):
        mx.models.resnet(version=3)
    with pytest.raises(ValueError, match="densenet: num_layers"):
        mx.models.densenet(num_layers=7)


def test_dcgan_shapes_and_count():
    images = mx.models.dcgan_generator().infer_shape(rand=(2, 100, 1, 1))[1]
    assert images == [(2, 3, 64, 64)]
    judge = mx.models.dcgan_discriminator()
    assert judge.infer_shape(data=(2, 3, 64, 64))[1] == [(2, 1)]
    assert judge.list_arguments()[-1] == "label"
    # The reference implementation's 3,576,704 and 2,765,568.
    assert parameters(mx.models.dcgan_generator(), rand=(2, 100, 1, 1)) == 3_576_704
    assert parameters(judge, data=(2, 3, 64, 64)) == 2_765_568


SMALL = {
    "mlp": (lambda: mx.models.mlp(4, (16, 8)), (8, 12)),
    "lenet": (lambda: mx.models.lenet(4), (8, 1, 28, 28)),
    "vgg_cifar": (lambda: mx.models.vgg_cifar(4), (8, 3, 32, 32)),
    "inception_bn": (lambda: mx.models.inception_bn(4, (3, 28, 28)), (8, 3, 28, 28)),
    "resnet_v1": (lambda: mx.models.resnet(4, 8, (3, 32, 32), 1), (8, 3, 32, 32)),
    "resnet_v2": (lambda: mx.models.resnet(4, 8, (3, 32, 32), 2), (8, 3, 32, 32)),
}


@pytest.mark.parametrize("name", SMALL)
def test_one_step_improves_on_its_batch(name):
    make, shape = SMALL[name]
    net = make()
    mx.random.seed(3)
    random = np.random.default_rng(0)
    executor = net.simple_bind(
        mx.cpu(),
        grad_req={n: "null" if n in ("data", "softmax_label") else "write" for n in net.list_arguments()},
        data=shape,
    )
    start = mx.init.Xavier()
    for which in (executor.arg_dict, executor.aux_dict):
        for key, value in which.items():
            if key not in ("data", "softmax_label"):
                start(mx.init.InitDesc(key), value)
    labels = np.arange(shape[0]).astype(np.float32) % 4
    feed = {"data": random.normal(size=shape).astype(np.float32), "softmax_label": labels}

    def loss():
        """Of the network as it trains: the statistics of the batch, no units dropped twice alike."""
        chosen = executor.forward(is_train=True, **feed)[0].asnumpy()[np.arange(shape[0]), labels.astype(int)]
        return -np.log(chosen).mean()

    before = loss()
    step = mx.optimizer.OptimizerStep(
        executor, mx.optimizer.create("sgd", learning_rate=0.01, rescale_grad=1 / shape[0])
    )
    for _ in range(8):
        step(**feed)
    after = loss()
    assert np.isfinite(after) and after < before
