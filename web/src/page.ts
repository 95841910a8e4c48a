/** The page: hands photos to the worker and shows what comes back. */

import type { Model } from "./bundle.ts";
import { Camera } from "./camera.ts";
import { type Bin, type Bins, decide } from "./decide.ts";
import { hottestPlace, overlay } from "./heat.ts";
import type { FromWorker, Seen, ToWorker } from "./messages.ts";
import { keepOffline } from "./offline.ts";

const REMEMBERED = "binsight.bins";

function part<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`no ${id} on the page`);
  return found;
}

const main = part("main", HTMLElement);
const status = part("status", HTMLElement);
const load = part("load", HTMLElement);
const loadBar = part("load-bar", HTMLProgressElement);
const file = part("file", HTMLInputElement);
const openCamera = part("open-camera", HTMLButtonElement);
const viewfinder = part("viewfinder", HTMLDialogElement);
const shutter = part("shutter", HTMLButtonElement);
const closeCamera = part("close-camera", HTMLButtonElement);
const result = part("result", HTMLElement);
const canvas = part("photo", HTMLCanvasElement);
const caption = part("caption", HTMLElement);
const heatSwitch = part("heat", HTMLInputElement);
const heatRow = part("heat-row", HTMLElement);
const place = part("place", HTMLElement);
const label = part("label", HTMLElement);
const confidence = part("confidence", HTMLElement);
const why = part("why", HTMLElement);
const binCard = part("bin", HTMLElement);
const binName = part("bin-name", HTMLElement);
const binAdvice = part("bin-advice", HTMLElement);
const binsChoice = part("bins", HTMLSelectElement);
const binsRow = part("bins-row", HTMLElement);
const bars = part("bars", HTMLElement);
const about = part("about", HTMLElement);
const camera = new Camera(part("video", HTMLVideoElement));
const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });

let model: Model | undefined;
let schemes: Record<string, Bins> = {};
let seen: Seen | undefined;
let asked = 0;

function tell(message: ToWorker, moved: Transferable[] = []): void {
  worker.postMessage(message, moved);
}

worker.onerror = () => complain("The page could not be started. Reload it.");
worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
  if (data.kind === "progress") loadBar.value = data.done / data.total;
  else if (data.kind === "ready") ready(data.model);
  else if (data.kind === "unusable") complain(data.message);
  else if (data.number === asked) {
    // The answer of an earlier photo is not of interest any more.
    main.ariaBusy = "false";
    if (data.kind === "answered") show(data.seen);
    else complain(data.message);
  }
};

function ready(described: Model): void {
  model = described;
  load.hidden = true;
  file.disabled = false;
  openCamera.disabled = !Camera.available;
  main.ariaBusy = "false";
  describe(described);
  keepOffline(document.querySelector("#offline")!);
}

function complain(message: string): void {
  main.ariaBusy = "false";
  load.hidden = true;
  result.hidden = true;
  status.textContent = message;
  status.hidden = false;
}

function classify(photo: Blob | ImageBitmap, name: string): void {
  if (!model) return;
  asked += 1;
  main.ariaBusy = "true";
  status.hidden = true;
  caption.textContent = name;
  tell({ kind: "classify", number: asked, photo }, photo instanceof ImageBitmap ? [photo] : []);
}

function show(found: Seen): void {
  seen?.shown.close();
  seen = found;
  status.hidden = true;
  result.hidden = false;
  heatRow.hidden = !found.heat;
  draw();
  showAnswer(found);
  showBin();
  showBars(found);
}

function draw(): void {
  if (!seen) return;
  canvas.width = seen.shown.width;
  canvas.height = seen.shown.height;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(seen.shown, 0, 0);
  const where = seen.heat && hottestPlace(seen.heat, seen.size);
  place.textContent = where ? `It looked most at: ${where}.` : "No place speaks for this.";
  place.hidden = !seen.heat || !heatSwitch.checked;
  if (!seen.heat || !heatSwitch.checked) return;
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  overlay(pixels.data, [canvas.width, canvas.height], seen.size, seen.heat);
  context.putImageData(pixels, 0, 0);
}

function percent(share: number): string {
  // 99.96 % is not certainty.
  const shown = share >= 0.9995 ? "> 99.9" : (100 * share).toFixed(1);
  return `${shown} %`;
}

function showAnswer({ answer }: Seen): void {
  result.dataset.sure = String(answer.why === null);
  canvas.setAttribute("aria-label", `Your photo. The model says: ${answer.label}.`);
  label.textContent = answer.why ? "Not sure" : answer.label;
  confidence.textContent = answer.why
    ? `Perhaps ${answer.label}, ${percent(answer.confidence)}`
    : `${percent(answer.confidence)} confident`;
  why.hidden = answer.why === null;
  why.textContent =
    answer.why === "like nothing it learned"
      ? "This is like nothing that the model learned. Ask a person."
      : "Its confidence is too low. Go closer, put the thing alone on a plain ground in good light, or ask a person.";
}

