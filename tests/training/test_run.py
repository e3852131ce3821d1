"""The folder of a run: reading returns what was written, and every error is one clear line."""

import functools
import json
import os
import stat
import struct
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from tests.training.toy import MODEL, SETTINGS, TASK, Toy, created, relisted
from throughtime.data.vocabulary import Vocabulary
from throughtime.errors import InputTypeError, RunError
from throughtime.tasks import Classification, Language
from throughtime.training import Metrics, ModelSpec, Run, Settings, _files, _run
from throughtime.training._tensor_file import from_bytes, to_bytes

TOKENIZER = Vocabulary(["é", "b"]).to_tokenizer().to_str()


@pytest.fixture
def run(tmp_path):
    run = created(tmp_path / "run", recipe={"text": "body"}, tokenizer_json=TOKENIZER)
    run.save_model(MODEL.build(Toy.shape, TASK))
    return run


def test_what_goes_in_comes_out(run):
    opened = Run.open(str(run.path))
    assert opened.config == run.config
    assert opened.config.model == MODEL
    assert opened.config.settings == SETTINGS
    assert opened.config.task == opened.task == TASK
    assert opened.config.shape == {"vocabulary_size": 12}
    assert opened.config.recipe == {"text": "body"}
    assert opened.config.data == Toy().describe()
    assert opened.tokenizer_json() == TOKENIZER
    assert opened.metrics == Metrics()
    assert not opened.finished


def test_the_model_comes_back_in_evaluation_mode(run):
    model = MODEL.build(Toy.shape, TASK)
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
        "checksums.json",
        "tokenizer.json",
        "model.safetensors",
    }
    content = json.loads((run.path / "run.json").read_bytes())
    assert content["format"] == "throughtime-run"
    assert content["version"] == 3
    assert content["created"].endswith("+00:00")
    other = json.loads((created(run.path.parent / "other").path / "run.json").read_bytes())
    assert len(content["id"]) == len(other["id"]) == 32
    assert content["id"] != other["id"]
    assert set(load_file(run.path / "model.safetensors")) == set(MODEL.build(Toy.shape, TASK).state_dict())


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
    with pytest.raises(RunError, match=r"already holds a run; resume it with resume=True \(--resume\)"):
        created(run.path)
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before


@pytest.mark.parametrize("empty", [False, True])
def test_of_two_that_make_a_run_in_one_place_the_second_is_told(empty, tmp_path, monkeypatch):
    path, write = tmp_path / "run", _run.write_new
    if empty:
        path.mkdir()

    def overtaken(folder, files):
        with monkeypatch.context() as patch:
            patch.setattr(_run, "write_new", write)
            created(path)
        write(folder, files)

    monkeypatch.setattr(_run, "write_new", overtaken)
    with pytest.raises(RunError, match="run already holds a run; resume it"):
        created(path)
    assert Run.open(path).config.model == MODEL
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_folder_with_anything_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(RunError, match="is a folder with other files"):
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


NEEDED = ["run.json", "config.json", "metrics.json", "environment.json", "checksums.json"]


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_file_is_named(name, run):
    (run.path / name).unlink()
    with pytest.raises(RunError, match=f"is (not a|an incomplete) run: {name} is missing"):
        Run.open(run.path)


def everything(path):
    """Read all of a run."""
    run = Run.open(path)
    return run.metrics, run.load_model(), run.tokenizer_json(), run.note_environment(begun=True)


