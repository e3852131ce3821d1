// Numbers of parameters of one recurrent layer.

export const GATES = { RNN: 1, LSTM: 4, GRU: 3 } as const;

/** Parameters of W (H, D), U (H, H) and `biases` bias vectors, once for every gate. */
export const parameterCount = (cell: keyof typeof GATES, inputs: number, hidden: number, biases: number): number =>
  GATES[cell] * hidden * (inputs + hidden + biases);
