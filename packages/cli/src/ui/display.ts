import { say } from "../base/say.ts";
import { printableLog } from "../base/text.ts";
import { type Paint, paintFor } from "./paint.ts";
import { StageLine } from "./stages.ts";

/** Where a service puts what it has to say. */
export interface Display {
  /** The result, on standard output, as it is. */
  readonly print: (text: string) => void;
  /** A line, or several, for the person: on stderr. */
  readonly say: (text: string) => void;
  /** As `say`, for a line with colours in it. */
  readonly sayPainted: (text: string) => void;
  /** Which stage is being waited for. */
  readonly stages: Pick<StageLine, "set" | "clear">;
  /** Colours of what is printed, and of what is said. */
  readonly paint: Paint;
  readonly sayPaint: Paint;
  /** A terminal shows what is printed. */
  readonly live: boolean;
}

/** The standard streams of this process. */
export function processDisplay(): Display {
  return {
    print: (text) => void process.stdout.write(text),
    say,
    sayPainted: (text) => void process.stderr.write(`${text.split("\n").map(printableLog).join("\n")}\n`),
    stages: new StageLine(),
    paint: paintFor(process.stdout),
    sayPaint: paintFor(process.stderr),
    live: process.stdout.isTTY === true,
  };
}
