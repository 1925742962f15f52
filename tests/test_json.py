"""Symbol files: MXNet's are read and written again byte for byte, old ones upgraded; networks built here are theirs."""

import json
import random
import warnings
from pathlib import Path

import pytest
from golden_networks import NETWORKS

import minimx as mx
import minimx.ops  # registers the operators
from minimx.base import FileFormatError, GraphError, ParameterError
from minimx.op import REGISTRY
from minimx.serial import read_arrays
from minimx.serial_json import format_document, to_document

GOLDEN = Path(__file__).parent / "golden" / "symbols"
INDEX = json.loads((GOLDEN / "index.json").read_text())


def document(name):
    """A golden file, or a skip that tells which of its operators do not exist here yet."""
    found = json.loads((GOLDEN / f"{name}.json").read_text())
    missing = sorted({n["op"] for n in found["nodes"]} - set(REGISTRY) - {"null"})
    if missing:
        pytest.skip(f"needs operators that do not exist yet: {', '.join(missing)}")
    return found


def without_row_ptr(doc):
    # It counts hidden outputs, which differ between MXNet's own builds.
    return {k: v for k, v in doc.items() if k != "node_row_ptr"}


def load(name):
    document(name)
    return mx.sym.load(GOLDEN / f"{name}.json")


@pytest.mark.parametrize("name", INDEX)
def test_lists(name):
    symbol, told = load(name), INDEX[name]
    assert symbol.list_arguments() == told["arguments"]
    assert symbol.list_auxiliary_states() == told["auxiliary_states"]
    assert symbol.list_outputs() == told["outputs"]
    assert symbol.get_internals().list_outputs() == told["internals"]
    assert symbol.attr_dict() == told["attr_dict"]


@pytest.mark.parametrize("name", INDEX)
def test_shapes(name):
    symbol, told = load(name), INDEX[name]
    args, outs, states = symbol.infer_shape(**{k: tuple(v) for k, v in told["input_shapes"].items()})
    assert [list(s) for s in args] == told["arg_shapes"]
    assert [list(s) for s in outs] == told["out_shapes"]
    assert [list(s) for s in states] == told["aux_shapes"]


@pytest.mark.parametrize("name", [n for n in INDEX if not n.startswith("legacy")])
def test_written_again(name):
    golden = document(name)
    written = to_document(load(name)._heads)
    assert without_row_ptr(written) == without_row_ptr(golden)
    assert len(written["node_row_ptr"]) == len(golden["node_row_ptr"])
    written["node_row_ptr"] = golden["node_row_ptr"]
    assert format_document(written) == (GOLDEN / f"{name}.json").read_text()


@pytest.mark.parametrize("name", [n for n in INDEX if n.startswith("legacy")])
def test_upgraded(name):
    """Old spellings become what MXNet 1.9.1 makes of them. It does not count changes of the states it adds; we do."""
    upgraded = json.loads((GOLDEN / f"{name}.upgraded.json").read_text())
    written = to_document(load(name)._heads)
    for doc in (upgraded, written):
        for node in doc["nodes"]:
            node["inputs"] = [entry[:2] for entry in node["inputs"]]
    assert written == upgraded


@pytest.mark.parametrize("network", NETWORKS, ids=lambda f: f.__name__)
def test_built_here(network):
    golden = document(network.__name__)
    with mx.name.NameManager():
        symbol = network()
    assert without_row_ptr(to_document(symbol._heads)) == without_row_ptr(golden)


def test_save_and_load(tmp_path):
    symbol = mx.sym.Flatten(mx.sym.Variable("data", shape=(2, 0)), name="flat")
    symbol.save(tmp_path / "net-symbol.json")
    again = mx.sym.load(str(tmp_path / "net-symbol.json"))
    assert again.tojson() == symbol.tojson() == mx.sym.load_json(symbol.tojson()).tojson()
    assert [p.name for p in tmp_path.iterdir()] == ["net-symbol.json"]


def test_checkpoint_of_module():
    """The symbol and the parameters of one checkpoint belong together."""
    folder = GOLDEN.parent / "params"
    symbol = mx.sym.load(folder / "module-symbol.json")
    _, names = read_arrays(folder / "module-0003.params")
    learnt = [n for n in symbol.list_arguments() if n not in ("data", "softmax_label")]
    assert sorted(names) == sorted(f"arg:{n}" for n in learnt)


def old_file(nodes, heads, **more):
    return json.dumps({"nodes": nodes, "arg_nodes": [], "heads": heads, **more})


DATA = {"op": "null", "name": "data", "inputs": []}


