// Convolution by its definition, as `throughtime.nn.functional` computes it.

/** Where the outputs stand, see `tt.nn.functional.convolve`. */
export type Mode = "same" | "valid" | "full" | "causal";

/** Return how many zeros stand before and after the signal. */
export function borders(size: number, mode: Mode, reversed: boolean): [left: number, right: number] {
  const reach = size - 1;
  const middle = reversed ? Math.ceil(reach / 2) : Math.floor(reach / 2);
  if (mode === "same") return [middle, reach - middle];
  if (mode === "valid") return [0, 0];
  return mode === "full" ? [reach, reach] : [reach, 0];
}

/** Σ_j g[j] · f[t − j + s]: the kernel is reversed. f is zero beyond its ends. */
export const convolve = (f: readonly number[], g: readonly number[], mode: Mode = "full"): number[] =>
  windowed(f, [...g].reverse(), borders(g.length, mode, true));

/** Σ_k g[k] · f[t + k − l]: what deep-learning layers compute. */
export const correlate = (f: readonly number[], g: readonly number[], mode: Mode = "full"): number[] =>
  windowed(f, g, borders(g.length, mode, false));

/** The banded Toeplitz matrix M of a kernel: M f is the convolution of f and g. */
export function convolutionMatrix(g: readonly number[], length: number, mode: Mode = "same"): number[][] {
  const [left] = borders(g.length, mode, true);
  const steps = convolve(Array(length).fill(0), g, mode).length;
  return Array.from({ length: steps }, (_, t) => Array.from({ length }, (_, u) => g[t - u + g.length - 1 - left] ?? 0));
}

export const add = (a: readonly number[], b: readonly number[]): number[] => a.map((value, i) => value + b[i]);
export const subtract = (a: readonly number[], b: readonly number[]): number[] => a.map((value, i) => value - b[i]);
export const scale = (factor: number, a: readonly number[]): number[] => a.map((value) => factor * value);
export const product = (matrix: readonly (readonly number[])[], f: readonly number[]): number[] =>
  matrix.map((row) => row.reduce((sum, weight, u) => sum + weight * f[u], 0));
/** The largest absolute value, 0 of none. */
export const largest = (values: readonly number[]): number => Math.max(0, ...values.map(Math.abs));

function windowed(f: readonly number[], weights: readonly number[], [left, right]: [number, number]): number[] {
  const steps = Math.max(0, f.length + left + right - weights.length + 1);
  return Array.from({ length: steps }, (_, t) =>
    weights.reduce((sum, weight, k) => sum + weight * (f[t + k - left] ?? 0), 0),
  );
}
