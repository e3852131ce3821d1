// Convolution, batch normalisation, activation, pooling and dropout of a batch of sequences with one feature, as
// `tt.nn.ConvBlock` computes them in training.

import { correlate } from "./convolution";
import { pool } from "./convolution-pooling";

export type Activation = "none" | "relu" | "tanh";

/** As `torch.nn.BatchNorm1d` has it. */
const EPSILON = 1e-5;

export interface Statistics {
  tokens: number;
  mean: number;
  variance: number;
}

export interface Block {
  /** Undefined: no convolution. */
  kernel?: readonly number[];
  norm: boolean;
  activation: Activation;
  /** Steps of a window of max pooling; 1 for none. */
  pool: number;
  /** Whether value t of sequence i is kept, and the probability that it is not; undefined: no dropout. */
  dropout?: { kept: readonly (readonly boolean[])[]; p: number };
}

export type Batch = readonly (readonly number[])[];

export function statistics(batch: Batch): Statistics {
  const values = batch.flat();
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { tokens: values.length, mean, variance };
}

/** (x − mean) / √(variance + ε), with a learned scale of 1 and a shift of 0. */
export const normalize = (batch: Batch, { mean, variance }: Statistics): number[][] =>
  batch.map((sequence) => sequence.map((value) => (value - mean) / Math.sqrt(variance + EPSILON)));

/** The sequences with zeros up to the length of the longest. */
export function padded(batch: Batch): number[][] {
  const longest = Math.max(...batch.map((sequence) => sequence.length));
  return batch.map((sequence) => Array.from({ length: longest }, (_, t) => sequence[t] ?? 0));
}

/** Cross-correlation that keeps the lengths. */
export const convolved = (batch: Batch, kernel: readonly number[]): number[][] =>
  batch.map((sequence) => correlate(sequence, kernel, "same"));

const ACTIVATIONS: Record<Exclude<Activation, "none">, [name: string, apply: (value: number) => number]> = {
  relu: ["ReLU", (value) => Math.max(0, value)],
  tanh: ["tanh", Math.tanh],
};

/** Return the batch after each part that there is, by the part's name. */
export function block(batch: Batch, parts: Block): Map<string, number[][]> {
  const after = new Map<string, number[][]>();
  let x = batch.map((sequence) => [...sequence]);
  const add = (name: string, next: number[][]) => after.set(name, (x = next));
  if (parts.kernel) add("convolution", convolved(x, parts.kernel));
  if (parts.norm) add("batch norm", normalize(x, statistics(x)));
  if (parts.activation !== "none") {
    const [name, apply] = ACTIVATIONS[parts.activation];
    add(
      name,
      x.map((sequence) => sequence.map(apply)),
    );
  }
  if (parts.pool > 1)
    add(
      "max pooling",
      x.map((sequence) => pool(sequence, "max", parts.pool, parts.pool).map(({ value }) => value)),
    );
  const { dropout } = parts;
  if (dropout) {
    add(
      "dropout",
      x.map((sequence, i) => sequence.map((value, t) => (dropout.kept[i][t] ? value / (1 - dropout.p) : 0))),
    );
  }
  return after;
}
