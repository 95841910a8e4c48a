import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Plugin, defineConfig } from "vite";

const SOURCES = ["index.html", "package-lock.json", "package.json", "vite.config.ts"];
const FOLDERS = ["public", "src"];

/** Notes what the page was built from, so that a page older than its sources is found. */
function builtFrom(): Plugin {
  return {
    name: "built-from",
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "built-from.txt", source: `${digest()}\n` });
    },
  };
}

function digest(): string {
  const below = FOLDERS.flatMap((folder) => readdirSync(folder).map((name) => `${folder}/${name}`));
  const hash = createHash("sha256");
  for (const path of [...SOURCES, ...below].sort()) {
    hash.update(`${path}\n`).update(readFileSync(join(import.meta.dirname, path)));
  }
  return hash.digest("hex");
}

/** `binsight web` brings the WebAssembly of ONNX Runtime: it is too large to be kept here. */
function withoutWebAssembly(): Plugin {
  return {
    name: "without-webassembly",
    generateBundle(_, bundle) {
      for (const name of Object.keys(bundle)) if (name.endsWith(".wasm")) delete bundle[name];
    },
  };
}

const fixedNames = {
  entryFileNames: "[name].js",
  chunkFileNames: "[name].js",
  assetFileNames: "[name][extname]",
};

export default defineConfig({
  base: "./",
  build: {
    outDir: "../src/binsight/interfaces/web/site",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { page: "index.html", sw: "src/sw.ts" },
      output: fixedNames,
    },
  },
  worker: {
    format: "es",
    plugins: () => [withoutWebAssembly()],
    rolldownOptions: { output: fixedNames },
  },
  plugins: [withoutWebAssembly(), builtFrom()],
});