@pytest.mark.parametrize("name", [*NEEDED, "tokenizer.json", "model.safetensors"])
def test_a_changed_byte_of_any_file_is_told(name, run):
    path = run.path / name
    whole = path.read_bytes()
    everything(run.path)
    for place in range(0, len(whole), max(1, len(whole) // 12)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(
            RunError, match=rf"{name} (is damaged|is cut short|is not from a throughtime run)|version|format"
        ):
            everything(run.path)
    path.write_bytes(whole)
    everything(run.path)


def swapped_classes(run):
    path = run.path / "config.json"
    path.write_text(path.read_text().replace('"without",\n      "with"', '"with",\n      "without"'))
    assert '"with",\n      "without"' in path.read_text()


def swapped_tokens(run):
    path = run.path / "tokenizer.json"
    path.write_text(path.read_text().replace('"é":1,"b":2', '"é":2,"b":1'))
    assert '"é":2,"b":1' in path.read_text()


def weights_of_another_run(run):
    other = created(run.path.parent / "other")
    other.save_model(MODEL.build(Toy.shape, TASK))
    (run.path / "model.safetensors").write_bytes((other.path / "model.safetensors").read_bytes())


@pytest.mark.parametrize("exchange", [swapped_classes, swapped_tokens, weights_of_another_run])
def test_what_was_exchanged_for_something_that_fits_as_well_is_told(exchange, run):
    exchange(run)
    with pytest.raises(RunError, match="was changed: its SHA-256 differs from the one in checksums"):
        everything(run.path)


def test_a_file_that_no_training_wrote_is_told(run):
    other = created(run.path.parent / "other")
    (other.path / "model.safetensors").write_bytes((run.path / "model.safetensors").read_bytes())
    with pytest.raises(RunError, match="is not listed in checksums.json"):
        other.load_model()


def test_a_run_of_an_older_format_is_not_called_damaged(run):
    path = run.path / "run.json"
    path.write_text(path.read_text().replace('"version": 3', '"version": 2'))
    (run.path / "checksums.json").unlink()
    with pytest.raises(
        RunError, match="run format 2, older than format 3, .* use the version of throughtime that wrote it"
    ):
        Run.open(run.path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", '{"format": "zip", "version": 1}', "is not from a throughtime run"),
        ("run.json", '{"format": "throughtime-run", "version": 4}', "format 4, newer than .* upgrade"),
        ("run.json", '{"format": "throughtime-run", "version": true}', "is not from a throughtime run"),
        ("run.json", '{"format": "thro', "run.json is damaged: not JSON"),
        ("config.json", "[]", "config.json is damaged: not a JSON object"),
        ("config.json", "\udcff", "config.json is damaged: not JSON"),
        ("config.json", "{}", "config.json is damaged: .* is missing"),
        ("config.json", "[" * 100_000, "config.json is damaged: not JSON"),
        ("config.json", '{"a": ' + "[" * 70 + "]" * 70 + "}", "nested more than 64 deep"),
        ("config.json", '{"a": Infinity}', "Infinity is not a JSON number"),
        ("config.json", '{"a": 1e999}', "inf is not a JSON number"),
        ("config.json", f'{{"a": {10**30}}}', "an integer is beyond 64 bits"),
        ("config.json", f'{{"a": {"9" * 5000}}}', "config.json is damaged: not JSON"),
    ],
)
def test_damaged_json_is_told(name, content, message, run):
    (run.path / name).write_bytes(content.encode(errors="surrogateescape"))
    relisted(run)
    with pytest.raises(RunError, match=message):
        Run.open(run.path)


@pytest.mark.parametrize("name", [*NEEDED, "tokenizer.json"])
def test_a_file_of_json_without_end_is_not_read(name, run):
    os.truncate(run.path / name, 40 * 2**30)
    with pytest.raises(RunError, match=f"{name} is damaged: it has 42,949,672,960 bytes, but at most"):
        Run.open(run.path).tokenizer_json() and run.metrics and run.note_environment(begun=True)


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors"])
def test_a_pipe_or_device_in_place_of_a_file_is_not_read(name, run):
    path = run.path / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RunError, match=f"{name} is a named pipe, not a file"):
        run.tokenizer_json() and run.load_model()
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(RunError, match=f"{name} is a device, not a file"):
        run.tokenizer_json() and run.load_model()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("model", "name"), "transformer", "unknown model 'transformer'"),
        (("model", "options"), {"width": 3}, "textcnn has no option 'width'"),
        (("settings", "epochs"), -1, "epochs must be a whole number from 1"),
        (("settings", "speed"), 1, "unknown setting 'speed'; known are epochs, "),
        (("shape",), None, "shape must be an object, got None"),
        (("shape", "vocabulary_size"), None, "shape.vocabulary_size must be a whole number"),
        (("shape", "vocabulary_size"), "many", "vocabulary_size must be a whole number from 1, got 'many'"),
        (("shape", "vocabulary_size"), True, "vocabulary_size must be a whole number"),
        (("shape", "vocabulary_size"), 1.5, "vocabulary_size must be a whole number"),
        (("shape",), {}, "got neither of vocabulary_size and channels"),
        (("shape", "channels"), 3, "got both of vocabulary_size and channels"),
        (("shape", "words"), 3, "unexpected keyword argument 'words'"),
        (("task",), "text", "task must be an object"),
        (("task", "name"), "translation", "task.name must be one of classification, .*got 'translation'"),
        (("task", "name"), None, "task.name must be one of"),
        (("task", "name"), "regression", "task has an unknown entry '"),
        (("task", "beam"), 3, "task has an unknown entry 'beam'"),
        (("task", "classes"), None, "task.classes must be a list, got None"),
        (("task", "classes"), [["a"], "b"], "task.classes.0 must be a string"),
        (("task", "classes"), ["a", "a"], "two of the classes have the same name"),
        (("task", "temperature"), 0, "temperature must be positive, got 0"),
        (("task", "threshold"), "0.5", "task.threshold must be a number, got '0.5'"),
        (("model",), "bilstm", "model must be an object, got 'bilstm'"),
        (("model", "name"), ["bilstm"], "model.name must be a string"),
        (("model", "options"), [["channels", 3]], "model.options must be an object"),
        (("settings",), [], "settings must be an object"),
        (("settings", "monitor"), ["loss"], r"monitor must be one of loss, .*, got \['loss'\]"),
        (("settings", "precision"), {}, "precision must be 'float32' or 'bfloat16', got {}"),
        (("model", "options"), {"dropout": {}}, "textcnn: dropout must be a number, got {}"),
        (("model", "options"), {"channels": True}, "textcnn: channels must be a whole number, got True"),
        (("model", "options"), {"kernel_sizes": 3}, "textcnn: kernel_sizes must be a list of whole numbers"),
        (("recipe",), "text", "recipe must be an object"),
    ],
)
def test_a_configuration_that_means_nothing_is_told(place, value, message, run):
    changed(run, *place[:-1], **{place[-1]: value})
    with pytest.raises(RunError, match=message):
        Run.open(run.path)


