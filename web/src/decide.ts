/** From probabilities to an answer, and to a bin: `runtime/classifier.py` and `bins.py` again. */

import type { Metadata } from "./bundle.ts";

export type Why = "low confidence" | "like nothing it learned";

export interface Answer {
  label: string;
  confidence: number;
  why: Why | null;
  probs: Record<string, number>;
}

export function answer(probs: ArrayLike<number>, novelty: number | null, model: Metadata): Answer {
  let best = 0;
  for (let index = 1; index < probs.length; index++) if (probs[index] > probs[best]) best = index;
  // Written so that a novelty that is no number is strange.
  const strange = novelty !== null && !(novelty <= (model.novelty?.limit ?? Infinity));
  const low = !(probs[best] >= model.threshold);
  return {
    label: model.classes[best],
    confidence: probs[best],
    why: strange ? "like nothing it learned" : low ? "low confidence" : null,
    probs: Object.fromEntries(model.classes.map((name, index) => [name, probs[index]])),
  };
}

export interface Bin {
  name: string;
  colour: string;
  advice: string;
  takes: string[];
}

export interface Bins {
  bins: Bin[];
  costs: Record<string, Record<string, number>>;
  cost_of_asking: number | null;
}

const WRONG = 1; // what a thing in a wrong bin costs if nothing else is said
const SAME = 1e-6; // costs that differ by less are equal: probabilities are in single precision

/** The bin that costs least on average; `null` to ask a person. */
export function decide(rules: Bins, found: Answer, threshold: number): Bin | null {
  const costs = rules.bins.map((bin) => expectedCost(rules, bin, found.probs));
  let best = 0;
  costs.forEach((cost, index) => {
    if (cost < costs[best] - SAME) best = index;
  });
  const asking = rules.cost_of_asking ?? 1 - threshold;
  const ask = found.why === "like nothing it learned" || asking < costs[best] - SAME;
  return ask ? null : rules.bins[best];
}

function expectedCost(rules: Bins, bin: Bin, probs: Record<string, number>): number {
  let cost = 0;
  for (const [name, share] of Object.entries(probs)) {
    if (!bin.takes.includes(name)) cost += share * (rules.costs[name]?.[bin.name] ?? WRONG);
  }
  return cost;
}
