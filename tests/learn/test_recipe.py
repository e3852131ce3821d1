"""Options are placed by their names, checked, and saved with the run."""

import pytest

from throughtime.errors import InputTypeError, ShapeError
from throughtime.learn import Recipe
from throughtime.learn.recipe import group_options, groups_of, task_options
from throughtime.models import MODELS, all_options
from throughtime.tasks import TASKS


def test_options_go_where_they_belong():
    recipe = Recipe.of("tagging", "bilstm", tokens=["words"], crf=True, num_layers=2, epochs=3, min_count=1)
    assert recipe.columns.tokens == ("words",)
    assert recipe.task_options == {"crf": True}
    assert recipe.model_options == {"num_layers": 2}
    assert (recipe.optimizer.epochs, recipe.inputs.min_count) == (3, 1)
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_texts_are_parsed_as_the_options_say():
    options = {"text": "title, body", "kernel_sizes": "2,3", "patience": "none", "validation": "0.2"}
    recipe = Recipe.parse("classification", "textcnn", options)
    assert recipe.columns.text == ("title", "body")
    assert recipe.model_options == {"kernel_sizes": (2, 3)}
    assert recipe.optimizer.patience is None
    assert recipe.split.validation == 0.2


@pytest.mark.parametrize(
    ("task", "model", "options", "message"),
    [
        ("classify", "auto", {}, "unknown task 'classify'; choose one of classification"),
        ("regression", "bert", {}, "unknown model 'bert'; choose one of auto, rnn"),
        ("regression", "auto", {"crf": True}, "crf is not an option of task 'regression', but of tagging"),
        (
            "regression",
            "textcnn",
            {"hidden_size": 4},
            "textcnn has no option 'hidden_size'; models that have it",
        ),
        (
            "regression",
            "auto",
            {"hidden_sizes": 4},
            "unknown option 'hidden_sizes'; options of task 'regression'",
        ),
        (
            "language",
            "auto",
            {"text": ["a"]},
            "text is not an option of task 'language', but of classification",
        ),
        ("frames", "auto", {"unit": "word"}, "unit is not an option of task 'frames', but of language"),
        ("frames", "auto", {"vocabulary": 9}, "vocabulary is not an option of task 'frames', but of"),
        ("language", "auto", {"lower_case": True}, "lower_case is not an option of task 'language', but of"),
        ("language", "auto", {"encoding": "latin-1"}, "encoding is not an option of task 'language', but of"),
        ("language", "auto", {"group": "user"}, "group is not an option of task 'language', but of"),
        ("anomaly", "auto", {"contamination": 0.7}, "contamination must be from 0 to 0.5, got 0.7"),
    ],
)
def test_what_is_no_option(task, model, options, message):
    with pytest.raises(ShapeError, match=message):
        Recipe.of(task, model, **options)


def test_an_option_of_another_type():
    with pytest.raises(InputTypeError, match="epochs must be a whole number or 'auto', got 'many'"):
        Recipe.of("classification", epochs="many")
    with pytest.raises(InputTypeError, match="--epochs must be a whole number or 'auto', got 'many'"):
        Recipe.parse("classification", "auto", {"epochs": "many"})


@pytest.mark.parametrize("task", TASKS)
def test_every_option_is_declared_with_help_once(task):
    names = [name for group in groups_of(task) for name in group_options(group)]
    names += task_options(task)
    assert len(set(names)) == len(names)
    assert not set(names) & set(all_options())
    options = [
        *task_options(task).values(),
        *(o for group in groups_of(task) for o in group_options(group).values()),
    ]
    for option in options:
        assert option.help.endswith(".")
        if option.default is not None:
            option.check(option.default, task)


def test_a_cell_names_the_model_of_the_next_step():
    assert Recipe.of("language", "gru", hidden_size=8).spec("tokens").options == {
        "cell": "gru",
        "hidden_size": 8,
    }
    assert Recipe.of("anomaly", "rnn").spec("series").name == "forecast"
    assert Recipe.of("anomaly").spec("tokens").name == "language"
    with pytest.raises(ShapeError, match="task 'language' does not read series"):
        Recipe.of("language").spec("series")


def test_the_default_models_read_what_they_are_for():
    for task in TASKS.values():
        for inputs, name in task.default_models.items():
            assert inputs in MODELS[name].reads
            assert task.level in MODELS[name].levels
