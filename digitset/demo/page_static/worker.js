// Runs the models beside the page, which stays quick meanwhile: one question at a time, in the order they come in.
// {number, file, inputs} -> {number, outputs}, or {number, error, lost}: whether the file did not come.

import { InferenceSession, Tensor, env } from "../runtime/ort.wasm.bundle.min.mjs";

env.wasm.numThreads = 1; // more need headers that a static host does not send
const sessions = new Map();
let program = null; // of the runtime
let last = begun(); // it takes a moment

addEventListener("message", ({ data }) => {
  last = last.then(() => answer(data)).then(postMessage);
});

async function answer({ number, file, inputs }) {
  try {
    const session = await opened(file);
    const tensors = Object.entries(inputs).map(([name, { type, data, dims }]) => [name, new Tensor(type, data, dims)]);
    const results = Object.entries(await session.run(Object.fromEntries(tensors)));
    return { number, outputs: Object.fromEntries(results.map(([name, { data, dims }]) => [name, { data, dims }])) };
  } catch (error) {
    return { number, error: error.message, lost: Boolean(error.lost) };
  }
}

async function opened(file) {
  if (!sessions.has(file)) {
    const [content] = await Promise.all([read(file), started()]);
    const options = { executionProviders: ["wasm"], logSeverityLevel: 3 }; // errors alone
    sessions.set(file, await InferenceSession.create(new Uint8Array(await content.arrayBuffer()), options));
  }
  return sessions.get(file);
}

// The runtime's program, packed: not all hosts pack what they send. What failed is tried again when it is next needed.
async function started() {
  if (program) return;
  const packed = await read(new URL("../runtime/ort-wasm-simd-threaded.bin", import.meta.url));
  program = await new Response(packed.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  env.wasm.wasmBinary = program;
}

async function begun() {
  await started().catch(() => null);
}

async function read(file) {
  const response = await fetch(file).catch(() => null);
  if (!response?.ok) throw Object.assign(new Error(file), { lost: true });
  return response;
}
