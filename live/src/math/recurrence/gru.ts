// The GRU in all its variants: the reset gate before or after the product, z as the weight of the new or the old value.

import { add, type Matrix, product, sigmoid, times, transposed, type Vector, zeros } from "./linear";

/** Row blocks r, z, n, as in PyTorch. */
export interface GruWeights {
  /** (3·H, D) */
  ih: Matrix;
  /** (3·H, H) */
  hh: Matrix;
  /** (3·H,) of the products with x and with h. */
  bi: Vector;
  bh: Vector;
}

export interface GruForm {
  /** Whether r multiplies h(t−1), or the product U h(t−1). */
  reset: "before" | "after";
  /** Which value z is the weight of. */
  update: "new" | "old";
}

export interface GruStep {
  r: Vector;
  z: Vector;
  n: Vector;
  h: Vector;
  /** With the reset gate after the product: U h(t−1) + b. */
  recurrent: Vector;
}

/** Return every gate and state of every step; `context` (3·H,) is added to what the gates get of each token. */
export function gru(
  w: GruWeights,
  form: GruForm,
  x: readonly Vector[],
  h0: Vector,
  context: Vector = zeros(w.bi.length),
): GruStep[] {
  const size = h0.length;
  const rows = (m: Matrix, first: number, last: number) => m.slice(first * size, last * size);
  const offset = add(w.bi, context);
  let h = h0;
  return x.map((token) => {
    const fromX = add(offset, product(w.ih, token));
    const gates = add(fromX.slice(0, 2 * size), add(w.bh.slice(0, 2 * size), product(rows(w.hh, 0, 2), h))).map(
      sigmoid,
    );
    const [r, z] = [gates.slice(0, size), gates.slice(size)];
    const bias = w.bh.slice(2 * size);
    const recurrent = add(bias, product(rows(w.hh, 2, 3), form.reset === "before" ? times(r, h) : h));
    const n = add(fromX.slice(2 * size), form.reset === "before" ? recurrent : times(r, recurrent)).map(Math.tanh);
    h = h.map((old, k) => (form.update === "new" ? (1 - z[k]) * old + z[k] * n[k] : z[k] * old + (1 - z[k]) * n[k]));
    return { r, z, n, h, recurrent };
  });
}

export interface GruGradients {
  /** ∂L/∂h(t) */
  h: Vector[];
  /** ∂L/∂x(t) */
  x: Vector[];
}

/** Backpropagation through time; `direct[t]` is the gradient at h(t) by way of the output of step t alone. */
export function gruBackward(
  w: GruWeights,
  form: GruForm,
  steps: readonly GruStep[],
  h0: Vector,
  direct: readonly Vector[],
): GruGradients {
  const size = h0.length;
  const ofGates = w.hh.slice(0, 2 * size);
  const ofCandidate = w.hh.slice(2 * size);
  const gradients: GruGradients = { h: [], x: [] };
  let later = zeros(size);
  for (let t = steps.length - 1; t >= 0; t--) {
    const { r, z, n, recurrent } = steps[t];
    const previous = t ? steps[t - 1].h : h0;
    const ofH = add(direct[t], later);
    const isNew = form.update === "new";
    const weight = isNew ? z : z.map((value) => 1 - value);
    const preN = ofH.map((value, k) => value * weight[k] * (1 - n[k] ** 2));
    const preZ = ofH.map((value, k) => value * (isNew ? 1 : -1) * (n[k] - previous[k]) * z[k] * (1 - z[k]));
    // Before the product r scales h(t−1), after it the product.
    const ofProduct = form.reset === "before" ? preN : times(preN, r);
    const ofInput = transposed(ofCandidate, ofProduct);
    const ofR = form.reset === "before" ? times(ofInput, previous) : times(preN, recurrent);
    const preR = ofR.map((value, k) => value * r[k] * (1 - r[k]));
    const before = [...preR, ...preZ, ...preN];
    gradients.h[t] = ofH;
    gradients.x[t] = transposed(w.ih, before);
    later = add(
      transposed(ofGates, before.slice(0, 2 * size)),
      add(
        form.reset === "before" ? times(ofInput, r) : ofInput,
        ofH.map((value, k) => value * (1 - weight[k])),
      ),
    );
  }
  return gradients;
}
