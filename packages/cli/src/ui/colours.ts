/** The paint of a terminal. Loaded where something is painted: scripts and pipes do without. */
import { Chalk } from "chalk";
import type { Paint } from "./paint.ts";

/** The sixteen colours that every terminal has. Whether there are any is decided before, for each stream. */
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
