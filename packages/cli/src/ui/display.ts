import { forTerminal } from "../base/line-ends.ts";
import { say } from "../base/say.ts";
import { printableLog } from "../base/text.ts";
import { hasColours, type Paint, PLAIN } from "./paint.ts";
import type { Ask } from "./prompt.ts";
import { StageLine } from "./stages.ts";

/** Output and questions of a command. */
export interface Display {
  /** Writes the result to standard output, unchanged. */
  readonly print: (text: string) => void;
  /** Writes one or more lines for the user to stderr. */
  readonly say: (text: string) => void;
  /** Like `say`, for text that contains colours. */
  readonly sayPainted: (text: string) => void;
  /** The line for the stage that takes time. */
  readonly stages: Pick<StageLine, "set" | "clear">;
  /** Colours of standard output and of stderr. */
  readonly paint: Paint;
  readonly sayPaint: Paint;
  /** Whether standard output and stderr are terminals. */
  readonly live: boolean;
  readonly sayLive: boolean;
  /** Asks until the answer is valid. Refuses where there is no terminal to answer on. */
  readonly ask: Ask;
  readonly asks: boolean;
}

export interface DisplayOptions {
  /** `--force-tty`: the standard streams count as terminals. */
  readonly forceTty: boolean;
  /** `--no-color`. */
  readonly noColor: boolean;
}

/** The standard streams of this process. */
export async function processDisplay({ forceTty, noColor }: DisplayOptions): Promise<Display> {
  const { stdout, stderr, env } = process;
  const isTerminal = (stream: { readonly isTTY?: boolean }): boolean => forceTty || stream.isTTY === true;
  const paintOf = async (terminal: boolean): Promise<Paint> =>
    hasColours({ terminal, refused: noColor, environment: env }) ? (await import("./colours.ts")).COLOURS : PLAIN;
  const [live, sayLive] = [isTerminal(stdout), isTerminal(stderr)];
  return {
    print: (text) => void stdout.write(text),
    say,
    sayPainted: (text) => void stderr.write(forTerminal(`${text.split("\n").map(printableLog).join("\n")}\n`)),
    stages: new StageLine(stderr, sayLive),
    paint: await paintOf(live),
    sayPaint: await paintOf(sayLive),
    live,
    sayLive,
    ask: async (question, options) => (await import("./prompt.ts")).ask(question, options, forceTty),
    // Asked for by few: opening standard input loads what reads files.
    get asks() {
      return isTerminal(process.stdin);
    },
  };
}
