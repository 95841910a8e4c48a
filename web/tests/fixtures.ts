/** What Python made (`make_fixtures.py`), and the pictures that it made it of. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Bins } from "../src/decide.ts";
import type { Spec } from "../src/preprocess.ts";
import type { Box, ReadRows, Size } from "../src/resample.ts";

interface Fixtures {
  squares: { size: Size; spec: Spec; square_rgb: string; box: Box }[];
  tensor: { spec: Spec; sha256: string };
  heat: {
    features: number[];
    weights: number[];
    map: number[];
    photo: Size;
    shown: Size;
    square: Box;
    side: number;
    first: number;
    step: number;
    heat: number[];
    seen: boolean[];
  };
  decisions: {
    bins: Bins;
    threshold: number;
    cases: { probs: Record<string, number>; strange: boolean; bin: string | null }[];
  };
}

const path = join(import.meta.dirname, "fixtures.json");
export const fixtures = JSON.parse(readFileSync(path, "utf-8")) as Fixtures;

/** The same noise as `made_up` in Python; what lies in the fourth byte must not matter. */
export function madeUp([width, height]: Size): ReadRows {
  let state = width * 1000 + height;
  const rgba = new Uint8ClampedArray(width * height * 4).fill(7);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      rgba[pixel * 4 + channel] = state >>> 24;
    }
  }
  return (top, count) => rgba.subarray(top * width * 4, (top + count) * width * 4);
}
