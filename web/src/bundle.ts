/**
 * The model file: whether it is what `binsight` wrote. Its last bytes are a metadata entry with the
 * SHA-256 of all bytes before it (`binsight/bundle.py`).
 */

import type { Spec } from "./preprocess.ts";

/** What `binsight web` writes about the bundle beside it, in `model.json`. */
export interface Model {
  file: string;
  bytes: number;
  digest: string;
  name: string;
  runtime: string;
  metadata: Metadata;
  heat: Heat | null;
}

/** The part of a bundle's description that the page needs. */
export interface Metadata {
  classes: string[];
  preprocess: Spec;
  architecture: string;
  threshold: number;
  threshold_risk: number;
  novelty: { limit: number } | null;
  training: { photos: number };
  metrics: Record<string, number>;
  binsight_version: string;
  licence: string;
  created: string;
}

/** What the heat map is made of: the head's weights, and where the feature map's cells lie. */
export interface Heat {
  weights: number[][];
  first: number;
  step: number;
}

const TRAILER_BYTES = 2 + 2 + "binsight.digest".length + 2 + 64;

/** Throws unless the bundle is whole and the one that `digest` names. */
export async function verify(bundle: Uint8Array<ArrayBuffer>, digest: string): Promise<void> {
  const end = Math.max(0, bundle.length - TRAILER_BYTES);
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", bundle.subarray(0, end)));
  const actual = Array.from(sum, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const carried = new TextDecoder("latin1").decode(bundle.subarray(-64));
  if (actual !== digest || carried !== digest) {
    throw new Error("The model file was altered or damaged on its way. Reload the page.");
  }
}
