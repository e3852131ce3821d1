"""The page of a server in a browser: what each model is, and a form to try it."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import jinja2

from throughtime.tasks import METRICS


def rendered(cards: Sequence[dict[str, Any]]) -> str:
    """Return the page of models with these cards (see `throughtime.serve.card.model_card`)."""
    return _template().render(cards=cards, single=len(cards) == 1)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("throughtime.serve", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "json": lambda value: json.dumps(value, ensure_ascii=False),
        "metric": lambda value, name: METRICS[name].text(value),
        "title": lambda name: METRICS[name].title,
    }
    return environment.get_template("page.html.jinja")
