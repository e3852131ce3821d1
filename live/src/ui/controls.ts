// Native inputs with a label and their value beside: they work with the keyboard and with screen readers.

import { h, unique } from "./dom";
import { format } from "./numbers";

export interface Control<T> {
  element: HTMLElement;
  value: T;
}

export interface Slider {
  label: string;
  min: number;
  max: number;
  step: number;
  value: number;
  /** Digits shown; those of the step unless given. */
  digits?: number;
  unit?: string;
}

/** A slider. Setting `value` moves it without calling `changed`. */
export function slider(options: Slider, changed: (value: number) => void): Control<number> {
  const { label, min, max, step, unit = "" } = options;
  const digits = options.digits ?? Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const id = unique("slider");
  const shown = h("output", { for: id });
  const input = h("input", { id, type: "range", min: `${min}`, max: `${max}`, step: `${step}` });
  const show = () => {
    shown.textContent = format(input.valueAsNumber, digits) + unit;
  };
  input.value = `${options.value}`;
  input.addEventListener("input", () => {
    show();
    changed(input.valueAsNumber);
  });
  show();
  return {
    element: h("div", { class: "control" }, h("label", { for: id }, label), input, shown),
    get value() {
      return input.valueAsNumber;
    },
    set value(value: number) {
      input.value = `${value}`;
      show();
    },
  };
}

/** A list of choices. */
export function choice<T extends string>(
  label: string,
  options: Readonly<Record<T, string>>,
  value: NoInfer<T>,
  changed: (value: T) => void,
): Control<T> {
  const id = unique("choice");
  const select = h("select", { id });
  for (const [name, text] of Object.entries<string>(options)) select.append(h("option", { value: name }, text));
  select.value = value;
  select.addEventListener("change", () => changed(select.value as T));
  return {
    element: h("div", { class: "control" }, h("label", { for: id }, label), select),
    get value() {
      return select.value as T;
    },
    set value(chosen: T) {
      select.value = chosen;
    },
  };
}

/** A checkbox. */
export function toggle(label: string, value: boolean, changed: (value: boolean) => void): Control<boolean> {
  const input = h("input", { type: "checkbox" });
  input.checked = value;
  input.addEventListener("change", () => changed(input.checked));
  return {
    element: h("label", { class: "control toggle" }, input, label),
    get value() {
      return input.checked;
    },
    set value(checked: boolean) {
      input.checked = checked;
    },
  };
}

export function button(label: string, pressed: () => void): HTMLButtonElement {
  return h("button", { type: "button", onclick: pressed }, label);
}

/** A position in first … last: a slider with buttons for one step back and on, and for running through. */
export function stepper(
  label: string,
  last: number,
  value: number,
  changed: (value: number) => void,
  first = 0,
): Control<number> & { last: number } {
  let timer = 0;
  const position = slider({ label, min: first, max: last, step: 1, value }, changed);
  const input = position.element.querySelector("input") as HTMLInputElement;
  const go = (to: number) => {
    position.value = Math.min(Math.max(to, first), Number(input.max));
    changed(position.value);
  };
  const stop = () => {
    window.clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  };
  const play = button("Play", () => {
    if (timer) return stop();
    if (position.value >= Number(input.max)) go(first);
    play.textContent = "Stop";
    timer = window.setInterval(() => {
      go(position.value + 1);
      if (position.value >= Number(input.max)) stop();
    }, 600);
  });
  const element = h(
    "div",
    { class: "stepper" },
    position.element,
    button("Back", () => go(position.value - 1)),
    button("Next", () => go(position.value + 1)),
    play,
  );
  return {
    element,
    get value() {
      return position.value;
    },
    set value(to: number) {
      position.value = to;
    },
    get last() {
      return Number(input.max);
    },
    set last(to: number) {
      input.max = `${to}`;
      position.value = Math.min(position.value, to);
    },
  };
}

/** Controls in a row that wraps. */
export function row(...controls: (Control<unknown> | HTMLElement)[]): HTMLElement {
  return h("div", { class: "controls" }, ...controls.map((each) => ("element" in each ? each.element : each)));
}
