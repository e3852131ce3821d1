// An RNN and a convolution with as many multiplications, timed in this browser, on one thread.

export const TIMED = { steps: 1000, hidden: 48 };
const ROUNDS = 25;

type Loop = (x: Float64Array, first: Float64Array, second: Float64Array) => Float64Array;
const { steps, hidden } = TIMED;

/** h(t) = tanh(W x(t) + U h(t−1)), all (hidden,). */
const recurrentLoop: Loop = (x, w, u) => layer(x, w, u, true);
/** y(t) = tanh(W x(t) + V x(t−1)): a causal convolution with a kernel of 2. */
const convolutionLoop: Loop = (x, w, v) => layer(x, w, v, false);

function layer(x: Float64Array, w: Float64Array, other: Float64Array, recurrent: boolean): Float64Array {
  const y = new Float64Array(steps * hidden);
  const before = recurrent ? y : x;
  for (let t = 0; t < steps; t++) {
    for (let i = 0; i < hidden; i++) {
      let sum = 0;
      for (let j = 0; j < hidden; j++) {
        sum += w[i * hidden + j] * x[t * hidden + j];
        if (t) sum += other[i * hidden + j] * before[(t - 1) * hidden + j];
      }
      y[t * hidden + i] = Math.tanh(sum);
    }
  }
  return y;
}

const noise = (size: number) => Float64Array.from({ length: size }, (_, i) => Math.sin(12.9898 * i) / 7);

/** The shortest of several runs in turns, in milliseconds: other programs of the machine only ever make a run longer. */
export function timed(): { rnn: number; convolution: number } {
  const [x, w, other] = [noise(steps * hidden), noise(hidden * hidden), noise(hidden * hidden)];
  const milliseconds = (loop: Loop) => {
    const start = performance.now();
    loop(x, w, other);
    return performance.now() - start;
  };
  const shortest = { rnn: Infinity, convolution: Infinity };
  for (let round = 0; round < ROUNDS; round++) {
    shortest.rnn = Math.min(shortest.rnn, milliseconds(recurrentLoop));
    shortest.convolution = Math.min(shortest.convolution, milliseconds(convolutionLoop));
  }
  return shortest;
}
