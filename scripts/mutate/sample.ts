/** A sample of the source lines, drawn at random; the same seed draws the same sample. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { LinkRandom } from "../../packages/wg-userspace/src/testing/link.ts";

/**
 * Lines are drawn in blocks of this length. A mutant counts only where it lies within one block: those that empty a
 * long function are left out. Hardly one of them survives, so a sample is stricter than a full run.
 */
const BLOCK = 8;

/** @returns Patterns `FILE:FIRST-LAST` for Stryker, in the order of the files; at least one. */
export function sampleLines(files: readonly string[], percent: number, seed: number, root: string): string[] {
  const blocks = files.flatMap((file) => {
    const lines = readFileSync(join(root, file), "utf8").split("\n").length;
    return Array.from({ length: Math.ceil(lines / BLOCK) }, (_, i) => ({ file, first: i * BLOCK + 1 }));
  });
  const random = new LinkRandom(seed);
  const drawn = blocks
    .map((block) => ({ block, rank: random.fraction() }))
    .sort((a, b) => a.rank - b.rank)
    .slice(0, Math.max(1, Math.round((blocks.length * percent) / 100)))
    .map(({ block }) => block);
  return blocks
    .filter((block) => drawn.includes(block))
    .map(({ file, first }) => `${file}:${first}-${first + BLOCK - 1}`);
}
