// How strongly each token acts on the final state of an RNN, LSTM or GRU: ‖∂L/∂x(t)‖ with L the sum of the final state.

import { gru, gruBackward, type GruForm } from "./gru";
import { add, type Matrix, norm, scaledMatrix, type Vector, zeros } from "./linear";
import { lstm, lstmBackward } from "./lstm";
import { random } from "./random";
import { atLastStep, rnn, rnnBackward } from "./rnn";
import { GATES } from "./parameters";

export type Cell = keyof typeof GATES;
export type Direction = "forward" | "backward" | "both";

export const HIDDEN = 16;
export const INPUTS = 4;
export const LONGEST = 100;

const PYTORCH: GruForm = { reset: "after", update: "old" };

export interface Options {
  seed: number;
  /** Factor of W_hh. */
  gain: number;
  /** Added to the bias of the gate that keeps the state: f of the LSTM, z of the GRU. */
  keep: number;
  direction: Direction;
}

/** Tokens, (LONGEST, INPUTS), normal. */
export function tokens(): Matrix {
  const source = random(99);
  return Array.from({ length: LONGEST }, () => Array.from({ length: INPUTS }, () => source.normal()));
}

/** Weights as PyTorch initialises them, uniform in ±1/√H: ih, hh and b in turn, row by row. */
export function initial(cell: Cell, seed: number, gain: number): { ih: Matrix; hh: Matrix; b: Vector } {
  const source = random(seed);
  const bound = 1 / Math.sqrt(HIDDEN);
  const draw = () => bound * (2 * source.uniform() - 1);
  const rows = GATES[cell] * HIDDEN;
  const matrix = (columns: number) => Array.from({ length: rows }, () => Array.from({ length: columns }, draw));
  const [ih, hh] = [matrix(INPUTS), matrix(HIDDEN)];
  return { ih, hh: scaledMatrix(hh, gain), b: Array.from({ length: rows }, draw) };
}

function gradients(cell: Cell, seed: number, { gain, keep }: Options, x: readonly Vector[]): Vector[] {
  const { ih, hh, b } = initial(cell, seed, gain);
  const none = zeros(HIDDEN);
  const direct = atLastStep(x.length, new Array<number>(HIDDEN).fill(1));
  // f of the LSTM and z of the GRU are both the second block.
  const biases = b.map((value, i) => (Math.floor(i / HIDDEN) === 1 ? value + keep : value));
  if (cell === "RNN") {
    const w = { hh, hx: ih, b };
    return rnnBackward(w, rnn(w, x, none), none, direct).x;
  }
  if (cell === "LSTM") {
    const w = { ih, hh, b: biases };
    const start = { h: none, c: none };
    return lstmBackward(w, lstm(w, x, start), start, direct).x;
  }
  const w = { ih, hh, bi: biases, bh: zeros(3 * HIDDEN) };
  return gruBackward(w, PYTORCH, gru(w, PYTORCH, x, none), none, direct).x;
}

/** Return ‖∂L/∂x(t)‖ by step. The backward direction has weights of its own, with the next seed. */
export function influence(cell: Cell, x: readonly Vector[], options: Options): number[] {
  const { seed, direction } = options;
  const nothing = x.map(() => zeros(INPUTS));
  const ahead = direction === "backward" ? nothing : gradients(cell, seed, options, x);
  const back = direction === "forward" ? nothing : gradients(cell, seed + 1, options, [...x].reverse()).reverse();
  return ahead.map((gradient, t) => norm(add(gradient, back[t])));
}