EPOCH = {
    "epoch": 1,
    "steps": 3,
    "train": {"loss": 0.5, "accuracy": 0.75},
    "validation": {"loss": 0.25, "accuracy": 1.0, "roc_auc": None},
    "learning_rate": 0.1,
    "tokens": 30,
    "seconds": 1.5,
    "tokens_per_second": 20.0,
}
TEST = {
    "figures": {"loss": 0.5, "roc_auc": None},
    "examples": 3,
    "intervals": {"loss": {"low": 0.4, "high": 0.6}},
}
METRICS = {
    "history": [EPOCH],
    "best_epoch": 1,
    "stopped": "patience",
    "validation": None,
    "test": TEST,
    "tuned": {"name": "classification", "classes": ["a", "b"], "threshold": 0.25},
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"history": 3}, "history must be a list, got 3"),
        ({"history": [3]}, "history.0 must be an object, got 3"),
        ({"history": [[EPOCH]]}, "history.0 must be an object"),
        ({"history": [{**EPOCH, "steps": "3"}]}, "history.0.steps must be a whole number from 0, got '3'"),
        ({"history": [{**EPOCH, "validation": 0.5}]}, "history.0.validation must be an object, got 0.5"),
        ({"history": [{**EPOCH, "train": {"loss": "0"}}]}, "history.0.train.loss must be a number, got '0'"),
        ({"history": [{**EPOCH, "train": {}}]}, "train has no loss"),
        (
            {"history": [{**EPOCH, "train": {"loss": 0, "f": 1}}]},
            "train has an unknown metric 'f'; known are loss, ",
        ),
        ({"history": [{"epoch": 1}]}, "history.0.steps is missing"),
        ({"history": [EPOCH, EPOCH]}, "not numbered from 1"),
        ({"best_epoch": 2}, "best_epoch = 2 is not one of the 1 epochs"),
        ({"best_epoch": [1]}, "best_epoch must be a whole number"),
        ({"best_epoch": None}, "best_epoch is null, but history has epochs"),
        ({"history": []}, "history is empty, but best_epoch"),
        ({"stopped": "early"}, "stopped must be one of 'epochs', 'patience', None, got 'early'"),
        ({"stopped": ["epochs"]}, "stopped must be one of"),
        ({"test": 0.5}, "test must be an object"),
        ({"test": {"loss": 1}}, "test.figures is missing"),
        ({"test": {**TEST, "examples": 0}}, "test.examples must be a whole number from 1"),
        ({"test": {**TEST, "figures": {"f": 1}}}, "figures has an unknown metric 'f'"),
        ({"test": {**TEST, "intervals": {"loss": 1}}}, "test.intervals.loss must be an object"),
        ({"validation": [0.5]}, "validation must be an object"),
        ({"tuned": 0.5}, "tuned must be an object"),
    ],
)
def test_damaged_metrics_are_told(changed, message, run):
    path = run.path / "metrics.json"
    path.write_text(json.dumps(METRICS))
    assert relisted(run).metrics.to_json() == METRICS
    path.write_text(json.dumps(METRICS | changed))
    relisted(run)
    with pytest.raises(RunError, match=rf"metrics\.json is damaged: .*{message}"):
        _ = Run.open(run.path).metrics


