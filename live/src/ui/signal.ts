// A signal to draw: a handle for each value, moved by pointer or arrow keys (up and down; left and right for another).

import { h, svg, unique } from "./dom";
import { format } from "./numbers";

export interface SignalOptions {
  label: string;
  values: readonly number[];
  min: number;
  max: number;
  /** Arrow keys move a value by it. */
  step?: number;
  height?: number;
  /** Name of value i, such as "x[3]". */
  name?: (i: number) => string;
}

export interface SignalEditor {
  element: HTMLElement;
  values: number[];
}

/** An editor of a signal. Pointing between the handles draws a line of values. Setting `values` does not call `changed`. */
export function signalEditor(options: SignalOptions, changed: (values: number[]) => void): SignalEditor {
  const { label, min, max, step = (max - min) / 20, height = 130, name = (i: number) => `${label} ${i}` } = options;
  let values = [...options.values];
  const space = 40;
  const id = unique("signal");
  const drawing = svg("svg", { class: "signal", role: "group", "aria-labelledby": id });
  const y = (value: number) => 12 + (height - 24) * (1 - (value - min) / (max - min));
  let handles: SVGElement[] = [];

  const place = (i: number) => {
    const [stem, dot, text] = [...handles[i].children] as SVGElement[];
    stem.setAttribute("y2", `${y(values[i])}`);
    dot.setAttribute("cy", `${y(values[i])}`);
    text.setAttribute("y", `${y(values[i]) + (values[i] < 0 ? 20 : -11)}`);
    text.textContent = format(values[i], 1);
    handles[i].setAttribute("aria-valuenow", `${values[i]}`);
    handles[i].setAttribute("aria-valuetext", format(values[i], 2));
  };
  const set = (i: number, value: number) => {
    values[i] = Math.round(Math.min(max, Math.max(min, value)) / step) * step;
    place(i);
    changed([...values]);
  };
  const build = () => {
    drawing.setAttribute("viewBox", `0 0 ${space * values.length} ${height}`);
    drawing.style.maxWidth = `${space * values.length}px`;
    handles = values.map((value, i) => {
      const x = space * (i + 0.5);
      return svg(
        "g",
        {
          class: "handle",
          role: "slider",
          tabindex: i ? "-1" : "0",
          "aria-label": name(i),
          "aria-orientation": "vertical",
          "aria-valuemin": `${min}`,
          "aria-valuemax": `${max}`,
          "aria-valuenow": `${value}`,
          onfocus: () => {
            // One stop of the tab key for the whole signal.
            handles.forEach((handle, other) => handle.setAttribute("tabindex", other === i ? "0" : "-1"));
          },
          onkeydown: (event) => {
            const { key } = event as KeyboardEvent;
            const to = { ArrowUp: values[i] + step, ArrowDown: values[i] - step, Home: min, End: max }[key];
            const neighbour = { ArrowLeft: handles[i - 1], ArrowRight: handles[i + 1] }[key];
            if (to === undefined && !neighbour) return;
            event.preventDefault();
            neighbour?.focus();
            if (to !== undefined) set(i, to);
          },
        },
        svg("line", { x1: `${x}`, x2: `${x}`, y1: `${y(0)}` }),
        svg("circle", { cx: `${x}`, r: "7" }),
        svg("text", { x: `${x}` }),
      );
    });
    drawing.replaceChildren(
      svg("line", { class: "zero", x1: "0", x2: `${space * values.length}`, y1: `${y(0)}`, y2: `${y(0)}` }),
      ...handles,
    );
    values.forEach((_, i) => place(i));
  };
  const drag = (event: PointerEvent) => {
    const box = drawing.getBoundingClientRect();
    const i = Math.floor(((event.clientX - box.left) / box.width) * values.length);
    if (i < 0 || i >= values.length) return;
    const position = ((event.clientY - box.top) / box.height) * height;
    set(i, min + (max - min) * (1 - (position - 12) / (height - 24)));
  };
  drawing.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    drawing.setPointerCapture(event.pointerId);
    drag(event);
  });
  drawing.addEventListener("pointermove", (event) => {
    if (drawing.hasPointerCapture(event.pointerId)) drag(event);
  });
  build();
  return {
    element: h("div", { class: "signal-editor" }, h("p", { id, class: "label" }, label), drawing),
    get values() {
      return [...values];
    },
    set values(next: number[]) {
      const same = next.length === values.length;
      values = [...next];
      if (same) values.forEach((_, i) => place(i));
      else build();
    },
  };
}
