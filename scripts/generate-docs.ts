/**
 * Writes docs/cli and the page of variables from the commands' tables, and docs/security.md from the tests. Tests fail
 * when these pages are out of date.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { commandPages } from "../packages/cli/src/help/command-pages.ts";
import { environmentPage } from "../packages/cli/src/help/environment-page.ts";
import { allCommandTexts } from "../packages/cli/src/registry.ts";
import { securityPage } from "./security/page.ts";
import { proofsOf } from "./security/proofs.ts";

const root = join(import.meta.dirname, "..");
const folder = join(root, "docs/cli");
mkdirSync(folder, { recursive: true });
const commands = await allCommandTexts();
const pages = commandPages(commands);
for (const name of readdirSync(folder)) if (!(name in pages)) rmSync(join(folder, name));
for (const [name, text] of Object.entries(pages)) writeFileSync(join(folder, name), text);
process.stdout.write(`${Object.keys(pages).length} pages in ${folder}\n`);
writeFileSync(join(root, "docs/operations/environment.md"), environmentPage(commands));
writeFileSync(join(root, "docs/security.md"), securityPage(proofsOf(root)));
