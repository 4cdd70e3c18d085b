/** Shell commands of a bench, each with a deadline. */
import { spawn } from "node:child_process";
import { once } from "node:events";

/** Quotes a text as one word of a POSIX shell. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export function words(...parts: readonly string[]): string {
  return parts.map(quoted).join(" ");
}

/** Resolves with standard output. Rejects with the end of standard error when the command fails or is late. */
export async function shell(command: string, env: NodeJS.ProcessEnv, withinMs: number): Promise<string> {
  const child = spawn("bash", ["-o", "pipefail", "-c", command], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true, // a group of its own, so that the deadline ends all of it
  });
  const deadline = setTimeout(() => process.kill(-child.pid!, "SIGKILL"), withinMs);
  const [output, errors] = [[] as Buffer[], [] as Buffer[]];
  child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
  const [code] = (await once(child, "close")) as [number | null];
  clearTimeout(deadline);
  if (code === 0) return Buffer.concat(output).toString("utf8");
  const said = Buffer.concat(errors).toString("utf8").trim().slice(-500);
  throw new Error(`${command}: ${code === null ? `not done after ${withinMs} ms` : `exit ${code}`}: ${said}`);
}
