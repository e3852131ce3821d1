// Plots by Observable Plot, as wide as the page, drawn anew when it changes.

import * as Plot from "@observablehq/plot";
import { h } from "./dom";

export { Plot };

export interface Figure {
  element: HTMLElement;
  /** Draw anew, at most once a frame. */
  update(): void;
}

/** Options of a plot whose axes have titles. */
export type Titled = Plot.PlotOptions & { x: { label: string }; y: { label: string } };

/** A plot with a caption; `options` is called for every drawing. */
export function plot(caption: string, options: () => Titled): Figure {
  const holder = h("div", { class: "plot" });
  const element = h("figure", {}, holder, h("figcaption", {}, caption));
  let frame = 0;
  const draw = () => {
    frame = 0;
    const width = Math.max(280, Math.floor(holder.clientWidth || 640));
    holder.replaceChildren(
      Plot.plot({
        width,
        height: 240,
        marginRight: 24,
        marginTop: 28,
        marginLeft: 52,
        marginBottom: 40,
        ariaLabel: caption,
        style: { background: "transparent", color: "currentColor", fontSize: "12px" },
        ...options(),
      }),
    );
  };
  const update = () => {
    frame ||= requestAnimationFrame(draw);
  };
  new ResizeObserver(update).observe(holder);
  return { element, update };
}
