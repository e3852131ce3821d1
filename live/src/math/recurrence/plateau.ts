// A gradient that vanished, beside a minimum: h(t) = tanh(w h(t−1) + x(t)), with one weight w and the output h(T).

import { random } from "./random";

/** The target is set by the first token, or by the last one with noise. */
export type Target = "first" | "last";

export interface Data {
  x: number[][];
  y: number[];
}

export const SEQUENCES = 256;
export const LENGTH = 12;

/** A gradient below this share of the largest of its sequence does not count as reaching a step. */
export const UNREACHED = 0.01;
/** Steps count if they explain this share of the error of a constant output. */
export const MATTERS = 0.05;
/** A change below this share of the output's spread counts as none. */
export const UNUSED = 0.1;
/** A gradient below this counts as zero. */
export const FLAT = 0.01;

export function data(target: Target): Data {
  const source = random(target === "first" ? 1 : 2);
  const x: number[][] = [];
  const y: number[] = [];
  for (let b = 0; b < SEQUENCES; b++) {
    const sign = source.uniform() < 0.5 ? -1 : 1;
    const tokens = Array.from({ length: LENGTH }, () => source.normal());
    const noise = source.normal();
    if (target === "first") {
      x.push(tokens.map((token, t) => (t ? 0.05 * token : sign)));
      y.push(0.85 * sign);
    } else {
      x.push(tokens.map((token) => 0.7 * token));
      y.push(Math.tanh(0.7 * tokens[LENGTH - 1]) + 0.5 * noise);
    }
  }
  return { x, y };
}

function outputs(w: number, x: readonly number[][]): number[] {
  return x.map((tokens) => tokens.reduce((h, token) => Math.tanh(w * h + token), 0));
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const meanSquare = (values: readonly number[]) => mean(values.map((value) => value * value));

export const lossAt = (w: number, { x, y }: Data): number => meanSquare(outputs(w, x).map((o, b) => o - y[b]));

export interface Measured {
  loss: number;
  /** ∂L/∂w */
  slope: number;
  /** By step: |∂L/∂x(t)| over the largest of the sequence, the mean over sequences. */
  reach: number[];
  /** By step: the share of the error of a constant output that a direct connection from x(t) would explain. */
  explained: number[];
  /** Change of the output when the unreached steps are exchanged between sequences, over its spread. */
  moved: number;
}

export function measure(w: number, { x, y }: Data): Measured {
  let slope = 0;
  const reach = new Array<number>(LENGTH).fill(0);
  const errors: number[] = [];
  x.forEach((tokens, b) => {
    const h = [0];
    for (const token of tokens) h.push(Math.tanh(w * h[h.length - 1] + token));
    const error = h[LENGTH] - y[b];
    errors.push(error);
    let ofH = (2 * error) / x.length;
    const ofX = new Array<number>(LENGTH);
    for (let t = LENGTH; t > 0; t--) {
      const ofA = ofH * (1 - h[t] ** 2);
      slope += ofA * h[t - 1];
      ofX[t - 1] = Math.abs(ofA);
      ofH = ofA * w;
    }
    const largest = Math.max(...ofX, Number.MIN_VALUE);
    ofX.forEach((value, t) => (reach[t] += value / largest / x.length));
  });
  const output = outputs(w, x);
  const middle = mean(output);
  const atConstant = meanSquare(y.map((value) => middle - value));
  const explained = reach.map(
    (_, t) =>
      explainedBy(
        x.map((tokens) => tokens[t]),
        errors,
      ) / atConstant,
  );
  const exchanged = x.map((tokens, b) =>
    tokens.map((token, t) => (reach[t] < UNREACHED ? x[(b + 1) % x.length][t] : token)),
  );
  const change = outputs(w, exchanged).map((value, b) => value - output[b]);
  const spread = Math.sqrt(meanSquare(output.map((value) => value - middle)));
  return { loss: meanSquare(errors), slope, reach, explained, moved: Math.sqrt(meanSquare(change)) / spread };
}

/** The mean square that the best line in x removes from the errors. */
function explainedBy(x: readonly number[], errors: readonly number[]): number {
  const [meanX, meanE] = [mean(x), mean(errors)];
  const covariance = mean(x.map((value, b) => (value - meanX) * (errors[b] - meanE)));
  return covariance ** 2 / meanSquare(x.map((value) => value - meanX));
}

export type Verdict = "descending" | "vanished" | "minimum";

/** A small gradient is a minimum unless the loss depends on steps that it does not reach and the network does not use. */
export function verdictOf({ slope, reach, explained, moved }: Measured): Verdict {
  const lost = reach.some((value, t) => value < UNREACHED && explained[t] >= MATTERS) && moved <= UNUSED;
  return lost ? "vanished" : Math.abs(slope) > FLAT ? "descending" : "minimum";
}

/** Gradient descent on w. */
export function descendFrom(w: number, from: Data, rate: number, steps: number): number {
  for (let n = 0; n < steps; n++) w -= rate * measureSlope(w, from);
  return w;
}

function measureSlope(w: number, { x, y }: Data): number {
  let slope = 0;
  x.forEach((tokens, b) => {
    let [h, ofW] = [0, 0];
    for (const token of tokens) {
      const next = Math.tanh(w * h + token);
      ofW = (1 - next * next) * (h + w * ofW);
      h = next;
    }
    slope += (2 * (h - y[b]) * ofW) / x.length;
  });
  return slope;
}
