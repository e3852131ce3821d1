// Builds the pages: `node build.mjs DATA OUT`. Each page of src/*.ts becomes one HTML file that opens from the file
// system: a browser refuses modules, workers and requests from there, so that the script is a classic one, and every
// file of DATA and the WebAssembly of ONNX Runtime Web stand in the page, compressed with gzip, in base64.
import { readdir, readFile, mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const [data, out] = process.argv.slice(2);
if (!data || !out) {
  console.error("usage: node build.mjs DATA OUT (DATA: the folder that data/models.py has written)");
  process.exit(2);
}
const here = import.meta.dirname;
const runtime = path.join(
  path.dirname(createRequire(import.meta.url).resolve("onnxruntime-web/wasm")),
  "ort-wasm-simd-threaded.wasm",
);
const assets = new Map([["ort.wasm", await readFile(runtime)]]);
for (const name of (await readdir(data)).sort()) {
  if (/\.(onnx|json)$/.test(name)) assets.set(name, await readFile(path.join(data, name)));
}
const embedded = [...assets].map(
  ([name, bytes]) =>
    `<script type="application/gzip;base64" data-asset="${name}">${gzipSync(bytes, { level: 9 }).toString("base64")}</script>`,
);
const style = await readFile(path.join(here, "src/style.css"), "utf8");

await mkdir(out, { recursive: true });
for (const name of ["convolution", "recurrence"]) {
  const bundle = await esbuild.build({
    entryPoints: [path.join(here, "src", `${name}.ts`)],
    bundle: true,
    format: "iife",
    target: "es2022",
    minify: true,
    write: false,
    legalComments: "inline",
    logLevel: "warning",
  });
  const script = bundle.outputFiles[0].text.replaceAll("</script", "<\\/script");
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${name[0].toUpperCase()}${name.slice(1)} · throughtime</title>
<style>
${style}</style>
</head>
<body>
<noscript>This page computes in the browser and needs JavaScript.</noscript>
${embedded.join("\n")}
<script>
${script}</script>
</body>
</html>
`;
  const file = path.join(out, `${name}.html`);
  await writeFile(file, html);
  console.log(`${file}  ${(html.length / 1e6).toFixed(1)} MB`);
}
