/**
 * Bundles the client library for web pages: one ES module without dependencies. Prints its size. Takes the file to write;
 * by default one in the package's dist.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");

const file = process.argv[2] ?? join(root, "packages/client/dist/coder-client.browser.js");
mkdirSync(dirname(file), { recursive: true });
await build({
  entryPoints: [join(root, "packages/client/src/browser/index.ts")],
  outfile: file,
  bundle: true,
  // Fails if a Node module slipped in.
  platform: "browser",
  format: "esm",
  target: "es2024",
  minify: true,
  legalComments: "none",
  logLevel: "warning",
});
const bytes = readFileSync(file);
const sizes = [
  `${bytes.length} bytes`,
  `${gzipSync(bytes).length} by gzip`,
  `${brotliCompressSync(bytes).length} by brotli`,
];
process.stdout.write(`${file}: ${sizes.join(", ")}\n`);