def test_entries_of_the_recipe_are_asked_for_by_kind(tmp_path):
    recipe = {"text": "body", "share": 0.5, "rows": 3, "lower": True, "label": None}
    run = created(tmp_path / "run", recipe=recipe)
    assert run.recipe_entry("text", str) == "body"
    assert run.recipe_entry("share", float, int) == 0.5
    assert run.recipe_entry("label", str, None) is None
    assert run.recipe_entry("unit", str, default="word") == "word"
    for name, kinds, message in (
        ("unit", (str,), "recipe.unit is missing, expected str"),
        ("text", (int,), "recipe.text is 'body', expected int"),
        ("lower", (int,), "recipe.lower is True, expected int"),
        ("label", (str,), "recipe.label is None, expected str"),
        ("share", (str, None), "recipe.share is 0.5, expected str or null"),
    ):
        with pytest.raises(RunError, match=rf"config\.json: {message}"):
            run.recipe_entry(name, *kinds)


def test_a_run_without_weights_says_so(tmp_path):
    run = created(tmp_path / "run")
    assert not run.has_model
    with pytest.raises(RunError, match=r"no weights yet: model\.safetensors is missing"):
        run.load_model()


@pytest.mark.parametrize("kept", [0, 7, 8, 100, -1])
def test_weights_cut_short_are_told(kept, run):
    path = run.path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RunError, match=r"model\.safetensors is damaged or was changed"):
        run.load_model()
    relisted(run)
    with pytest.raises(RunError, match=r"model\.safetensors is cut short or damaged") as caught:
        run.load_model()
    assert "\n" not in str(caught.value)


def test_weights_of_someone_else_are_told(run):
    save_file({"x": torch.zeros(2)}, run.path / "model.safetensors")
    relisted(run)
    with pytest.raises(RunError, match=r"model\.safetensors is cut short or damaged"):
        run.load_model()


def changed(run, *place, **entries):
    """Change entries of the configuration."""
    path = run.path / "config.json"
    content = json.loads(path.read_bytes())
    inner = functools.reduce(dict.get, place, content)
    inner |= entries
    path.write_text(json.dumps(content))
    return relisted(run)


@pytest.mark.parametrize(
    ("name", "value"),
    [("channels", -3), ("kernel_sizes", []), ("kernel_sizes", [0]), ("dropout", -1), ("dropout", 1.5)],
)
def test_a_model_that_cannot_be_built_is_told(name, value, run):
    changed(run, "model", "options", **{name: value})
    with pytest.raises(
        RunError, match=r"config\.json is damaged: (its model cannot be built|textcnn: \w+ must be)"
    ):
        Run.open(run.path).load_model()


def test_a_task_without_classes_is_an_error_without_torchs_warning(run):
    changed(run, "task", classes=[])
    opened = Run.open(run.path)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(RunError, match="textcnn: outputs must be at least 1, got 0"):
            opened.load_model()
    assert [str(warning.message) for warning in warned] == []


def test_a_want_of_memory_is_no_damage(run, monkeypatch):
    def build(self, *_):
        raise MemoryError("too much")

    monkeypatch.setattr(ModelSpec, "build", build)
    with pytest.raises(MemoryError, match="too much"):
        run.load_model()


# The weights are 7 tensors of 1,058 numbers.
HUGE = [
    ("textcnn", {"channels": 1058}, "shape"),
    ("textcnn", {"channels": 10**12}, "channels = 1000000000000 exceeds the number of weights, 1058"),
    ("textcnn", {"kernel_sizes": [1] * 10**5}, "it has 7 tensors, but the model has more than 1028"),
    ("bigru", {"num_layers": 10**6}, "num_layers = 1000000 exceeds"),
    ("bigru", {"num_layers": 1058}, "it has 7 tensors, but the model has more than 1028"),
    ("bigru", {"hidden_size": 1058, "embedding_size": 1058}, "is missing|is not in the model"),
    ("language", {"num_layers": 10**9}, "num_layers = 1000000000 exceeds"),
    ("language", {"hidden_size": 1058, "num_layers": 1058}, "but the model has more than"),
    ("frame", {"hidden_size": 2**62}, "exceeds the number of weights"),
]


