// Which steps of its input a stack of convolutions reads, as `tt.nn.receptive_field` computes it.

export interface Layer {
  name: string;
  size: number;
  stride: number;
  dilation: number;
  /** Zeros in front of the sequence and after it. */
  left: number;
  right: number;
}

/** Output step t reads input steps from t · stride + first to t · stride + last. */
export interface Field {
  first: number;
  last: number;
  stride: number;
}

const reachOf = ({ size, dilation }: Layer) => dilation * (size - 1);

export function convolution(
  name: string,
  size: number,
  options: { stride?: number; dilation?: number; causal?: boolean } = {},
): Layer {
  const { stride = 1, dilation = 1, causal = false } = options;
  const reach = dilation * (size - 1);
  const left = causal ? reach : Math.floor(reach / 2);
  return { name, size, stride, dilation, left, right: reach - left };
}

export const poolingLayer = (name: string, size: number): Layer => ({
  name,
  size,
  stride: size,
  dilation: 1,
  left: 0,
  right: 0,
});

/** Return the fields behind no layer, the first, the first two, and so on. */
export function fields(layers: readonly Layer[]): Field[] {
  const all: Field[] = [{ first: 0, last: 0, stride: 1 }];
  for (const layer of layers) {
    const { first, last, stride } = all.at(-1)!;
    all.push({
      first: first - layer.left * stride,
      last: last + (reachOf(layer) - layer.left) * stride,
      stride: stride * layer.stride,
    });
  }
  return all;
}

export const sizeOf = ({ first, last }: Field): number => last - first + 1;

/** Return the number of steps of the input and after each layer. */
export function lengths(input: number, layers: readonly Layer[]): number[] {
  const all = [input];
  for (const layer of layers) {
    const free = all.at(-1)! + layer.left + layer.right - reachOf(layer) - 1;
    all.push(free < 0 ? 0 : Math.floor(free / layer.stride) + 1);
  }
  return all;
}

/** Return the steps below a layer that its output t reads, of `length` steps. */
export const readBy = (layer: Layer, t: number, length: number): number[] =>
  Array.from({ length: layer.size }, (_, k) => t * layer.stride + k * layer.dilation - layer.left).filter(
    (s) => s >= 0 && s < length,
  );

/** Return for the input and each layer the number of paths from each step to an output step; 0 where there is none. */
export function pathsToOutput(input: number, layers: readonly Layer[], output: number): number[][] {
  const all = lengths(input, layers).map((length) => Array<number>(length).fill(0));
  if (output < all.at(-1)!.length) all.at(-1)![output] = 1;
  for (let i = layers.length; i > 0; i--) {
    all[i].forEach((paths, t) => {
      if (paths) for (const s of readBy(layers[i - 1], t, all[i - 1].length)) all[i - 1][s] += paths;
    });
  }
  return all;
}

/** Return for the input and each layer the number of paths from an input step. */
export function pathsFromInput(input: number, layers: readonly Layer[], step: number): number[][] {
  const all = lengths(input, layers).map((length) => Array<number>(length).fill(0));
  all[0][step] = 1;
  layers.forEach((layer, i) => {
    all[i + 1].forEach((_, t) => {
      all[i + 1][t] = readBy(layer, t, all[i].length).reduce((sum, s) => sum + all[i][s], 0);
    });
  });
  return all;
}

/** Return the fewest layers of kernels of `size` steps, dilations base⁰, base¹, …, that read at least `steps` steps. */
export function layersToRead(steps: number, size: number, base: number): number {
  let [depth, read] = [0, 1];
  while (read < steps) {
    read += (size - 1) * base ** depth;
    depth += 1;
  }
  return depth;
}
