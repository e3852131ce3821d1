"""What the demo trains on and what it trains: the default plan, and a quick one."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from throughtime.demo.operators.corpus import SourceFile, standard_library
from throughtime.demo.operators.dataset import PythonOperators, Sizes
from throughtime.demo.shop.scan import ShopPlan
from throughtime.training import ModelSpec, Settings


@dataclass(frozen=True)
class Network:
    """A network of the demo: its name in the table, its architecture, and its training settings."""

    name: str
    model: ModelSpec
    settings: Settings


def _networks() -> tuple[Network, ...]:
    return (
        Network(
            "TextCNN",
            ModelSpec("textcnn", {"embedding_size": 96, "kernel_sizes": [3, 5, 7], "dropout": 0.2}),
            Settings(epochs=3, tokens_per_batch=4096, learning_rate=2e-3),
        ),
        Network(
            "BiLSTM",
            ModelSpec("bilstm", {"embedding_size": 64, "hidden_size": 128, "dropout": 0.1}),
            Settings(epochs=2, tokens_per_batch=3072, learning_rate=3e-3),
        ),
    )


@dataclass(frozen=True)
class DemoPlan:
    """Data and networks of the demo; the defaults take about six minutes on two cores."""

    sizes: Sizes = field(default_factory=Sizes)
    networks: tuple[Network, ...] = field(default_factory=_networks)
    seed: int = 0
    files: tuple[SourceFile, ...] | None = None
    """Source files of the data set; None for installed ones."""
    only_standard_library: bool = False
    """Whether the installed files are those of the standard library alone, not of all dependencies."""
    shop: ShopPlan = field(default_factory=ShopPlan)
    """Runs of the tests whose log is scanned."""
    baseline_seconds: float = 20.0
    """Limit of work of each baseline, see `throughtime.baselines.fit_baselines`."""

    @classmethod
    def quick(cls) -> "DemoPlan":
        """Return a plan that takes about a minute on two cores: the standard library, smaller networks.

        Settings were chosen on validation.
        """
        return cls(
            Sizes(training=16_000, validation=2_500, test=2_500, vocabulary=4_000),
            (
                Network(
                    "TextCNN",
                    ModelSpec("textcnn", {"embedding_size": 64, "kernel_sizes": [3, 5, 7], "dropout": 0.3}),
                    Settings(epochs=4, tokens_per_batch=3072, learning_rate=2e-3),
                ),
                Network(
                    "BiLSTM",
                    ModelSpec("bilstm", {"embedding_size": 64, "hidden_size": 64, "dropout": 0.2}),
                    Settings(epochs=4, tokens_per_batch=1536, learning_rate=4e-3),
                ),
            ),
            only_standard_library=True,
            shop=ShopPlan(correct=25),
            baseline_seconds=15.0,
        )

    def source(self) -> PythonOperators:
        """Read the data set."""
        if self.files is None and self.only_standard_library:
            return PythonOperators(self.seed, self.sizes, *standard_library())
        return PythonOperators(self.seed, self.sizes, self.files)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values; of files the names."""
        networks = [
            {
                "model": network.model.name,
                "options": dict(network.model.options),
                "settings": asdict(network.settings),
            }
            for network in self.networks
        ]
        content = {
            "seed": self.seed,
            "sizes": asdict(self.sizes),
            "networks": networks,
            "files": None if self.files is None else [file.name for file in self.files],
            "only_standard_library": self.only_standard_library,
            "shop": asdict(self.shop),
            "baseline_seconds": self.baseline_seconds,
        }
        plain: dict[str, Any] = json.loads(json.dumps(content))
        return plain
