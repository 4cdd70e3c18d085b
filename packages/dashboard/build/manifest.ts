import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};
/** Smaller files gain nothing by compression. */
const LEAST_COMPRESSED_BYTES = 1024;
/** Compressed in itself. */
const COMPRESSED = new Set([".woff2"]);

/** One file that the server hands out. */
export interface ManifestEntry {
  /** Below the folder, and with a slash in front the path of its address. */
  readonly path: string;
  readonly size: number;
  readonly type: string;
  /** In hexadecimal. */
  readonly sha256: string;
  /** Forms that lie beside it, by the suffix of the file's name. */
  readonly compressed: readonly ("br" | "gz")[];
}

/** Writes compressed forms beside the files of `folder`, and manifest.json. */
export function writeManifest(folder: string): void {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.includes("/") && statSync(join(folder, name)).isFile())
    .sort();
  const entries = names.map((path): ManifestEntry => {
    const extension = extname(path);
    const type = TYPES[extension];
    if (type === undefined) throw new Error(`${path}: files of this kind have no media type in the table`);
    const bytes = readFileSync(join(folder, path));
    const compressible = bytes.length >= LEAST_COMPRESSED_BYTES && !COMPRESSED.has(extension);
    if (compressible) {
      const size = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
      writeFileSync(join(folder, `${path}.br`), brotliCompressSync(bytes, { params: size }));
      writeFileSync(join(folder, `${path}.gz`), gzipSync(bytes, { level: 9 }));
    }
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    return { path, size: bytes.length, type, sha256, compressed: compressible ? ["br", "gz"] : [] };
  });
  writeFileSync(join(folder, "manifest.json"), `${JSON.stringify(entries, null, 1)}\n`);
}
