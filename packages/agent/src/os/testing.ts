import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, realpathSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MOUNT = `
exec 3<>/dev/fuse || exit
mount -i -n -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 hung "$1" || exit
echo mounted
read -r _
`;

/** A file system that never answers, as a network mount whose server vanished: a FUSE mount without a program behind it. */
export class HungMount {
  /** Elsewhere there is no such mount. Root may still not be allowed to make one, as in most containers. */
  static readonly isPossible = process.platform === "linux" && process.getuid?.() === 0 && existsSync("/dev/fuse");
  readonly point: string;
  readonly #holder: ChildProcess;

  private constructor(point: string, holder: ChildProcess) {
    this.point = point;
    this.#holder = holder;
  }

  /** Undefined where root may not mount. */
  static async make(): Promise<HungMount | undefined> {
    const point = realpathSync(mkdtempSync(join(tmpdir(), "hung-")));
    const holder = spawn("sh", ["-c", MOUNT, "sh", point], { stdio: ["pipe", "pipe", "ignore"] });
    const mounted = once(holder.stdout, "data").then(() => true);
    const ended = once(holder, "exit").then(() => false);
    if (await Promise.race([mounted, ended])) return new HungMount(point, holder);
    rmdirSync(point);
    return undefined;
  }

  /** Everything that waits fails. */
  async close(): Promise<void> {
    const ended = once(this.#holder, "exit");
    this.#holder.stdin?.end();
    await ended;
    execFileSync("umount", ["-l", this.point]);
    rmdirSync(this.point);
  }
}