def test_layer_without_its_variables():
    """Files without a version are taken for 0.8, where missing inputs are made."""
    fc = {"op": "FullyConnected", "name": "fc", "param": {"num_hidden": "3"}, "inputs": [[0, 0]]}
    symbol = mx.sym.load_json(old_file([DATA, fc], [[1, 0]]))
    assert symbol.list_arguments() == ["data", "fc_weight", "fc_bias"]
    with pytest.raises(GraphError, match="fc.*has 1 inputs and needs 3"):
        mx.sym.load_json(old_file([DATA, fc], [[1, 0]], attrs={"mxnet_version": ["int", 1000]}))


def test_later_spelling_of_attributes_wins():
    node = dict(DATA, attr={"__a__": "1", "__b__": "1"}, attrs={"__b__": "2"}, param={"__a__": "3", "__c__": "3"})
    symbol = mx.sym.load_json(old_file([node], [[0, 0]]))
    assert symbol.list_attr() == {"__a__": "1", "__b__": "2", "__c__": "3"}


def test_newer_version_only_warns():
    with pytest.warns(UserWarning, match="newer MXNet"):
        mx.sym.load_json(old_file([DATA], [[0, 0]], attrs={"mxnet_version": ["int", 20000]}))


def test_unknown_keys_are_ignored():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mx.sym.load_json(old_file([dict(DATA, colour="red")], [[0, 0, 0]], extra={}))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", FileFormatError, "offset 1"),
        ("[]", FileFormatError, "nodes"),
        (old_file([{"op": "null"}], [[0, 0]]), FileFormatError, "node 0"),
        (old_file([DATA], [[7, 0]]), FileFormatError, "node 7 of 1"),
        (old_file([DATA], [[0, 1]]), FileFormatError, "output 1 of data"),
        (old_file([DATA], []), FileFormatError, "no outputs"),
        (old_file([DATA, {"op": "Frobnicate", "name": "f", "inputs": []}], [[0, 0]]), GraphError, "Frobnicate"),
        (
            old_file([DATA, {"op": "Flatten", "name": "f", "inputs": [[1, 0]]}], [[1, 0]]),
            FileFormatError,
            "needs itself",
        ),
        (old_file([DATA, {"op": "Flatten", "name": "f", "inputs": [[0, 4]]}], [[1, 0]]), FileFormatError, "output 4"),
        (
            old_file([DATA, {"op": "Flatten", "name": "f", "inputs": [[0, 0]], "backward_source_id": 0}], [[1, 0]]),
            FileFormatError,
            "backward node",
        ),
        (
            old_file(
                [DATA, {"op": "FullyConnected", "name": "f", "param": {"num_hidden": "3.0"}, "inputs": []}], [[1, 0]]
            ),
            ParameterError,
            "num_hidden must be an integer",
        ),
    ],
)
def test_damaged(text, error, message):
    with pytest.raises(error, match=message):
        mx.sym.load_json(text)


def mutate(value, rng):
    """Breaks one place somewhere inside a document."""
    wrong = [None, 3, "x", [], {}, [[]], -1, 10**9, True]
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(value[key], (dict, list)) and value[key] and rng.random() < 0.7:
            value = value[key]
        elif rng.random() < 0.3:
            del value[key]
            return
        else:
            value[key] = rng.choice(wrong)
            return


@pytest.mark.parametrize("name", ["mlp", "attrs", "legacy_v08", "multi_output"])
def test_damage_is_always_reported_as_such(name):
    rng = random.Random(0)
    text = json.dumps(document(name))
    for _ in range(500):
        damaged = json.loads(text)
        for _ in range(rng.randint(1, 2)):
            mutate(damaged, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                mx.sym.load_json(json.dumps(damaged)).list_outputs()
            except mx.MXNetError as error:
                assert "the given text" in str(error)


def test_strings_are_escaped():
    symbol = mx.sym.Variable('a"b\\c', __note__="line\nnext\ttab\r")
    assert json.loads(symbol.tojson())["nodes"][0]["name"] == 'a"b\\c'
    assert mx.sym.load_json(symbol.tojson()).attr("__note__") == "line\nnext\ttab\r"


def test_mixed_precision_casts_are_left_out():
    if "amp_cast" not in REGISTRY:
        pytest.skip("needs amp_cast")
    symbol = mx.sym.FullyConnected(mx.sym.amp_cast(mx.sym.Variable("data"), dtype="float16"), num_hidden=2, name="fc")
    assert "amp_cast" not in symbol.tojson()
    assert "amp_cast" in symbol.tojson(remove_amp_cast=False)
