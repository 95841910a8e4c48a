/** Registers the service worker, and says when the page works without a network. */

export function keepOffline(note: HTMLElement): void {
  if (!("serviceWorker" in navigator)) return;
  navigator.serviceWorker
    .register("sw.js")
    .then(() => navigator.serviceWorker.ready)
    .then(() => (note.hidden = false))
    .catch(() => undefined); // without it the page works, but only online
}
