import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { normalise, shapeForModel, squareInPhoto } from "../src/preprocess.ts";
import { fixtures, madeUp } from "./fixtures.ts";

/**
 * Pillow from 13 on shortens what loses much more of its height than of its width before it narrows
 * it, which rounds in another order. The page narrows first, as Pillow 12 does with everything.
 */
const tall = fixtures.squares.filter(
  ({ size, spec }) => size[1] > 2 * size[0] && spec.interpolation === "bilinear",
);
const usual = fixtures.squares.filter(({ size }) => size[1] <= 2 * size[0]);

function worst(made: (typeof usual)[number]): number {
  const square = shapeForModel(madeUp(made.size), made.size, made.spec);
  const expected = Buffer.from(made.square_rgb, "base64");
  expect(square.length).toBe(expected.length);
  return square.reduce((most, value, at) => Math.max(most, Math.abs(value - expected[at])), 0);
}

test.each(usual)("$size, $spec.resize $spec.interpolation: Pillow's, byte for byte", (made) => {
  expect(worst(made)).toBe(0);
});

test.each(tall)("$size, $spec.resize $spec.interpolation: Pillow's but for rounding", (made) => {
  expect(worst(made)).toBeLessThanOrEqual(1);
});

test.each(fixtures.squares)("$size, $spec.resize: it lies where Python says", (made) => {
  squareInPhoto(made.size, made.spec).forEach((value, index) => {
    expect(value).toBeCloseTo(made.box[index], 9);
  });
});

test("the tensor is Python's, bit for bit", () => {
  const { spec, sha256 } = fixtures.tensor;
  const tensor = normalise(shapeForModel(madeUp([61, 47]), [61, 47], spec), spec);
  expect(createHash("sha256").update(new Uint8Array(tensor.buffer)).digest("hex")).toBe(sha256);
});

test("a photo is read in strips, and no more of it than is needed", () => {
  const read = madeUp([131, 600]);
  const counts: number[] = [];
  const { spec } = fixtures.squares[0];
  shapeForModel((top, count) => (counts.push(count), read(top, count)), [131, 600], spec);
  expect(Math.max(...counts)).toBeLessThanOrEqual(256);
  expect(counts.reduce((sum, count) => sum + count)).toBeLessThan(150);
});
