// Signals and kernels to choose from.

import { choice, slider, type Control } from "../ui/controls";
import { signalEditor, type SignalEditor } from "../ui/signal";

const LENGTH = 12;
const steps = <T>(value: (t: number) => T): T[] => Array.from({ length: LENGTH }, (_, t) => value(t));

/** Signals of twelve steps between −2 and 2. */
export const SIGNALS = {
  pulse: [0, 0, 1, 1, 1, 0, 0, -1, 0, 0, 0.5, 0],
  spike: steps((t) => (t === 4 ? 1 : 0)),
  step: steps((t) => (t < 5 ? 0 : 1)),
  wave: steps((t) => Math.round(10 * Math.sin((2 * Math.PI * t) / 8)) / 10),
  noisy: [0.3, -0.4, 0.2, 1.5, 0.7, 1.3, 0.8, 1.6, -0.3, 0.2, -0.2, 0.4],
};

export const KERNELS = {
  asymmetric: [1, 0.5, -1],
  average: [1 / 3, 1 / 3, 1 / 3],
  gaussian: [1, 4, 6, 4, 1].map((weight) => weight / 16),
  difference: [1, -1],
  edge: [0.5, 0, -0.5],
  corner: [1, -2, 1],
  delay: [0, 0, 1],
};

export const KERNEL_NAMES = {
  asymmetric: "asymmetric",
  average: "moving average of 3",
  gaussian: "Gaussian of 5",
  difference: "difference to the step before",
  edge: "edge: slope around t",
  corner: "corner: 1, −2, 1",
  delay: "delay by one step",
  own: "your own",
};

const SIGNAL_NAMES = {
  pulse: "pulses",
  spike: "a single spike",
  step: "a step",
  wave: "a wave",
  noisy: "a noisy block",
  own: "your own",
};

export interface Drawn {
  /** The choice of presets. */
  choice: Control<string>;
  editor: SignalEditor;
}

/** A signal to draw or to choose. */
export function signalWithPresets(
  name: string,
  label: string,
  value: keyof typeof SIGNALS,
  changed: () => void,
): Drawn {
  const presets = choice(`${label}: preset`, SIGNAL_NAMES, value, (chosen) => {
    if (chosen !== "own") editor.values = SIGNALS[chosen];
    changed();
  });
  const editor = signalEditor({ label, values: SIGNALS[value], min: -2, max: 2, name: (i) => `${name}[${i}]` }, () => {
    presets.value = "own";
    changed();
  });
  return { choice: presets, editor };
}

/** A kernel of 1 to `longest` steps to draw or to choose. */
export function kernelWithPresets(
  name: string,
  value: keyof typeof KERNELS,
  changed: () => void,
  longest = 7,
): Drawn & { size: Control<number> } {
  const presets = choice("kernel: preset", KERNEL_NAMES, value, (chosen) => {
    if (chosen !== "own") editor.values = KERNELS[chosen];
    size.value = editor.values.length;
    changed();
  });
  const editor = signalEditor(
    { label: `kernel ${name}`, values: KERNELS[value], min: -2, max: 2, name: (i) => `${name}[${i}]` },
    () => {
      presets.value = "own";
      changed();
    },
  );
  const size = slider(
    { label: "kernel size", min: 1, max: longest, step: 1, value: editor.values.length },
    (length) => {
      presets.value = "own";
      editor.values = Array.from({ length }, (_, i) => editor.values[i] ?? 0);
      changed();
    },
  );
  return { choice: presets, editor, size };
}
