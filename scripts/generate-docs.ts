/** Writes docs/cli from the commands' tables. A test fails when what is there is not what this writes. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { allCommands } from "../packages/cli/src/cli.ts";
import { commandPages } from "../packages/cli/src/services/command-pages.ts";

const folder = join(import.meta.dirname, "../docs/cli");
mkdirSync(folder, { recursive: true });
const pages = commandPages(await allCommands());
for (const name of readdirSync(folder)) if (!(name in pages)) rmSync(join(folder, name));
for (const [name, text] of Object.entries(pages)) writeFileSync(join(folder, name), text);
process.stdout.write(`${Object.keys(pages).length} pages in ${folder}\n`);
