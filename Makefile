# make demo   build, train a LeNet on the built-in digits, save it, draw it, classify a few images
# make test   build and run the tests
# make gpu-test   build the CUDA kernels and run them on a real gpu, table under benchmarks/gpu/
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test lint format build gpu-test bench bench-peers reference clean

$(VENV)/made: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q --upgrade pip
	$(RUN) -m pip install -q "setuptools>=77" pybind11 "numpy>=1.26" "pytest>=8" scipy pillow ruff mypy clang-format
	touch $@

# An editable install that rebuilds only what changed.
build: $(VENV)/made
	$(RUN) -m pip install -q --no-build-isolation --no-deps -e .

demo: build
	$(RUN) examples/digits_lenet.py

# One more level: it tests AVX-512's logic on machines that have only AVX2.
test: export MINIMX_WIDE = 1
test: build
	$(RUN) -m pytest

# docs/operators.md and the type stubs for editors, written from the operators.
reference: build
	$(RUN) -m minimx.tools.operator_reference docs/operators.md
	$(RUN) -m minimx.stubs

lint: $(VENV)/made
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.cu' 'csrc/*.cuh' | xargs $(VENV)/bin/clang-format --dry-run -Werror

format: $(VENV)/made
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .
	git ls-files 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.cu' 'csrc/*.cuh' | xargs $(VENV)/bin/clang-format -i

# On a machine with a gpu and nvcc, with the system's Python: the environment above needs a network.
gpu-test:
	$(PYTHON) benchmarks/gpu/run.py

bench: build
	$(RUN) benchmarks/run.py

# The peers that `make bench` compares with; they need Python 3.11 and other versions of NumPy.
bench-peers:
	for peer in mxnet torch jax onnx; do $(PYTHON) -m venv build/peers/$$peer; done
	build/peers/mxnet/bin/pip install -q mxnet==1.9.1 numpy==1.23.5
	build/peers/torch/bin/pip install -q torch==2.13.0 numpy setuptools
	build/peers/jax/bin/pip install -q jax numpy
	build/peers/onnx/bin/pip install -q onnxruntime onnx numpy

clean:
	rm -rf build $(VENV) minimx/*.so
