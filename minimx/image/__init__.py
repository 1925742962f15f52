from . import codec
