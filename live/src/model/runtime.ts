// ONNX models in ONNX Runtime Web, with one thread.

import * as ort from "onnxruntime-web/wasm";
import { bytes } from "./assets";

export { ort };

let started: Promise<void> | undefined;

async function start(): Promise<void> {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await bytes("ort.wasm");
}

const sessions = new Map<string, Promise<ort.InferenceSession>>();

/** Return the session of an embedded model, which is loaded once. */
export function session(name: string): Promise<ort.InferenceSession> {
  const known = sessions.get(name);
  if (known) return known;
  started ??= start();
  const loading = started.then(async () => ort.InferenceSession.create(new Uint8Array(await bytes(name))));
  sessions.set(name, loading);
  return loading;
}

/** Return a tensor of token numbers. */
export const int64 = (values: readonly number[], shape: readonly number[]): ort.Tensor =>
  new ort.Tensor("int64", BigInt64Array.from(values.map(BigInt)), shape);

/** Return a tensor's numbers as an array of rows: the last axis, one row for each index of the others. */
export function rows(tensor: ort.Tensor): number[][] {
  const width = tensor.dims.at(-1) ?? 1;
  const flat = Array.from(tensor.data as Float32Array | BigInt64Array, Number);
  return Array.from({ length: width ? flat.length / width : 0 }, (_, i) => flat.slice(i * width, (i + 1) * width));
}
