// A 2×2 recurrent matrix with given eigenvalues, and what they say of the gradient.

import { eigenvalues, type Matrix, scaledMatrix } from "./linear";

/** A pair ρ e^{±iθ}, or two real eigenvalues ρ and q·ρ. */
export type Kind = "pair" | "real";

/**
 * Return ρ·M, where M has the eigenvalues e^{±iθ}, or 1 and q.
 *
 * `shear` makes M non-normal: its largest singular value grows with it, its eigenvalues do not change.
 */
export function recurrentMatrix(kind: Kind, radius: number, angle: number, ratio: number, shear: number): Matrix {
  if (kind === "real")
    return scaledMatrix(
      [
        [1, -shear],
        [0, ratio],
      ],
      radius,
    );
  const sine = Math.sin(angle);
  const upper = shear + sine;
  // The product of both off-diagonal entries is −sin²θ, whatever the shear.
  const lower = upper > 0 ? sine ** 2 / upper : 0;
  return scaledMatrix(
    [
      [Math.cos(angle), -upper],
      [lower, Math.cos(angle)],
    ],
    radius,
  );
}

/** Whether a 2×2 matrix has only one eigenvector: a Jordan block, whose N-th power grows as N ρ^N. */
export function isDefective(w: Matrix): boolean {
  const [first, second] = eigenvalues(w);
  const equal = Math.hypot(first.re - second.re, first.im - second.im) < 1e-9;
  return equal && Math.max(Math.abs(w[0][1]), Math.abs(w[1][0])) > 1e-9;
}

export type Outcome = "vanishes" | "explodes" | "persists" | "grows linearly";

/** What the eigenvalues and eigenvectors predict for many steps; `radius` is the spectral radius of `w`. */
export function outcome(w: Matrix, radius: number): Outcome {
  if (Math.abs(radius - 1) < 1e-9) return isDefective(w) ? "grows linearly" : "persists";
  return radius < 1 ? "vanishes" : "explodes";
}
