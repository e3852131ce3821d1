// A network of dots: a row for the input and for each layer; paths to or from a chosen step light up.

import { fields, lengths, readBy, type Layer } from "../math/convolution-field";
import { h, svg } from "../ui/dom";

export interface NetworkState {
  input: number;
  layers: readonly Layer[];
  /** For the input and each layer, whether each step is on a path (above 0). */
  paths: readonly (readonly number[])[];
  /** Row (0 is the input) and step that were chosen. */
  chosen: readonly [row: number, step: number];
  /** Whether a step stands above the last step that it reads, not above their middle. */
  causal?: boolean;
  description: string;
}

export interface Network {
  element: HTMLElement;
  update(): void;
}

const ROW = 50;

/** Return a drawing; `choose(step)` is called when a step of the chosen step's row is pointed at. */
export function network(state: () => NetworkState, choose: (step: number) => void): Network {
  const drawing = svg("svg", { role: "img" });
  const holder = h("div", { class: "network" }, drawing);
  let centres: number[] = [];

  let frame = 0;
  function update() {
    frame ||= requestAnimationFrame(draw);
  }
  function draw() {
    frame = 0;
    const { input, layers, paths, chosen, causal = false, description } = state();
    const width = Math.max(280, holder.clientWidth || 640);
    const space = width / input;
    const height = ROW * (layers.length + 1) + 12;
    const counts = lengths(input, layers);
    const places = fields(layers).map(({ first, last, stride }, row) =>
      Array.from({ length: counts[row] }, (_, t) => space * (t * stride + (causal ? last : (first + last) / 2) + 0.5)),
    );
    const y = (row: number) => height - 14 - ROW * row;
    const radius = Math.min(7, space * 0.38);
    const lines = (lit: boolean) => {
      const parts: string[] = [];
      layers.forEach((layer, i) => {
        for (let t = 0; t < counts[i + 1]; t++) {
          for (const s of readBy(layer, t, counts[i])) {
            if (lit !== (paths[i + 1][t] > 0 && paths[i][s] > 0)) continue;
            parts.push(`M${places[i][s].toFixed(1)} ${y(i)}L${places[i + 1][t].toFixed(1)} ${y(i + 1)}`);
          }
        }
      });
      return svg("path", { class: lit ? "lit" : "", d: parts.join("") });
    };
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("height", `${height}`);
    drawing.setAttribute("aria-label", description);
    drawing.replaceChildren(lines(false), lines(true));
    places.forEach((row, i) => {
      drawing.append(svg("text", { x: "0", y: `${y(i) - 13}` }, i ? layers[i - 1].name : "input"));
      row.forEach((x, t) => {
        const lit = paths[i][t] > 0;
        const isChosen = chosen[0] === i && chosen[1] === t;
        drawing.append(
          svg("circle", {
            class: isChosen ? "lit chosen" : lit ? "lit" : "",
            cx: x.toFixed(1),
            cy: `${y(i)}`,
            r: `${isChosen ? radius + 2 : lit ? radius : radius * 0.6}`,
          }),
        );
      });
    });
    centres = places[chosen[0]];
  }
  drawing.addEventListener("pointerdown", (event) => {
    const x = event.clientX - drawing.getBoundingClientRect().left;
    const distances = centres.map((centre) => Math.abs(centre - x));
    if (centres.length) choose(distances.indexOf(Math.min(...distances)));
  });
  new ResizeObserver(update).observe(holder);
  return { element: holder, update };
}
