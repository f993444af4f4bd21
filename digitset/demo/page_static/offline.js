// The browser keeps these files: the page opens without a network. `KEPT` is above, written with the folder: the files,
// and a digest of their contents. Other contents are another store, used once no page with the old one is open.

const STORE = `digitset ${KEPT.digest} ${registration.scope}`;

addEventListener("install", (event) => {
  const files = KEPT.files.map((file) => new Request(file, { cache: "no-cache" }));
  event.waitUntil(caches.open(STORE).then((store) => store.addAll(files)));
});

addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys().then((names) => Promise.all(names.filter(isOld).map((name) => caches.delete(name)))),
  );
});

// Other pages of the same host may have stores of their own.
const isOld = (name) => name.startsWith("digitset ") && name.endsWith(` ${registration.scope}`) && name !== STORE;

addEventListener("fetch", (event) => {
  event.respondWith(
    caches.open(STORE).then(async (store) => (await store.match(kept(event.request))) ?? fetch(event.request)),
  );
});

// The page itself is kept under the name of the folder.
const kept = ({ url }) => (url.replace(/[?#].*/, "") === new URL("index.html", registration.scope).href ? "./" : url);
