// Files that stand in the page, see build.mjs.

/** Return the bytes of an embedded file. */
export async function bytes(name: string): Promise<ArrayBuffer> {
  const element = document.querySelector(`script[data-asset="${name}"]`);
  if (!element) throw new Error(`The page has no file ${name}; build it again with \`make live\`.`);
  const letters = atob(element.textContent ?? "");
  const compressed = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) compressed[i] = letters.charCodeAt(i);
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** Return an embedded JSON file. */
export async function json<T>(name: string): Promise<T> {
  return JSON.parse(new TextDecoder().decode(await bytes(name))) as T;
}
