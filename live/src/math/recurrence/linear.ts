// Vectors and small matrices as arrays, in float64.

export type Vector = number[];
export type Matrix = number[][];

export const zeros = (n: number): Vector => new Array<number>(n).fill(0);
export const zeroMatrix = (rows: number, columns: number): Matrix => Array.from({ length: rows }, () => zeros(columns));
export const add = (a: readonly number[], b: readonly number[]): Vector => a.map((value, i) => value + b[i]);
export const scaled = (a: readonly number[], factor: number): Vector => a.map((value) => factor * value);
export const times = (a: readonly number[], b: readonly number[]): Vector => a.map((value, i) => value * b[i]);
export const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * b[i], 0);
export const norm = (a: readonly number[]): number => Math.hypot(...a);
/** W x. */
export const product = (w: readonly Vector[], x: readonly number[]): Vector => w.map((line) => dot(line, x));
/** Wᵀ x. */
export const transposed = (w: readonly Vector[], x: readonly number[]): Vector =>
  Array.from({ length: w[0]?.length ?? 0 }, (_, j) => w.reduce((sum, line, i) => sum + line[j] * x[i], 0));
/** a bᵀ. */
export const outer = (a: readonly number[], b: readonly number[]): Matrix => a.map((value) => scaled(b, value));
export const addMatrix = (a: readonly Vector[], b: readonly Vector[]): Matrix => a.map((line, i) => add(line, b[i]));
export const scaledMatrix = (a: readonly Vector[], factor: number): Matrix => a.map((line) => scaled(line, factor));
/** Sum of matrices of one shape. */
export const sumMatrices = (terms: readonly Matrix[], rows: number, columns: number): Matrix =>
  terms.reduce((sum, term) => addMatrix(sum, term), zeroMatrix(rows, columns));
/** Square root of the sum of squares. */
export const frobenius = (a: readonly Vector[]): number => norm(a.flat());

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Singular values of a 2×2 matrix, the largest first. */
export function singularValues([[a, b], [c, d]]: Matrix): [number, number] {
  // Of the rotation part and the reflection part of the matrix: σ₁ is their sum, and σ₁ σ₂ = |det|.
  const largest = Math.hypot(a + d, c - b) / 2 + Math.hypot(a - d, c + b) / 2;
  return [largest, largest && Math.abs(a * d - b * c) / largest];
}

/** A complex number. */
export interface Complex {
  re: number;
  im: number;
}

/** Eigenvalues of a 2×2 matrix, the largest in absolute value first. */
export function eigenvalues([[a, b], [c, d]]: Matrix): [Complex, Complex] {
  const mean = (a + d) / 2;
  const square = ((a - d) / 2) ** 2 + b * c;
  const root = Math.sqrt(Math.abs(square));
  if (square < 0)
    return [
      { re: mean, im: root },
      { re: mean, im: -root },
    ];
  const pair: [Complex, Complex] = [
    { re: mean + root, im: 0 },
    { re: mean - root, im: 0 },
  ];
  return mean < 0 ? [pair[1], pair[0]] : pair;
}
