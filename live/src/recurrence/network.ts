// The RNN of two units that several sections share as their start, and the sliders of its weights.

import type { RnnWeights } from "../math/recurrence/rnn";
import type { Matrix, Vector } from "../math/recurrence/linear";
import { h } from "../ui/dom";
import { biases, weights } from "../ui/weights";

export const RNN: RnnWeights = {
  hh: [
    [0.6, -0.4],
    [0.5, 0.7],
  ],
  hx: [[1], [-0.5]],
  b: [0, 0.1],
};
export const READOUT: { oh: Matrix; b: Vector } = {
  oh: [
    [1.5, -0.5],
    [-1, 1],
  ],
  b: [0, 0.2],
};
const UNITS = ["unit 1", "unit 2"];

export interface NetworkSliders {
  element: HTMLElement;
  readonly rnn: RnnWeights;
  readonly readout: { oh: Matrix; b: Vector };
}

/** Sliders for W_hh, W_hx, b_h, and those of the read-out. */
export function networkSliders(changed: () => void): NetworkSliders {
  const named = (symbol: string) => (i: number, j: number) => `${symbol}[${i + 1}][${j + 1}]`;
  const hh = weights(
    { label: "W_{hh}", name: named("W_hh"), values: RNN.hh, rowNames: UNITS, columnNames: ["h_{1}", "h_{2}"] },
    changed,
  );
  const hx = weights({ label: "W_{hx}", name: named("W_hx"), values: RNN.hx, columnNames: ["x"] }, changed);
  const b = biases({ label: "b_{h}", symbol: "b_h", values: RNN.b, columnNames: ["1"] }, changed);
  const oh = weights(
    {
      label: "W_{oh}",
      name: named("W_oh"),
      values: READOUT.oh,
      rowNames: ["class A", "class B"],
      columnNames: ["h_{1}", "h_{2}"],
    },
    changed,
  );
  const bo = biases({ label: "b_{o}", symbol: "b_o", values: READOUT.b, columnNames: ["1"] }, changed);
  return {
    element: h("div", { class: "matrices" }, ...[hh, hx, b, oh, bo].map(({ element }) => element)),
    get rnn() {
      return { hh: hh.value, hx: hx.value, b: b.value };
    },
    get readout() {
      return { oh: oh.value, b: bo.value };
    },
  };
}
