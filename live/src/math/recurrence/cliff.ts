// A recurrent network of one unit and two parameters whose loss has a cliff (Pascanu, Mikolov and Bengio 2013, figure 6):
// h(t) = σ(w h(t−1) + b), L = (h(T) − 0.7)².

import { norm, scaled, sigmoid, type Vector } from "./linear";

export const CLIFF = { steps: 8, initial: 0.5, target: 0.7 };

/** Return L and (∂L/∂w, ∂L/∂b). */
export function cliff([w, b]: readonly number[]): { loss: number; gradient: [number, number] } {
  const h = [CLIFF.initial];
  for (let t = 0; t < CLIFF.steps; t++) h.push(sigmoid(w * h[t] + b));
  const error = h[CLIFF.steps] - CLIFF.target;
  let ofH = 2 * error;
  const gradient: [number, number] = [0, 0];
  for (let t = CLIFF.steps; t > 0; t--) {
    const ofA = ofH * h[t] * (1 - h[t]);
    gradient[0] += ofA * h[t - 1];
    gradient[1] += ofA;
    ofH = ofA * w;
  }
  return { loss: error * error, gradient };
}

/** How a gradient is bounded before a step. */
export type Clip = "none" | "norm" | "value";

/** By norm: scaled down to length `limit`, in its direction. By value: every entry on its own. */
export function clipped(gradient: Vector, how: Clip, limit: number): Vector {
  if (how === "value") return gradient.map((value) => Math.min(limit, Math.max(-limit, value)));
  const size = norm(gradient);
  return how === "norm" && size > limit ? scaled(gradient, limit / size) : [...gradient];
}

/** Return the points of gradient descent from `start`, `steps` + 1 of them. */
export function descend(start: Vector, rate: number, how: Clip, limit: number, steps: number): Vector[] {
  const points = [start];
  for (let n = 0; n < steps; n++) {
    const step = clipped(cliff(points[n]).gradient, how, limit);
    points.push(points[n].map((value, i) => value - rate * step[i]));
  }
  return points;
}
