/**
 * Keeps the whole site, model and all, so that it works without a network after the first load.
 * `binsight web` puts the names of the files here; any change of them is a new version.
 */

declare const self: ServiceWorkerGlobalScope;
export {};

const VERSION = "@VERSION@";
const FILES = "@FILES@".split(" ");
// The caches of an address are shared by all its folders.
const OF_BEFORE = /^binsight-[0-9a-f]{16}$/; // when all folders shared their names
const OURS = `binsight-${new URL(self.registration.scope).pathname}-`;

self.addEventListener("install", (event) => {
  event.waitUntil(keep().then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(forgetOthers().then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET") event.respondWith(kept(event.request));
});

async function keep(): Promise<void> {
  const cache = await caches.open(OURS + VERSION);
  // An older copy from the browser's own cache must not get in.
  await cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" })));
}

async function forgetOthers(): Promise<void> {
  const ours = (name: string) => name.startsWith(OURS) || OF_BEFORE.test(name);
  const names = (await caches.keys()).filter(ours);
  await Promise.all(names.map((name) => name !== OURS + VERSION && caches.delete(name)));
}

async function kept(request: Request): Promise<Response> {
  const cache = await caches.open(OURS + VERSION);
  const found = await cache.match(request, { ignoreSearch: true });
  if (found) return found;
  const page = request.mode === "navigate" ? await cache.match("./") : undefined;
  return page ? fetch(request).catch(() => page) : fetch(request);
}
