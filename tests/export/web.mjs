// Runs models in ONNX Runtime Web: the argument is a JSON file of cases, results are printed as JSON.
// A case has the model's file, and a list of calls; a call's inputs that end in _0 come from the call before.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [, , packagePath, casesPath] = process.argv;
const ort = await import(pathToFileURL(packagePath).href);
const ARRAYS = { int64: BigInt64Array, float32: Float32Array, float64: Float64Array };

const tensorOf = ({ type, data, dims }) =>
  new ort.Tensor(type, type === "int64" ? BigInt64Array.from(data, BigInt) : ARRAYS[type].from(data, (one) => one ?? NaN), dims);

const plain = (tensor) => ({ dims: [...tensor.dims], data: Array.from(tensor.data, Number) });

/** The state of sequences that begin: zeros. */
function begin(session, batch) {
  const states = session.inputMetadata.filter(({ name }) => name.endsWith("_0"));
  return Object.fromEntries(
    states.map(({ name, type, shape }) => {
      const sizes = shape.map((size) => (size === "batch" ? batch : size));
      return [name, new ort.Tensor(type, new ARRAYS[type](sizes.reduce((a, b) => a * b, 1)), sizes)];
    }),
  );
}

const results = [];
for (const { path, batch, calls } of JSON.parse(await readFile(casesPath, "utf8"))) {
  const session = await ort.InferenceSession.create(await readFile(path), { executionProviders: ["wasm"] });
  let state = begin(session, batch);
  const outputs = [];
  for (const call of calls) {
    const inputs = Object.fromEntries(Object.entries(call).map(([name, value]) => [name, tensorOf(value)]));
    const found = await session.run({ ...inputs, ...state });
    state = Object.fromEntries(Object.keys(state).map((name) => [name, found[name.replace(/_0$/, "_n")]]));
    outputs.push(Object.fromEntries(Object.entries(found).map(([name, tensor]) => [name, plain(tensor)])));
  }
  results.push(outputs);
}
console.log(JSON.stringify(results));
