// Pooling, as `tt.nn.MaxPool1d`, `tt.nn.AvgPool1d` and `tt.nn.Pool` compute it.

export type Kind = "max" | "mean";

export interface Window {
  first: number;
  last: number;
  /** The step whose value is the output; −1 where the mean of all is. */
  winner: number;
  value: number;
}

/** The windows that lie in the signal, the first of which begins at step 0. Of equal values the first is the winner. */
export function pool(f: readonly number[], kind: Kind, size: number, stride: number): Window[] {
  const count = f.length < size ? 0 : Math.floor((f.length - size) / stride) + 1;
  return Array.from({ length: count }, (_, t) => window(f, kind, t * stride, t * stride + size - 1));
}

/** One output for the whole signal. */
export const poolAll = (f: readonly number[], kind: Kind): Window => window(f, kind, 0, f.length - 1);

/** Largest value of three neighbours; f is zero beyond its ends. */
export const maxOfThree = (f: readonly number[]): number[] =>
  f.map((value, t) => Math.max(f[t - 1] ?? 0, value, f[t + 1] ?? 0));

/** The signal s steps later; what leaves at its end comes back at its beginning. */
export const rotate = (f: readonly number[], s: number): number[] =>
  f.map((_, t) => f[(((t - s) % f.length) + f.length) % f.length]);

function window(f: readonly number[], kind: Kind, first: number, last: number): Window {
  const values = f.slice(first, last + 1);
  if (kind === "mean") {
    return { first, last, winner: -1, value: values.reduce((a, b) => a + b, 0) / values.length };
  }
  const value = Math.max(...values);
  return { first, last, winner: first + values.indexOf(value), value };
}