@pytest.mark.parametrize(("name", "options", "message"), HUGE)
def test_a_model_beyond_the_weights_is_not_built(name, options, message, run, monkeypatch):
    """No tensor on a device with memory is made for it."""
    task = Language().to_json() if name == "language" else TASK.to_json()
    opened = Run.open(changed(run, model={"name": name, "options": options}, task=task).path)
    build, devices = ModelSpec.build, set()

    def noting(self, *args, **kwargs):
        model = build(self, *args, **kwargs)
        devices.update(parameter.device.type for parameter in model.parameters())
        return model

    monkeypatch.setattr(ModelSpec, "build", noting)
    with pytest.raises(RunError, match=rf"model\.safetensors does not fit the model .*({message})"):
        opened.load_model()
    assert devices <= {"meta"}


def test_a_vocabulary_beyond_the_weights_is_not_built(run):
    with pytest.raises(RunError, match="vocabulary_size = 4000000000000000000 exceeds"):
        Run.open(changed(run, "shape", vocabulary_size=4 * 10**18).path).load_model()


@pytest.mark.parametrize(
    ("model", "classes", "message"),
    [
        (ModelSpec("bilstm"), 2, "convolutions.* is missing|is not in the model"),
        (MODEL, 3, r"output\.bias has shape \(3,\) of float32, but the model has shape \(2,\) of float32"),
    ],
)
def test_weights_that_do_not_fit_are_told(model, classes, message, run):
    run.save_model(model.build(Toy.shape, Classification("abc"[:classes])))
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
    back = from_bytes(to_bytes(tree), tmp_path)
    for a, b in zip(tree.pop("tensors"), back.pop("tensors"), strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    assert torch.equal(back.pop("half"), tree.pop("half"))
    assert torch.equal(back["state"].pop(0)["step"], tree["state"].pop(0)["step"])
    assert back == tree
    assert isinstance(back["betas"], tuple)


def test_the_bytes_are_those_of_the_description():
    """Reads a file by ``docs/run-format.md`` alone."""
    data = to_bytes({"b": torch.tensor([1.5, -2.0]), "a": [torch.tensor([3])], "é": 0.1})
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__")
    assert list(metadata) == ["throughtime"]
    assert json.loads(metadata["throughtime"]) == {
        "b": {"$tensor": "b"},
        "a": [{"$tensor": "a.0"}],
        "é": 0.1,
    }
    begin, end = header["b"]["data_offsets"]
    assert struct.unpack("<2f", data[start + begin : start + end]) == (1.5, -2.0)
    begin, end = header["a.0"]["data_offsets"]
    assert struct.unpack("<q", data[start + begin : start + end]) == (3,)


def test_nan_comes_back(tmp_path):
    back = from_bytes(to_bytes({"x": float("nan")}), tmp_path)["x"]
    assert back != back


@pytest.mark.parametrize(
    "tree",
    [
        {"$tensor": "x"},
        {"$tensor": 3},
        {"$tensor": "a", "b": 1},
        {"$tuple": 3},
        {"$items": 3},
        {"$items": [[1]]},
        {"$items": [[[], 1]]},
        {"$float": "high"},
        {"$float": 3},
    ],
)
def test_a_tree_that_stands_for_nothing_is_told(tree, tmp_path):
    data = save({"a": torch.zeros(1)}, metadata={"throughtime": json.dumps(tree)})
    with pytest.raises(RunError, match=r"weights is cut short or damaged \("):
        from_bytes(data, Path("weights"))


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"throughtime": ""}, {"throughtime": "[" * 100_000}, {"throughtime": "{'a': NaN}"}],
)
def test_a_file_without_a_tree_is_told(metadata, tmp_path):
    with pytest.raises(RunError, match=r"weights is cut short or damaged \("):
        from_bytes(save({"a": torch.zeros(1)}, metadata=metadata), Path("weights"))


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"text": ["a" * 2**20] * 65}, r"its header would have 68,15\d,\d\d\d bytes, and at most 67,108,864"),
        ({"deep": functools.reduce(lambda node, _: [node], range(64), 0)}, "nested more than 64 deep"),
        ({"large": 2**63}, "beyond 64 bits"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(tree, message):
    with pytest.raises(InputTypeError, match=message):
        to_bytes(tree)


def test_a_tree_holds_nothing_that_could_run():
    with pytest.raises(InputTypeError, match=r"cannot hold a function, found at 'a\.0'"):
        to_bytes({"a": [print_nothing]})


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
        ({"monitor": "f2"}, "monitor must be one of loss, accuracy, .*, got 'f2'"),
    ],
)
def test_settings_out_of_range_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        Settings(**options)


def test_settings_go_through_json():
    settings = Settings(clip=None, learning_rate=0.1 + 0.2)
    assert Settings(**json.loads(json.dumps(settings.to_json()))) == settings