function showBin(): void {
  const rules = schemes[binsChoice.value];
  binCard.hidden = !rules || !seen;
  if (!rules || !seen || !model) return;
  const bin = decide(rules, seen.answer, model.metadata.threshold);
  binName.textContent = bin ? bin.name : "Ask a person";
  binAdvice.textContent = bin ? bin.advice : "No bin is likely enough to be right.";
  paint(bin);
}

function paint(bin: Bin | null): void {
  if (bin) binCard.style.setProperty("--bin", bin.colour);
  else binCard.style.removeProperty("--bin");
}

function showBars({ answer }: Seen): void {
  const sorted = Object.entries(answer.probs).sort(([, one], [, other]) => other - one);
  bars.replaceChildren(...sorted.map(([name, share]) => bar(name, share)));
}

function bar(name: string, share: number): HTMLElement {
  const row = document.createElement("li");
  const meter = document.createElement("meter");
  meter.value = share;
  meter.style.setProperty("--share", `${100 * share}%`);
  meter.title = name;
  meter.setAttribute("aria-label", name);
  meter.setAttribute("aria-valuetext", percent(share));
  row.append(text("span", name), meter, text("span", percent(share)));
  return row;
}

function text(tag: string, content: string): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = content;
  return element;
}

function describe({ name, metadata, bytes, digest }: Model): void {
  const accuracy = metadata.metrics.test_accuracy ?? metadata.metrics.val_accuracy;
  const facts: [string, string][] = [
    ["Model", `${name} (${metadata.architecture}, ${(bytes / 1e6).toFixed(0)} MB)`],
    ["Classes", metadata.classes.join(", ")],
    ["Sure from", percent(metadata.threshold)],
    ["Learned from", `${metadata.training.photos.toLocaleString("en")} photos`],
    ...(accuracy ? [["Accuracy", percent(accuracy)] as [string, string]] : []),
    ["Written by", `binsight ${metadata.binsight_version}, ${metadata.created.slice(0, 10)}`],
    ["Licence", metadata.licence],
    ["Digest", digest.slice(0, 16)],
  ];
  about.replaceChildren(...facts.flatMap(([key, value]) => [text("dt", key), text("dd", value)]));
}

async function loadBins(): Promise<void> {
  schemes = (await (await fetch("bins.json")).json()) as Record<string, Bins>;
  const names = Object.keys(schemes);
  for (const name of names) binsChoice.add(new Option(title(name), name));
  binsRow.hidden = names.length === 0;
  const remembered = recalled();
  if (remembered !== null && (remembered === "" || remembered in schemes)) {
    binsChoice.value = remembered;
  } else if (names.length === 1) {
    binsChoice.value = names[0];
  }
  showBin();
}

/** Which bins were chosen the last time; browsers may forbid to keep that. */
function recalled(): string | null {
  try {
    return localStorage.getItem(REMEMBERED);
  } catch {
    return null;
  }
}

function remember(choice: string): void {
  try {
    localStorage.setItem(REMEMBERED, choice);
  } catch {
    // It is chosen anew at the next visit.
  }
}

function title(name: string): string {
  return name.replace(/(^|-)[a-z]/g, (letters) => letters.replace("-", " ").toUpperCase());
}

async function startCamera(): Promise<void> {
  status.hidden = true;
  openCamera.disabled = true; // people click again while the browser asks for permission
  try {
    await camera.open();
    viewfinder.showModal();
  } catch (error) {
    complain((error as Error).message);
  } finally {
    openCamera.disabled = false;
  }
}

async function takePicture(): Promise<void> {
  const picture = await camera.take();
  viewfinder.close();
  classify(picture, "From the camera");
}

function classifyFile(chosen: File | undefined | null): void {
  if (chosen) classify(chosen, chosen.name);
}

file.addEventListener("change", () => {
  classifyFile(file.files?.[0]);
  file.value = ""; // so that the same file can be chosen again
});
openCamera.addEventListener("click", () => void startCamera());
shutter.addEventListener("click", () => void takePicture());
closeCamera.addEventListener("click", () => viewfinder.close());
viewfinder.addEventListener("close", () => camera.close());
heatSwitch.addEventListener("change", draw);
binsChoice.addEventListener("change", () => {
  remember(binsChoice.value);
  showBin();
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  classifyFile(event.dataTransfer?.files[0]);
});
document.addEventListener("paste", (event) => classifyFile(event.clipboardData?.files[0]));

if (globalThis.isSecureContext) {
  loadBins().catch(() => (binsRow.hidden = true));
  tell({ kind: "load", base: document.baseURI });
} else {
  complain("Browsers allow this page only over https, or from localhost.");
}
