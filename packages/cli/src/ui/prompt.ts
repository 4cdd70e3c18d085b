import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { UserError } from "../errors/user-error.ts";

/** Asks on stderr, so that stdout stays clean. Refuses when nobody can answer. */
export async function ask(
  question: string,
  options: { hidden?: boolean; signal: AbortSignal; instead: string },
): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new UserError(`Cannot ask "${question.trim()}": there is no terminal`, {
      next: [options.instead],
      code: "ERR_NO_TERMINAL",
    });
  }
  let muted = false;
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (!muted) process.stderr.write(chunk);
      done();
    },
  });
  const line = createInterface({ input: process.stdin, output, terminal: true });
  try {
    const answer = line.question(question, { signal: options.signal });
    muted = options.hidden === true;
    return (await answer).trim();
  } finally {
    line.close();
    if (muted) process.stderr.write("\n");
  }
}

/** A yes/no question with a default of yes. */
export async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  const answer = await ask(`${question} (Y/n) `, { signal, instead: "answer with --yes" });
  return answer === "" || /^y(es)?$/i.test(answer);
}
