/**
 * Where the model looked: `explain/cam.py`, `grid.py` and `overlay.py` again, on a canvas's pixels.
 */

import type { Heat } from "./bundle.ts";
import type { Box, Size } from "./resample.ts";

/** A map of `rows` x `columns` cells, 0 to 1, row by row. */
export interface HeatMap {
  cells: Float32Array;
  rows: number;
  columns: number;
}

/** How much each cell adds to the class, where it adds anything; divided by the largest. */
export function classActivationMap(
  features: Float32Array,
  [, channels, rows, columns]: readonly number[],
  weights: ArrayLike<number>,
): HeatMap {
  const places = rows * columns;
  const cells = new Float32Array(places);
  for (let place = 0; place < places; place++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++) {
      sum += weights[channel] * features[channel * places + place];
    }
    cells[place] = Math.max(0, sum);
  }
  const largest = cells.reduce((most, cell) => Math.max(most, cell), 0);
  return { cells: largest > 0 ? cells.map((cell) => cell / largest) : cells, rows, columns };
}

/** Every sixteenth colour of viridis (CC0), from 0 to 1. */
const VIRIDIS = [
  [68, 1, 84], [72, 24, 106], [71, 45, 123], [66, 64, 134], [59, 82, 139], [51, 99, 141],
  [44, 114, 142], [38, 130, 142], [33, 145, 140], [31, 160, 136], [40, 174, 128], [63, 188, 115],
  [94, 201, 98], [132, 212, 75], [173, 220, 48], [216, 226, 25], [253, 231, 37],
]; // prettier-ignore
const [COLD, HOT] = [0.12, 0.65]; // how much the colour covers of the photo
const DIMMED = 0.4; // brightness of what the network did not see

/** Where a map lies in a photo that is shown at some size. */
export interface Placed {
  map: HeatMap;
  /** that the network saw, in pixels of the photo */
  square: Box;
  /** side of the square as the network sees it, in pixels */
  side: number;
  cells: Pick<Heat, "first" | "step">;
}

/** For each pixel along one axis: its place among the cells' middles; NaN beyond the square. */
export function cellsAlong(placed: Placed, photo: Size, shown: Size, which: 0 | 1): Float64Array {
  const { square, side, cells } = placed;
  const [start, stop] = [square[which], square[which + 2]];
  return Float64Array.from({ length: shown[which] }, (_, pixel) => {
    const inPhoto = ((pixel + 0.5) * photo[which]) / shown[which];
    const share = (inPhoto - start) / (stop - start);
    return share >= 0 && share < 1 ? (share * side - cells.first) / cells.step : NaN;
  });
}

/** Heat between the cells' middles, bilinearly; beyond the outermost their values go on. */
export function heatAt({ cells, rows, columns }: HeatMap, x: number, y: number): number {
  const [inX, inY] = [clamp(x, columns - 1), clamp(y, rows - 1)];
  const [left, top] = [Math.floor(inX), Math.floor(inY)];
  const [right, bottom] = [Math.min(left + 1, columns - 1), Math.min(top + 1, rows - 1)];
  const [across, down] = [inX - left, inY - top];
  const upper = mixed(cells[top * columns + left], cells[top * columns + right], across);
  const lower = mixed(cells[bottom * columns + left], cells[bottom * columns + right], across);
  return mixed(upper, lower, down);
}

function clamp(value: number, most: number): number {
  return Math.min(Math.max(value, 0), most);
}

function mixed(one: number, other: number, share: number): number {
  return one + (other - one) * share;
}

/** Colour a shown photo in place (RGBA): hot places yellow, what was not seen grey and dark. */
export function overlay(pixels: Uint8ClampedArray, shown: Size, photo: Size, placed: Placed): void {
  const xs = cellsAlong(placed, photo, shown, 0);
  const ys = cellsAlong(placed, photo, shown, 1);
  for (let row = 0; row < shown[1]; row++) {
    for (let column = 0; column < shown[0]; column++) {
      const at = (row * shown[0] + column) * 4;
      const [x, y] = [xs[column], ys[row]];
      colour(pixels, at, Number.isNaN(x + y) ? null : heatAt(placed.map, x, y));
    }
  }
}

function colour(pixels: Uint8ClampedArray, at: number, heat: number | null): void {
  const grey = 0.299 * pixels[at] + 0.587 * pixels[at + 1] + 0.114 * pixels[at + 2];
  for (let channel = 0; channel < 3; channel++) {
    if (heat === null) {
      pixels[at + channel] = grey * DIMMED;
    } else {
      // Colour of the photo would be taken for heat, so it gives way to grey.
      const base = (pixels[at + channel] + grey) / 2;
      pixels[at + channel] = mixed(base, viridis(heat, channel), COLD + (HOT - COLD) * heat);
    }
  }
}

function viridis(heat: number, channel: number): number {
  const place = heat * (VIRIDIS.length - 1);
  const below = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return mixed(VIRIDIS[below][channel], VIRIDIS[below + 1][channel], place - below);
}

const WORDS = [
  ["upper left", "top", "upper right"],
  ["left", "centre", "right"],
  ["lower left", "bottom", "lower right"],
];

/** Which ninth of the photo holds the hottest place; `null` if no place speaks for the class. */
export function hottestPlace(placed: Placed, photo: Size): string | null {
  const { cells, columns } = placed.map;
  const best = cells.reduce((most, cell, place) => (cell > cells[most] ? place : most), 0);
  if (!(cells[best] > 0)) return null;
  const thirds = ([0, 1] as const).map((which) => {
    const cell = which === 0 ? best % columns : Math.floor(best / columns);
    const share = (placed.cells.first + cell * placed.cells.step) / placed.side;
    const [start, stop] = [placed.square[which], placed.square[which + 2]];
    return clamp(Math.floor((3 * (start + share * (stop - start))) / photo[which]), 2);
  });
  return WORDS[thirds[1]][thirds[0]];
}
