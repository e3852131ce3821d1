// A 2×2 recurrent matrix with given eigenvalues, and what they say of the gradient.

import { type Matrix, scaledMatrix } from "./linear";

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

export type Outcome = "vanishes" | "explodes" | "persists";

/** What the spectral radius predicts for many steps. */
export const outcome = (radius: number): Outcome =>
  Math.abs(radius - 1) < 1e-9 ? "persists" : radius < 1 ? "vanishes" : "explodes";
