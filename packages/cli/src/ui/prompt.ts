import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { orAborted } from "wg-userspace/async/abort";
import { printableLines } from "../base/text.ts";
import { CancelledError, UserError } from "../errors/user-error.ts";

export type Ask = (question: string, options: Question) => Promise<string>;

export interface Question {
  /** Typed text is not shown. */
  readonly hidden?: boolean;
  readonly signal: AbortSignal;
  /** What to do where there is no terminal to ask on. */
  readonly instead: string;
  /** Returns what is wrong with an answer, which is shown before asking again, or undefined. */
  readonly check?: (answer: string) => string | undefined;
}

/** The lines of a standard input that is no terminal. It is read ahead, so one reader serves all questions of the process. */
let scripted: AsyncIterator<string> | undefined;

/**
 * Asks on stderr, to keep stdout clean, until the answer is valid. Refuses when there is no terminal, unless forced: each line of
 * standard input is then an answer.
 */
export async function ask(question: string, options: Question, forced: boolean): Promise<string> {
  if (!process.stdin.isTTY && !forced) {
    throw new UserError(`Cannot ask "${question.trim()}": there is no terminal`, {
      next: [options.instead],
      code: "ERR_NO_TERMINAL",
    });
  }
  for (;;) {
    const text = printableLines(question);
    const answer = process.stdin.isTTY
      ? await askOnce(text, options.hidden === true, options.signal)
      : await nextLine(text, options.signal);
    const problem = options.check?.(answer);
    if (problem === undefined) return answer;
    process.stderr.write(`  ${problem}\n`);
  }
}

/** Asks for a new password twice. */
export async function askNewPassword(ask: Ask, options: Question): Promise<string> {
  for (;;) {
    const password = await ask("Password: ", { ...options, hidden: true });
    if ((await ask("Password again: ", { ...options, hidden: true, check: () => undefined })) === password)
      return password;
    process.stderr.write("  They differ. Try again:\n");
  }
}

/** Asks a yes/no question whose default is yes. */
export async function confirm(ask: Ask, question: string, signal: AbortSignal): Promise<boolean> {
  const answer = await ask(`${question} (Y/n) `, {
    signal,
    instead: "answer with --yes",
    check: (text) => (/^(y(es)?|no?|)$/i.test(text) ? undefined : "Please answer yes or no."),
  });
  return !/^n/i.test(answer);
}

async function nextLine(question: string, signal: AbortSignal): Promise<string> {
  process.stderr.write(question);
  scripted ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const line = await orAborted(scripted.next(), signal);
  process.stderr.write("\n");
  if (line.done === true) throw new CancelledError("end of input");
  return line.value.trim();
}

async function askOnce(question: string, hidden: boolean, signal: AbortSignal): Promise<string> {
  let muted = false;
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (!muted) process.stderr.write(chunk);
      done();
    },
  });
  const line = createInterface({ input: process.stdin, output, terminal: true });
  // In raw mode the terminal sends no signal for Ctrl-C.
  line.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  const closed = new Promise<never>((_, reject) => {
    line.once("close", () => reject(new CancelledError("end of input")));
  });
  closed.catch(() => undefined); // we close it after the answer
  try {
    const answer = line.question(question, { signal });
    muted = hidden;
    return (await Promise.race([answer, closed])).trim();
  } finally {
    line.close();
    if (muted) process.stderr.write("\n");
  }
}
