/** What the page and its worker say to each other. */

import type { Model } from "./bundle.ts";
import type { Answer } from "./decide.ts";
import type { Placed } from "./heat.ts";
import type { Size } from "./resample.ts";

export type ToWorker =
  | { kind: "load"; base: string }
  | { kind: "classify"; number: number; photo: Blob | ImageBitmap };

export type FromWorker =
  | { kind: "progress"; done: number; total: number }
  | { kind: "ready"; model: Model }
  | { kind: "unusable"; message: string }
  | { kind: "answered"; number: number; seen: Seen }
  | { kind: "refused"; number: number; message: string };

/** All that is known of one photo. */
export interface Seen {
  answer: Answer;
  shown: ImageBitmap;
  /** of the upright photo */
  size: Size;
  heat: Placed | null;
  milliseconds: number;
}
