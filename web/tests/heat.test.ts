import { expect, test } from "vitest";
import { type Placed, cellsAlong, classActivationMap, heatAt, hottestPlace, overlay } from "../src/heat.ts";
import { fixtures } from "./fixtures.ts";

const made = fixtures.heat;
const map = classActivationMap(Float32Array.from(made.features), [1, 5, 4, 4], made.weights);
const placed: Placed = {
  map,
  square: made.square,
  side: made.side,
  cells: { first: made.first, step: made.step },
};

test("the map is Python's", () => {
  map.cells.forEach((cell, place) => expect(cell).toBeCloseTo(made.map[place], 5));
});

test("it is drawn where Python draws it", () => {
  const xs = cellsAlong(placed, made.photo, made.shown, 0);
  const ys = cellsAlong(placed, made.photo, made.shown, 1);
  let worst = 0;
  made.heat.forEach((heat, pixel) => {
    const [x, y] = [xs[pixel % made.shown[0]], ys[Math.floor(pixel / made.shown[0])]];
    expect(!Number.isNaN(x + y)).toBe(made.seen[pixel]);
    if (made.seen[pixel]) worst = Math.max(worst, Math.abs(heatAt(map, x, y) - heat));
  });
  expect(worst).toBeLessThan(0.03); // Python interpolates twice, over a grid of whole pixels
});

test("nothing that speaks for the class gives no place, and no heat", () => {
  const cold = classActivationMap(new Float32Array(16).fill(-1), [1, 1, 4, 4], [1]);
  expect([...cold.cells]).toEqual(new Array(16).fill(0));
  expect(hottestPlace({ ...placed, map: cold }, made.photo)).toBeNull();
});

test.each([
  [0, "upper left"],
  [3, "upper right"],
  [12, "lower left"],
  [15, "lower right"],
])("a hot cell %i is at the %s", (cell, words) => {
  const cells = new Float32Array(16);
  cells[cell] = 1;
  const whole: Placed = { ...placed, map: { cells, rows: 4, columns: 4 }, square: [0, 0, 400, 300] };
  expect(hottestPlace(whole, made.photo)).toBe(words);
});

test("what the network did not see is grey and dark", () => {
  const pixels = new Uint8ClampedArray(40 * 30 * 4).fill(200);
  overlay(pixels, made.shown, made.photo, placed);
  const first = made.seen.indexOf(false);
  expect([...pixels.subarray(first * 4, first * 4 + 3)]).toEqual([80, 80, 80]);
  expect(pixels[made.seen.indexOf(true) * 4]).toBeGreaterThan(80);
});
