"""What a reader would find fault with in a page of a report, measured in a browser."""

from typing import Any

import pytest

from tests.browser import PHONE, WIDE, OpenPage

# For each figure: texts that overlap or are cut off, a legend over the plot, axes without a title, percentages beyond
# 100, heat maps without a legend of colours, and no drawn mark; and shares beyond 100 % in the text.
_LOOK = """() => {
  const found = {overlaps: [], cut: [], legends: [], untitled: [], beyond: [], uncoloured: [], empty: [], small: []};
  const number = text => parseFloat(text.replace("−", "-").replaceAll(",", ""));
  const visible = text => text.textContent && text.getBoundingClientRect().width &&
    text.checkVisibility({opacityProperty: true, visibilityProperty: true});
  for (const plot of document.querySelectorAll(".js-plotly-plot")) {
    const layout = plot._fullLayout, frame = plot.getBoundingClientRect();
    const marks = plot.querySelectorAll(".scatterlayer path, .barlayer path, .heatmaplayer image, .heatmaplayer path");
    if (![...marks].some(mark => mark.getBoundingClientRect().width > 0)) found.empty.push(plot.id);
    const texts = [...plot.querySelectorAll("svg text")].filter(visible);
    texts.forEach((text, i) => {
      const a = text.getBoundingClientRect();
      if (a.left < frame.left - 2 || a.right > frame.right + 2 || a.bottom > frame.bottom + 2)
        found.cut.push([plot.id, text.textContent]);
      if (parseFloat(getComputedStyle(text).fontSize) < 11) found.small.push([plot.id, text.textContent]);
      for (const other of texts.slice(i + 1)) {
        if (text.contains(other)) continue;
        if (text.closest("[class$=tick]") && other.closest("[class$=tick]")) continue;
        const b = other.getBoundingClientRect();
        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (x > 3 && y > 3) found.overlaps.push([plot.id, text.textContent, other.textContent]);
      }
    });
    const legend = plot.querySelector(".legend")?.getBoundingClientRect();
    if (legend && legend.bottom - frame.top > layout._size.t + 2) found.legends.push(plot.id);
    for (const name of Object.keys(layout).filter(name => /^[xy]axis/.test(name))) {
      const axis = layout[name];
      if (!axis.showticklabels) continue;
      const title = plot.layout[name]?.title?.text ?? "";
      if (!title) found.untitled.push([plot.id, name]);
      if (!/in %$/.test(title)) continue;
      for (const tick of plot.querySelectorAll(`.${axis._id}tick text`))
        if (number(tick.textContent) > 100) found.beyond.push([plot.id, title, tick.textContent]);
    }
    if (plot.querySelector(".heatmaplayer image") && !plot.parentElement.previousElementSibling?.matches(".colours") &&
        !plot.closest(".figure").previousElementSibling?.matches(".colours")) found.uncoloured.push(plot.id);
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode())
    if (!texts.currentNode.parentElement.closest("script, .figure"))
      for (const share of texts.currentNode.data.matchAll(/([\\d,.]+)\\s*%/g))
        if (number(share[1]) > 100) found.beyond.push(share[0]);
  return found;
}"""

needs_looking = pytest.mark.parametrize(
    ("width", "scheme"), [(WIDE, "light"), (PHONE, "dark")], ids=["wide", "phone"]
)


def flaws(opened: OpenPage) -> dict[str, Any]:
    """Return what is wrong with the page that is open, without what is not."""
    found: dict[str, Any] = opened.page.evaluate(_LOOK)
    return {kind: cases for kind, cases in found.items() if cases} | (
        {"too_wide": opened.overflow} if opened.overflow else {}
    )
