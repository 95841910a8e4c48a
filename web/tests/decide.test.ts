import { expect, test } from "vitest";
import type { Metadata } from "../src/bundle.ts";
import { type Answer, answer, decide } from "../src/decide.ts";
import { fixtures } from "./fixtures.ts";

const model = { classes: ["glass", "metal"], threshold: 0.8, novelty: { limit: 2 } } as Metadata;

test.each([
  [[0.9, 0.1], 1, "glass", null],
  [[0.2, 0.8], 2, "metal", null],
  [[0.3, 0.7], 1, "metal", "low confidence"],
  [[0.9, 0.1], 2.1, "glass", "like nothing it learned"],
  [[0.6, 0.4], 2.1, "glass", "like nothing it learned"],
  [[0.9, 0.1], NaN, "glass", "like nothing it learned"],
  [[0.9, 0.1], null, "glass", null],
])("%j with novelty %s is %s, %s", (probs, novelty, label, why) => {
  expect(answer(probs, novelty, model)).toMatchObject({ label, why });
});

test("bins are chosen as Python chooses them", () => {
  const { bins, cases, threshold } = fixtures.decisions;
  const chosen = cases.map(({ probs, strange }) => {
    const found: Answer = {
      label: "",
      confidence: 0,
      why: strange ? "like nothing it learned" : null,
      probs,
    };
    return decide(bins, found, threshold)?.name ?? null;
  });
  expect(chosen).toEqual(cases.map((one) => one.bin));
  expect(new Set(chosen).size).toBeGreaterThan(3);
});
