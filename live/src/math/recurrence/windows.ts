// Truncated backpropagation through time, BPTT(k2; k1), as `throughtime.bptt.windows` cuts a sequence.

import { type Matrix, sumMatrices, type Vector, zeros } from "./linear";
import { type Activation, rnnBackward, type RnnWeights } from "./rnn";

export interface Window {
  /** The first step, the first whose loss counts, and the step after the last; from 0. */
  start: number;
  scored: number;
  stop: number;
}

/** Windows of k2 steps, one every k1 steps; the loss of a window is that of its last k1 steps. */
export function windows(length: number, k1: number, k2: number): Window[] {
  return Array.from({ length: Math.ceil(length / k1) }, (_, n) => ({
    start: Math.max(0, (n + 1) * k1 - k2),
    scored: n * k1,
    stop: Math.min((n + 1) * k1, length),
  }));
}

/**
 * Return by [s][t], t ≤ s, what step t adds to ∂L(s)/∂W_hh, with L(s) the loss of step s.
 *
 * `direct[s]` is ∂L(s)/∂h(s). Their sum over all s and t is the gradient; windows leave some of them out.
 */
export function pairTerms(
  w: RnnWeights,
  h: readonly Vector[],
  h0: Vector,
  direct: readonly Vector[],
  activation: Activation,
): Matrix[][] {
  return direct.map((gradient, s) => {
    const only = Array.from({ length: s + 1 }, (_, t) => (t === s ? gradient : zeros(h0.length)));
    return rnnBackward(w, h.slice(0, s + 1), h0, only, activation).terms;
  });
}

/** Whether the windows keep the term of loss s and step t. */
export const isKept = (cut: readonly Window[], s: number, t: number): boolean =>
  cut.some((window) => window.scored <= s && s < window.stop && window.start <= t && t <= s);

/** Sum of the terms that `keep` is true for. */
export const sumOfTerms = (terms: readonly Matrix[][], size: number, keep: (s: number, t: number) => boolean): Matrix =>
  sumMatrices(
    terms.flatMap((line, s) => line.filter((_, t) => keep(s, t))),
    size,
    size,
  );
