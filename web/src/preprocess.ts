/**
 * From an upright photo to the tensor that the network takes: `binsight/preprocess.py` again, which
 * is the reference. The tests compare the two.
 */

import { type Box, type Interpolation, type ReadRows, type Size, resize } from "./resample.ts";

/** How a photo becomes a tensor, as the bundle says it (`PreprocessSpec`). */
export interface Spec {
  size: number;
  resize: "shorter" | "fit";
  resize_to: number;
  interpolation: Interpolation;
  pad_value: number;
  mean: [number, number, number];
  std: [number, number, number];
}

/** The square that the network sees, before normalisation: RGB, three bytes a pixel. */
export function shapeForModel(read: ReadRows, size: Size, spec: Spec): Uint8ClampedArray {
  if (spec.resize === "shorter") {
    const box = keptByCrop(size, spec);
    return resize(read, size, [spec.size, spec.size], spec.interpolation, box);
  }
  const [fitted, corner] = placeInSquare(size, spec);
  return padded(resize(read, size, fitted, spec.interpolation), fitted, corner, spec);
}

function keptByCrop(size: Size, spec: Spec): Box {
  const kept = (Math.min(...size) * spec.size) / spec.resize_to;
  const [left, top] = [(size[0] - kept) / 2, (size[1] - kept) / 2];
  return [left, top, left + kept, top + kept];
}

function placeInSquare(size: Size, spec: Spec): [fitted: Size, corner: Size] {
  const scale = spec.size / Math.max(...size);
  const fitted: Size = [halfToEven(size[0] * scale), halfToEven(size[1] * scale)];
  return [fitted, [(spec.size - fitted[0]) >> 1, (spec.size - fitted[1]) >> 1]];
}

/** Round as Python does, but to at least 1. */
function halfToEven(value: number): number {
  const below = Math.floor(value);
  const tie = value - below === 0.5;
  return Math.max(1, tie ? below + (below % 2) : Math.round(value));
}

function padded(
  small: Uint8ClampedArray,
  fitted: Size,
  corner: Size,
  spec: Spec,
): Uint8ClampedArray {
  const square = new Uint8ClampedArray(spec.size * spec.size * 3).fill(spec.pad_value);
  const stride = fitted[0] * 3;
  for (let row = 0; row < fitted[1]; row++) {
    const line = small.subarray(row * stride, (row + 1) * stride);
    square.set(line, ((corner[1] + row) * spec.size + corner[0]) * 3);
  }
  return square;
}

/** Planes of red, green and blue in single precision: (3, size, size). */
export function normalise(square: Uint8ClampedArray, spec: Spec): Float32Array<ArrayBuffer> {
  const pixels = square.length / 3;
  const tensor = new Float32Array(square.length);
  for (let channel = 0; channel < 3; channel++) {
    const scale = Math.fround(1 / (255 * spec.std[channel]));
    const shift = Math.fround(-spec.mean[channel] / spec.std[channel]);
    for (let pixel = 0; pixel < pixels; pixel++) {
      const scaled = Math.fround(square[pixel * 3 + channel] * scale);
      tensor[channel * pixels + pixel] = scaled + shift;
    }
  }
  return tensor;
}

/** Where the square that the network sees lies in the photo, in its pixels. */
export function squareInPhoto(size: Size, spec: Spec): Box {
  if (spec.resize === "shorter") return keptByCrop(size, spec);
  const [fitted, corner] = placeInSquare(size, spec);
  const across = size[0] / fitted[0];
  const down = size[1] / fitted[1];
  return [
    -corner[0] * across,
    -corner[1] * down,
    (spec.size - corner[0]) * across,
    (spec.size - corner[1]) * down,
  ];
}
