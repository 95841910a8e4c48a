import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { verify } from "../src/bundle.ts";

/** Sealed as `binsight.bundle.write_bundle` does it. */
function sealed(body: Uint8Array): [Uint8Array<ArrayBuffer>, string] {
  const digest = createHash("sha256").update(body).digest("hex");
  const entry = `\n\x0fbinsight.digest\x12\x40${digest}`;
  const trailer = Buffer.from(`r${String.fromCharCode(entry.length)}${entry}`, "latin1");
  return [new Uint8Array(Buffer.concat([body, trailer])), digest];
}

const [bundle, digest] = sealed(Uint8Array.from({ length: 5000 }, (_, index) => index % 251));

test("a whole bundle is taken", async () => {
  await expect(verify(bundle, digest)).resolves.toBeUndefined();
});

test.each([0, 2500, 4999, bundle.length - 1])("a byte changed at %i is found", async (at) => {
  const altered = new Uint8Array(bundle);
  altered[at] ^= 1;
  await expect(verify(altered, digest)).rejects.toThrow("altered or damaged");
});

test("another whole bundle is not the one that is named", async () => {
  const [other] = sealed(new Uint8Array(100));
  await expect(verify(other, digest)).rejects.toThrow("altered or damaged");
});

test("a cut or empty file is found", async () => {
  await expect(verify(bundle.slice(0, -1), digest)).rejects.toThrow("altered or damaged");
  await expect(verify(new Uint8Array(), digest)).rejects.toThrow("altered or damaged");
});
