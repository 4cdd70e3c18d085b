/** The output of the dashboard's build, read once and kept in memory: about a megabyte including the compressed forms. */
import { z } from "zod";
import type { ContentCoding } from "../../downloads/range.ts";

/** The location of the files: a folder, or the assets of an executable. */
export interface DashboardFiles {
  /** Undefined if there is no file with this name. Names use forward slashes. */
  read(name: string): Uint8Array | undefined;
}

export interface Asset {
  readonly type: string;
  /** The basis of a strong entity tag, without the encoding. */
  readonly hash: string;
  readonly forms: ReadonlyMap<ContentCoding, Uint8Array>;
}

export interface BuildOutput {
  /** index.html, into which each answer inserts its data. */
  readonly template: string;
  /** By URL path. */
  readonly assets: ReadonlyMap<string, Asset>;
  readonly pages: readonly PageAddress[];
}

/** URL paths that are a page, and what the browser should preload for it. */
export interface PageAddress {
  readonly pattern: RegExp;
  readonly preload: readonly string[];
}

const manifest = z.array(
  z.object({
    path: z.string(),
    size: z.number().int(),
    type: z.string(),
    sha256: z.string(),
    compressed: z.array(z.enum(["br", "gz"])),
  }),
);
const routes = z.array(z.object({ pattern: z.string(), preload: z.array(z.string()) }));
const ENCODINGS = { br: "br", gz: "gzip" } as const;

/** Undefined if nothing was built. Throws if a file is missing or does not match the manifest. */
export function readBuildOutput(files: DashboardFiles): BuildOutput | undefined {
  const template = files.read("index.html");
  if (template === undefined) return undefined;
  const assets = new Map<string, Asset>();
  for (const entry of manifest.parse(json(files, "manifest.json"))) {
    const bytes = required(files, entry.path);
    if (bytes.length !== entry.size) throw new Error(`${entry.path} of the dashboard is not the file that was built`);
    const forms = new Map<ContentCoding, Uint8Array>([["identity", bytes]]);
    for (const suffix of entry.compressed) forms.set(ENCODINGS[suffix], required(files, `${entry.path}.${suffix}`));
    assets.set(`/${entry.path}`, { type: entry.type, hash: entry.sha256.slice(0, 32), forms });
  }
  const pages = routes.parse(json(files, "routes.json"));
  return {
    template: text(template),
    assets,
    pages: pages.map(({ pattern, preload }) => ({ pattern: new RegExp(pattern), preload })),
  };
}

function json(files: DashboardFiles, name: string): unknown {
  return JSON.parse(text(required(files, name)));
}

function required(files: DashboardFiles, name: string): Uint8Array {
  const bytes = files.read(name);
  if (bytes === undefined) throw new Error(`the dashboard's build lacks ${name}`);
  return bytes;
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("utf8");
}
