/** The classifier, off the page's own thread: loads the bundle, checks it, answers photo by photo. */

import * as ort from "onnxruntime-web/wasm";
import { type Model, verify } from "./bundle.ts";
import { answer } from "./decide.ts";
import { PhotoError, decode, rowsOf, toShow } from "./decode.ts";
import { type Placed, classActivationMap } from "./heat.ts";
import type { FromWorker, Seen, ToWorker } from "./messages.ts";
import { normalise, shapeForModel, squareInPhoto } from "./preprocess.ts";
import type { Size } from "./resample.ts";

declare const self: DedicatedWorkerGlobalScope;

interface Loaded {
  model: Model;
  session: ort.InferenceSession;
}

let loaded: Promise<Loaded> | undefined;
let queue: Promise<void> = Promise.resolve(); // one photo at a time: a phone has little memory

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind === "load") {
    loaded = load(data.base);
    loaded.then(
      ({ model }) => say({ kind: "ready", model }),
      (error: unknown) => say({ kind: "unusable", message: messageOf(error) }),
    );
    return;
  }
  queue = queue.then(() => classify(data.number, data.photo));
};

function say(message: FromWorker, moved: Transferable[] = []): void {
  self.postMessage(message, moved);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function load(base: string): Promise<Loaded> {
  const model = (await (await fetched(new URL("model.json", base))).json()) as Model;
  ort.env.wasm.numThreads = 1; // more would ask every server for special headers
  ort.env.wasm.wasmPaths = { wasm: new URL(model.runtime, base).href };
  const bundle = await download(new URL(model.file, base), model.bytes);
  await verify(bundle, model.digest);
  // It would complain of what a bundle remembers to be taught later.
  const session = await ort.InferenceSession.create(bundle, { logSeverityLevel: 3 });
  return { model, session };
}

async function fetched(url: URL): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch {
    throw new Error("The model could not be loaded. Check the connection and reload the page.");
  }
  if (!response.ok) {
    throw new Error(`The server does not give ${url.pathname} (${response.status}).`);
  }
  return response;
}

async function download(url: URL, total: number): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetched(url);
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let done = 0;
  const reader = response.body!.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    done += part.value.length;
    say({ kind: "progress", done, total });
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function classify(number: number, photo: Blob | ImageBitmap): Promise<void> {
  try {
    const seen = await look(await loaded!, photo);
    say({ kind: "answered", number, seen }, [seen.shown]);
  } catch (error) {
    const message =
      error instanceof PhotoError ? error.message : `This did not work: ${messageOf(error)}`;
    say({ kind: "refused", number, message });
  }
}

async function look({ model, session }: Loaded, photo: Blob | ImageBitmap): Promise<Seen> {
  const started = performance.now();
  const bitmap = await decode(photo);
  try {
    const size: Size = [bitmap.width, bitmap.height];
    const spec = model.metadata.preprocess;
    const tensor = normalise(shapeForModel(rowsOf(bitmap), size, spec), spec);
    const images = new ort.Tensor("float32", tensor, [1, 3, spec.size, spec.size]);
    const outputs = await session.run({ images });
    const novelty = model.metadata.novelty ? floats(outputs.novelty)[0] : null;
    const found = answer(floats(outputs.probs), novelty, model.metadata);
    return {
      answer: found,
      shown: await toShow(bitmap),
      size,
      heat: heatOf(model, outputs.feature_map, size, found.label),
      milliseconds: performance.now() - started,
    };
  } finally {
    bitmap.close();
  }
}

function floats(tensor: ort.Tensor): Float32Array {
  return tensor.data as Float32Array;
}

function heatOf(model: Model, features: ort.Tensor, size: Size, label: string): Placed | null {
  if (!model.heat) return null;
  const weights = model.heat.weights[model.metadata.classes.indexOf(label)];
  return {
    map: classActivationMap(floats(features), features.dims, weights),
    square: squareInPhoto(size, model.metadata.preprocess),
    side: model.metadata.preprocess.size,
    cells: { first: model.heat.first, step: model.heat.step },
  };
}
