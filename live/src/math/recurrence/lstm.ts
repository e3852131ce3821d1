// The LSTM: four gates, the cell state c and the hidden state h, forward and backward through time.

import { add, type Matrix, product, sigmoid, times, transposed, type Vector, zeros } from "./linear";

/** Row blocks i, f, g, o, as in PyTorch. */
export interface LstmWeights {
  /** (4·H, D) */
  ih: Matrix;
  /** (4·H, H) */
  hh: Matrix;
  /** (4·H,) */
  b: Vector;
}

export interface LstmStep {
  i: Vector;
  f: Vector;
  g: Vector;
  o: Vector;
  c: Vector;
  h: Vector;
  /** The arguments of the gates' activations, (4·H,). */
  before: Vector;
}

export interface LstmState {
  h: Vector;
  c: Vector;
}

/** Return every gate and state of every step. */
export function lstm(w: LstmWeights, x: readonly Vector[], initial: LstmState): LstmStep[] {
  const size = initial.h.length;
  let { h, c } = initial;
  return x.map((token) => {
    const before = add(w.b, add(product(w.ih, token), product(w.hh, h)));
    const [i, f, g, o] = [0, 1, 2, 3].map((gate) =>
      before.slice(gate * size, (gate + 1) * size).map(gate === 2 ? Math.tanh : sigmoid),
    );
    c = add(times(f, c), times(i, g));
    h = times(o, c.map(Math.tanh));
    return { i, f, g, o, c, h, before };
  });
}

export interface LstmGradients {
  /** ∂L/∂h(t) */
  h: Vector[];
  /** ∂L/∂c(t) */
  c: Vector[];
  /** The part of ∂L/∂c(t) that came along the cell states, f(t+1) ⊙ ∂L/∂c(t+1). */
  along: Vector[];
  /** The rest of ∂L/∂c(t), which came through h(t). */
  through: Vector[];
  /** ∂L/∂x(t) */
  x: Vector[];
}

/** Backpropagation through time; `direct[t]` is the gradient at h(t) by way of the output of step t alone. */
export function lstmBackward(
  w: LstmWeights,
  steps: readonly LstmStep[],
  initial: LstmState,
  direct: readonly Vector[],
): LstmGradients {
  const size = initial.h.length;
  const gradients: LstmGradients = { h: [], c: [], along: [], through: [], x: [] };
  let laterH = zeros(size);
  let along = zeros(size);
  for (let t = steps.length - 1; t >= 0; t--) {
    const { i, f, g, o, c } = steps[t];
    const previous = t ? steps[t - 1].c : initial.c;
    const ofH = add(direct[t], laterH);
    const through = ofH.map((value, k) => value * o[k] * (1 - Math.tanh(c[k]) ** 2));
    const ofC = add(along, through);
    const before = [
      ...ofC.map((value, k) => value * g[k] * i[k] * (1 - i[k])),
      ...ofC.map((value, k) => value * previous[k] * f[k] * (1 - f[k])),
      ...ofC.map((value, k) => value * i[k] * (1 - g[k] ** 2)),
      ...ofH.map((value, k) => value * Math.tanh(c[k]) * o[k] * (1 - o[k])),
    ];
    gradients.h[t] = ofH;
    gradients.c[t] = ofC;
    gradients.along[t] = along;
    gradients.through[t] = through;
    gradients.x[t] = transposed(w.ih, before);
    laterH = transposed(w.hh, before);
    along = times(f, ofC);
  }
  return gradients;
}
