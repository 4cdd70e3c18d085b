/** The colours of a terminal. Loaded only where colours are used, which scripts and pipes do not need. */
import { Chalk } from "chalk";
import type { Paint } from "./paint.ts";

/** The sixteen colours that every terminal has. Whether to use colours is decided elsewhere, for each stream. */
const chalk = new Chalk({ level: 1 });

export const COLOURS: Paint = {
  keyword: chalk.bold.cyan,
  good: chalk.green,
  bad: chalk.yellow,
  faint: chalk.dim,
  added: chalk.green,
  removed: chalk.red,
  place: chalk.cyan,
};
