// The vanilla RNN: h(t) = φ(b + W_hh h(t−1) + W_hx x(t)), forward and backward through time.

import { add, type Matrix, outer, product, times, transposed, type Vector, zeros } from "./linear";

export type Activation = "tanh" | "linear";

export interface RnnWeights {
  /** (H, H) */
  hh: Matrix;
  /** (H, D) */
  hx: Matrix;
  /** (H,) */
  b: Vector;
}

/** Return h(1) … h(T). */
export function rnn(w: RnnWeights, x: readonly Vector[], h0: Vector, activation: Activation = "tanh"): Vector[] {
  let h = h0;
  return x.map((token) => {
    const a = add(w.b, add(product(w.hh, h), product(w.hx, token)));
    h = activation === "tanh" ? a.map(Math.tanh) : a;
    return h;
  });
}

export interface RnnGradients {
  /** ∂L/∂h(t), by way of this step's output and of all later steps. */
  h: Vector[];
  /** ∂L/∂a(t), with a(t) the argument of φ. */
  a: Vector[];
  /** ∂L/∂x(t) */
  x: Vector[];
  /** What step t adds to ∂L/∂W_hh: ∂L/∂a(t) h(t−1)ᵀ. */
  terms: Matrix[];
}

/**
 * Backpropagation through time.
 *
 * `direct[t]` is the gradient of the loss at h(t) by way of the output of step t alone.
 */
export function rnnBackward(
  w: RnnWeights,
  h: readonly Vector[],
  h0: Vector,
  direct: readonly Vector[],
  activation: Activation = "tanh",
): RnnGradients {
  const steps = h.length;
  const gradients: RnnGradients = { h: [], a: [], x: [], terms: [] };
  let later = zeros(h0.length);
  for (let t = steps - 1; t >= 0; t--) {
    const ofH = add(direct[t], later);
    const slope = activation === "tanh" ? h[t].map((value) => 1 - value * value) : h[t].map(() => 1);
    const ofA = times(ofH, slope);
    gradients.h[t] = ofH;
    gradients.a[t] = ofA;
    gradients.x[t] = transposed(w.hx, ofA);
    gradients.terms[t] = outer(ofA, t ? h[t - 1] : h0);
    later = transposed(w.hh, ofA);
  }
  return gradients;
}

/** A gradient of the last step alone: zero at every other step. */
export const atLastStep = (steps: number, gradient: Vector): Vector[] =>
  Array.from({ length: steps }, (_, t) => (t === steps - 1 ? gradient : zeros(gradient.length)));
