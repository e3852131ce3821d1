// The general recurrent network: h(t) = f(h(t−1), x(t)), o(t) = g(h(t)), for states of one number.

import { sigmoid } from "./linear";

export interface Transition {
  equation: string;
  of: (h: number, x: number) => number;
}

export const TRANSITIONS = {
  average: { equation: "½ h + ½ x", of: (h, x) => h / 2 + x / 2 },
  sum: { equation: "h + x", of: (h, x) => h + x },
  maximum: { equation: "max(h, x)", of: (h, x) => Math.max(h, x) },
  tanh: { equation: "tanh(0.9 h + x)", of: (h, x) => Math.tanh(0.9 * h + x) },
  parity: { equation: "1 − h if x > ½, else h", of: (h, x) => (x > 0.5 ? 1 - h : h) },
} satisfies Record<string, Transition>;

export const READOUTS = {
  identity: { equation: "h", of: (h: number) => h },
  square: { equation: "h²", of: (h: number) => h * h },
  sigmoid: { equation: "1 / (1 + e⁻ʰ)", of: sigmoid },
  positive: { equation: "1 if h > 0, else 0", of: (h: number) => (h > 0 ? 1 : 0) },
};

/** Return h(0) … h(T). */
export function states(f: Transition["of"], x: readonly number[], initial: number): number[] {
  const h = [initial];
  for (const token of x) h.push(f(h[h.length - 1], token));
  return h;
}
