"""Networks as functions that return a Symbol: `mx.models.resnet(num_layers=50, num_classes=1000)`.

Names of layers and arguments are those of MXNet's example networks, so that parameter files of the ones fit the others. Every
network takes `data` (batch, channels, height, width) and ends in a loss layer named `softmax`, unless its text says otherwise.
"""

from .dcgan import dcgan_discriminator, dcgan_generator
from .densenet import densenet
from .inception import googlenet, inception_bn, inception_v3
from .mobilenet import mobilenet
from .plain import alexnet, lenet, mlp, vgg, vgg_cifar
from .resnet import resnet

__all__ = [
    "alexnet",
    "dcgan_discriminator",
    "dcgan_generator",
    "densenet",
    "googlenet",
    "inception_bn",
    "inception_v3",
    "lenet",
    "mlp",
    "mobilenet",
    "resnet",
    "vgg",
    "vgg_cifar",
]
