import { defineConfig } from "vite";

/** `vite` serves the pages with changes at once; the API is that of a server on this address. */
const server = process.env["CODER_URL"] ?? "http://127.0.0.1:3000";

export default defineConfig({
  root: import.meta.dirname,
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    outDir: "dist",
    emptyOutDir: true,
    manifest: "chunks.json",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    cssCodeSplit: true,
    reportCompressedSize: false,
    rolldownOptions: {
      output: { entryFileNames: "assets/[name]-[hash].js", chunkFileNames: "assets/[name]-[hash].js" },
    },
  },
  worker: {
    // The server gives scripts below this path the policy of a worker.
    rolldownOptions: { output: { entryFileNames: "assets/worker/[name]-[hash].js" } },
  },
  server: {
    proxy: Object.fromEntries(
      ["/api", "/derp", "/cli-auth", "/install.sh"].map((path) => [path, { target: server, ws: true }]),
    ),
  },
});
