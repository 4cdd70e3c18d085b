import { execFile } from "node:child_process";
import { readlinkSync } from "node:fs";
import { promisify } from "node:util";
import { UserError } from "../errors/user-error.ts";
import type { ServicePlaces } from "./places.ts";

/** Stopping waits for the service, which has its own limit. */
const LIMIT_MS = 120_000;

/** Runs systemctl for the system's manager or the user's own. */
export class Systemctl {
  readonly #words: readonly string[];
  readonly #scope: ServicePlaces["scope"];

  constructor({ systemctl, scope }: Pick<ServicePlaces, "systemctl" | "scope">) {
    this.#words = systemctl;
    this.#scope = scope;
  }

  /**
   * Throws a UserError where no manager answers.
   * @param instead What the user can do then.
   */
  async check(instead: string): Promise<void> {
    try {
      await this.#run(["show", "--property=Version"]);
    } catch (error) {
      const absent = (error as NodeJS.ErrnoException).code === "ENOENT";
      const own = this.#scope === "user";
      throw new UserError(own ? "Your own systemd manager does not answer" : "systemd does not run here", {
        why: absent ? "there is no systemctl" : lastLine(error),
        next: [
          ...(own && !absent
            ? ["log in by ssh or at the machine, not by su or sudo; or install as root without --user"]
            : []),
          instead,
        ],
        code: "ERR_NO_SYSTEMD",
        cause: error,
      });
    }
  }

  /** Throws a UserError with systemctl's message. */
  async run(...words: readonly string[]): Promise<string> {
    try {
      return await this.#run(words);
    } catch (error) {
      throw new UserError(`"${["systemctl", ...this.#words, ...words].join(" ")}" failed`, {
        why: lastLine(error),
        next: [`journalctl ${this.#scope === "user" ? "--user " : ""}-e`],
        code: "ERR_SYSTEMD",
        cause: error,
      });
    }
  }

  async isActive(unit: string): Promise<boolean> {
    return this.#run(["is-active", "--quiet", unit]).then(
      () => true,
      () => false, // its exit code is the answer
    );
  }

  /** Whether the service runs a program that was replaced since its start. */
  async runsOldProgram(unit: string): Promise<boolean> {
    const pid = (await this.#run(["show", "--property=MainPID", "--value", unit]).catch(() => "")).trim();
    try {
      return /^[1-9]\d*$/.test(pid) && readlinkSync(`/proc/${pid}/exe`).endsWith(" (deleted)");
    } catch {
      return false; // the process is another user's, or gone
    }
  }

  async #run(words: readonly string[]): Promise<string> {
    const all = [...this.#words, "--no-pager", ...words];
    const { stdout } = await promisify(execFile)("systemctl", all, { timeout: LIMIT_MS });
    return stdout;
  }
}

function lastLine(error: unknown): string {
  const { stderr = "", message } = error as { stderr?: string; message: string };
  return stderr.trim().split("\n").at(-1) || message.split("\n")[0]!;
}
