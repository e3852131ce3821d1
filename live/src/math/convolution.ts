// Convolution by its definition, as `throughtime.nn.functional` computes it.

/** Which part of the full result is kept, see `tt.nn.functional.convolve`. */
export type Mode = "full" | "same" | "valid";

/** Σ_j g[j] · f[t − j]: the kernel is flipped. Full length f + g − 1. */
export function convolve(f: readonly number[], g: readonly number[]): number[] {
  return Array.from({ length: f.length + g.length - 1 }, (_, t) =>
    g.reduce((sum, weight, j) => sum + weight * (f[t - j] ?? 0), 0),
  );
}

/** Σ_j g[j] · f[t + j]: what deep-learning layers compute. */
export const correlate = (f: readonly number[], g: readonly number[]): number[] => convolve(f, [...g].reverse());
