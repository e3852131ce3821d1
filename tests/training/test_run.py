"""The folder of a run: what goes in comes out, and whatever is wrong with it is one clear line."""

import json
import stat
import struct
import zlib

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.training.toy import MODEL, SETTINGS, Toy, created
from throughtime.errors import KindError, RunError
from throughtime.training import Metrics, ModelSpec, Run, Settings, _files
from throughtime.training._tensor_file import read_tree, write_tree


@pytest.fixture
def run(tmp_path):
    run = created(tmp_path / "run", task={"text": "body"}, tokenizer_json='{"version": "é"}')
    run.save_model(MODEL.build(Toy.vocabulary_size, 2))
    return run


def test_what_goes_in_comes_out(run):
    opened = Run.open(str(run.path))
    assert opened.config == run.config
    assert opened.config.model == MODEL
    assert opened.config.settings == SETTINGS
    assert opened.config.classes == Toy.classes
    assert opened.config.vocabulary_size == 12
    assert opened.config.task == {"text": "body"}
    assert opened.config.data == Toy().describe()
    assert opened.tokenizer_json() == '{"version": "é"}'
    assert opened.metrics == Metrics()
    assert not opened.finished


def test_the_model_comes_back_in_evaluation_mode(run):
    model = MODEL.build(Toy.vocabulary_size, 2)
    run.save_model(model)
    before = torch.get_rng_state()
    loaded = run.load_model()
    assert torch.equal(torch.get_rng_state(), before)
    assert not loaded.training
    assert all(torch.equal(loaded.state_dict()[name], t) for name, t in model.state_dict().items())


def test_a_run_is_json_and_safetensors(run):
    assert {path.name for path in run.path.iterdir()} == {
        "run.json",
        "config.json",
        "metrics.json",
        "environment.json",
        "tokenizer.json",
        "model.safetensors",
    }
    content = json.loads((run.path / "run.json").read_bytes())
    assert content["format"] == "throughtime-run"
    assert content["version"] == 1
    assert content["created"].endswith("+00:00")
    assert set(load_file(run.path / "model.safetensors")) == set(
        MODEL.build(Toy.vocabulary_size, 2).state_dict()
    )


def test_the_environment_tells_versions_and_nobody(run, monkeypatch):
    text = (run.path / "environment.json").read_text()
    content = json.loads(text)
    assert content["packages"]["torch"] == torch.__version__
    assert content["threads"] == torch.get_num_threads()
    assert str(run.path) not in text


def test_a_run_has_the_permissions_of_any_folder(run):
    (run.path.parent / "plain").mkdir()
    modes = [stat.S_IMODE((run.path.parent / name).stat().st_mode) for name in ("run", "plain")]
    assert modes[0] == modes[1]


def test_a_run_can_be_made_in_an_empty_folder_and_below_missing_ones(tmp_path):
    (tmp_path / "empty").mkdir()
    assert created(tmp_path / "empty").path.is_dir()
    assert created(tmp_path / "a" / "b" / "c").path.is_dir()


def test_nothing_is_left_when_making_a_run_fails(tmp_path, monkeypatch):
    def failing(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", failing)
    with pytest.raises(RunError, match="No space left on device"):
        created(tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_holds_a_run_is_refused_and_untouched(run):
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    with pytest.raises(RunError, match=r"already holds a run; go on with it .--resume."):
        created(run.path)
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before


def test_an_output_folder_with_anything_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(RunError, match="not empty and not a run"):
        created(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "dear"


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("dear")
    with pytest.raises(RunError, match="is a file; choose another"):
        created(tmp_path / "file")
    with pytest.raises(RunError, match=r"run cannot be written \((Not a directory|File exists)\)"):
        created(tmp_path / "file" / "run")


def test_opening_what_does_not_exist(tmp_path):
    with pytest.raises(RunError, match="nowhere does not exist"):
        Run.open(tmp_path / "nowhere")


def test_opening_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="is a file, not a run"):
        Run.open(tmp_path / "file")


@pytest.mark.parametrize("name", ["run.json", "config.json", "metrics.json", "environment.json"])
def test_a_missing_file_is_named(name, run):
    (run.path / name).unlink()
    with pytest.raises(RunError, match=f"is not a run: {name} is missing"):
        Run.open(run.path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", '{"format": "zip", "version": 1}', "is not of a throughtime run"),
        ("run.json", '{"format": "throughtime-run", "version": 2}', "format 2, this .* up to 1; upgrade"),
        ("run.json", '{"format": "thro', "run.json is damaged: not JSON"),
        ("config.json", "[]", "config.json is damaged: not a JSON object"),
        ("config.json", "\udcff", "config.json is damaged: not JSON"),
        ("config.json", "{}", "config.json is damaged: 'task' is missing"),
    ],
)
def test_damaged_json_is_told(name, content, message, run):
    (run.path / name).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(RunError, match=message):
        Run.open(run.path)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("model", "name"), "transformer", "no model is called 'transformer'"),
        (("model", "options"), {"width": 3}, "textcnn has no option 'width'"),
        (("settings", "epochs"), -1, "epochs must be a whole number from 1"),
        (("settings", "speed"), 1, "speed"),
        (("vocabulary_size",), None, "config.json is damaged"),
        (("vocabulary_size",), "many", "config.json is damaged"),
        (("classes",), None, "config.json is damaged"),
    ],
)
def test_a_configuration_that_means_nothing_is_told(place, value, message, run):
    path = run.path / "config.json"
    content = json.loads(path.read_bytes())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match=message):
        Run.open(run.path)


@pytest.mark.parametrize("content", ["{}", '{"history": 3, "best_epoch": 1, "stopped": null, "test": null}'])
def test_damaged_metrics_are_told(content, run):
    (run.path / "metrics.json").write_text(content)
    with pytest.raises(RunError, match=r"metrics\.json is damaged"):
        _ = Run.open(run.path).metrics


def test_a_run_without_weights_says_so(tmp_path):
    run = created(tmp_path / "run")
    assert not run.has_model
    with pytest.raises(RunError, match=r"no weights yet: model\.safetensors is missing"):
        run.load_model()


def test_a_tokenizer_that_is_not_text_is_told(run):
    (run.path / "tokenizer.json").write_bytes(b"\xff")
    with pytest.raises(RunError, match=r"tokenizer\.json cannot be read"):
        run.tokenizer_json()


@pytest.mark.parametrize("kept", [0, 7, 8, 100, -1])
def test_weights_cut_short_are_told(kept, run):
    path = run.path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RunError, match=r"model\.safetensors is cut short or damaged") as caught:
        run.load_model()
    assert "\n" not in str(caught.value)


def test_one_wrong_bit_is_told(run):
    path = run.path / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(RunError, match="checksum does not match"):
        run.load_model()


def test_a_model_that_cannot_be_built_is_told(run):
    path = run.path / "config.json"
    path.write_text(path.read_text().replace('"channels": 16', '"channels": "many"'))
    with pytest.raises(RunError, match=r"config\.json is damaged: its model cannot be built"):
        Run.open(run.path).load_model()


def test_weights_of_someone_else_are_told(run):
    save_file({"x": torch.zeros(2)}, run.path / "model.safetensors")
    with pytest.raises(RunError, match=r"model\.safetensors is cut short or damaged"):
        run.load_model()


@pytest.mark.parametrize(
    ("model", "classes", "message"),
    [
        (ModelSpec("bilstm"), 2, "convolutions.* is missing|is not in the model"),
        (MODEL, 3, r"output\.bias has shape \(3,\), the model's is \(2,\)"),
    ],
)
def test_weights_that_do_not_fit_are_told(model, classes, message, run):
    run.save_model(model.build(Toy.vocabulary_size, classes))
    with pytest.raises(RunError, match=message):
        run.load_model()


def test_a_tree_comes_back_as_it_was(tmp_path):
    tree = {
        "tensors": [torch.arange(6).reshape(2, 3).T, torch.tensor(2.5), torch.empty(0, 3)],
        "betas": (0.9, 0.999),
        "state": {0: {"step": torch.tensor(1.0)}, 1: None},
        "$tensor": "a key that looks like a place",
        "numbers": [1, 0.1, float("inf"), True, "é"],
        "half": torch.ones(3, dtype=torch.bfloat16),
    }
    write_tree(tmp_path / "tree", tree)
    back = read_tree(tmp_path / "tree")
    for a, b in zip(tree.pop("tensors"), back.pop("tensors"), strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    assert torch.equal(back.pop("half"), tree.pop("half"))
    assert torch.equal(back["state"].pop(0)["step"], tree["state"].pop(0)["step"])
    assert back == tree
    assert isinstance(back["betas"], tuple)


def test_the_bytes_are_those_of_the_description(tmp_path):
    """Reads a file by ``docs/run-format.md`` alone."""
    write_tree(tmp_path / "tree", {"b": torch.tensor([1.5, -2.0]), "a": [torch.tensor([3])], "é": 0.1})
    data = (tmp_path / "tree").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__")
    assert list(metadata) == ["throughtime"]
    content = json.loads(metadata["throughtime"])
    assert content["tree"] == {"b": {"$tensor": "b"}, "a": [{"$tensor": "a.0"}], "é": 0.1}
    checksum = zlib.crc32(b'{"a": [{"$tensor": "a.0"}], "b": {"$tensor": "b"}, "\\u00e9": 0.1}')
    for name in ("a.0", "b"):
        begin, end = header[name]["data_offsets"]
        checksum = zlib.crc32(name.encode() + data[start + begin : start + end], checksum)
    assert content["crc32"] == checksum
    begin, end = header["b"]["data_offsets"]
    assert struct.unpack("<2f", data[start + begin : start + end]) == (1.5, -2.0)


def test_nan_comes_back(tmp_path):
    write_tree(tmp_path / "tree", {"x": float("nan")})
    assert read_tree(tmp_path / "tree")["x"] != read_tree(tmp_path / "tree")["x"]


def test_a_tree_holds_nothing_that_could_run(tmp_path):
    with pytest.raises(KindError, match=r"cannot hold a function, found at 'a\.0'"):
        write_tree(tmp_path / "tree", {"a": [print_nothing]})
    assert not list(tmp_path.iterdir())


def print_nothing():
    """Stand for code."""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number from 1 upwards, got 0"),
        ({"epochs": 2.0}, "epochs must be a whole number"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"patience": 0}, "patience must be a whole number from 1 upwards or None"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number from 0"),
        ({"learning_rate": float("inf")}, "learning_rate must be a number from 0"),
        ({"learning_rate": None}, "learning_rate must be a number from 0"),
        ({"warmup": 1.5}, "warmup must be a number from 0 to 1"),
        ({"clip": -1}, "clip must be a number from 0 upwards or None"),
        ({"monitor": "f1"}, "monitor must be 'accuracy' or 'loss'"),
    ],
)
def test_settings_out_of_range_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        Settings(**options)


def test_settings_go_through_json():
    settings = Settings(clip=None, learning_rate=0.1 + 0.2)
    assert Settings(**json.loads(json.dumps(settings.to_json()))) == settings
