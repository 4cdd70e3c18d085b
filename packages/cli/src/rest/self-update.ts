import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { chmod, open, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { foreignAnswer } from "coder-client/rest/answerer";
import { failureOf } from "coder-client/rest/api-failure";
import type { Deployment } from "coder-client/rest/deployment";
import { UserError } from "../errors/user-error.ts";
import { packagedBy } from "./packaged-by.ts";

/** Larger than any real executable. */
const MAX_PROGRAM_BYTES = 1024 * 1024 * 1024;
const MAX_SUMS_BYTES = 64 * 1024;
/** A download that receives no byte for this long has failed. */
const STALL_MS = 60_000;
/** Allows for a first start, which unpacks and compiles. */
const TRY_MS = 60_000;

export interface UpdatedProgram {
  /** The running program: a single executable, or Node with our script. */
  readonly path: string;
  readonly single: boolean;
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  readonly version: string;
}

export type UpdateOutcome =
  | { readonly kind: "same"; readonly path: string; readonly version: string }
  | { readonly kind: "replaced"; readonly path: string; readonly before: string; readonly after: string };

/** Replaces the running executable with the one that the deployment provides. Throws a UserError, having changed nothing then. */
export async function updateProgram(
  deployment: Deployment,
  program: UpdatedProgram,
  options: { readonly signal: AbortSignal; readonly say: (line: string) => void },
): Promise<UpdateOutcome> {
  const installLine = `curl -fsSL ${deployment.url.origin}/install.sh | sh`;
  const path = await ownPath(program, installLine);
  const name = programName(program);
  const wanted = await announcedSum(deployment, name, options.signal);
  if ((await sumOf(path)) === wanted) return { kind: "same", path, version: program.version };
  // In the same folder, so that the last step is a rename, and with the same extension, without which Windows would not run it.
  const fresh = join(dirname(path), `.${randomBytes(6).toString("hex")}-${basename(path)}`);
  try {
    options.say(`Downloading ${deployment.resolve(`/bin/${name}`).href}`);
    await download(deployment, name, fresh, wanted, options.signal);
    await chmod(fresh, (await stat(path)).mode & 0o7777);
    const after = await versionOf(fresh, options.signal);
    await replace(path, fresh, program.platform);
    return { kind: "replaced", path, before: program.version, after };
  } catch (error) {
    await rm(fresh, { force: true });
    throw notWritable(error, path);
  }
}

async function ownPath(program: UpdatedProgram, installLine: string): Promise<string> {
  // Package managers put links to their programs into folders of PATH.
  const path = await realpath(program.path);
  const packaged = packagedBy(path, program.arch);
  if (!program.single) {
    throw new UserError("This coder is not a single executable, so it cannot replace itself", {
      why: packaged === undefined ? "it runs from a checkout" : `it was installed by ${packaged.by}`,
      next: [
        packaged === undefined ? "update the checkout and build it again" : packaged.next,
        `or install the executable: ${installLine}`,
      ],
      code: "ERR_NOT_UPDATABLE",
    });
  }
  if (packaged === undefined) return path;
  throw new UserError(`"${path}" was installed by ${packaged.by}, which would undo an update`, {
    next: [packaged.next],
    code: "ERR_NOT_UPDATABLE",
  });
}

/** The deployment's name for the executable of this platform. */
export function programName(program: Pick<UpdatedProgram, "platform" | "arch">): string {
  const system = program.platform === "win32" ? "windows" : program.platform;
  const architecture = ({ x64: "amd64", arm: "armv7" } as Record<string, string>)[program.arch] ?? program.arch;
  return `coder-${system}-${architecture}${system === "windows" ? ".exe" : ""}`;
}

async function announcedSum(deployment: Deployment, name: string, signal: AbortSignal): Promise<string> {
  const host = deployment.url.host;
  const answer = await deployment.send("/bin/SHA256SUMS", { signal });
  const text = typeof answer.body === "string" && answer.body.length <= MAX_SUMS_BYTES ? answer.body : "";
  if (answer.status !== 200 || !/^[0-9a-f]{64} {2}coder-/m.test(text)) {
    // A load balancer's 503, a login page or a failure of the deployment says nothing about what it provides.
    const foreign = foreignAnswer(answer, host);
    if (foreign !== undefined) throw foreign;
    if (answer.status !== 200 && answer.status !== 404)
      throw failureOf(answer, "The list of coder commands could not be read", host);
    throw new UserError(`${host} provides no coder command`, {
      next: ["ask its administrator to start the server with --binaries-dir"],
      code: "ERR_NO_PROGRAM",
    });
  }
  const lines = text.split("\n").map((line) => /^([0-9a-f]{64}) {2}(.+)$/.exec(line));
  const sum = lines.find((match) => match?.[2] === name)?.[1];
  if (sum !== undefined) return sum;
  throw new UserError(`${host} has no ${name}`, {
    why: `it has: ${lines.flatMap((match) => match?.[2] ?? []).join(", ")}`,
    next: ["ask its administrator to add it to the server's --binaries-dir"],
    code: "ERR_NO_PROGRAM",
  });
}

async function download(
  deployment: Deployment,
  name: string,
  file: string,
  wanted: string,
  signal: AbortSignal,
): Promise<void> {
  const answer = await deployment.stream(`/bin/${name}`, { accept: "application/octet-stream", signal });
  answer.setTimeout(STALL_MS, () => answer.destroy(new Error("the download stalled")));
  const hash = createHash("sha256");
  let size = 0;
  const check = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      hash.update(chunk);
      if (size > MAX_PROGRAM_BYTES) done(new Error(`it is over ${MAX_PROGRAM_BYTES} bytes`));
      else done(null, chunk);
    },
  });
  try {
    await pipeline(answer, check, createWriteStream(file, { flags: "wx", mode: 0o600 }), { signal });
  } catch (error) {
    signal.throwIfAborted();
    if ((error as NodeJS.ErrnoException).syscall !== undefined) throw error;
    throw new UserError(`The download of ${name} failed`, { why: (error as Error).message, cause: error });
  }
  const sum = hash.digest("hex");
  if (sum !== wanted) {
    throw new UserError(`The download is not what ${deployment.url.host} announced`, {
      why: `SHA-256 is ${sum}, it should be ${wanted}`,
      next: ["run this again; if the problem persists, tell the administrator"],
      code: "ERR_WRONG_SUM",
    });
  }
  const handle = await open(file, "r+");
  await handle.sync(); // a power failure after the rename must not leave an empty command
  await handle.close();
}

async function sumOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** Checks that the new program runs here before it replaces the old one. */
async function versionOf(path: string, signal: AbortSignal): Promise<string> {
  try {
    const done = await promisify(execFile)(path, ["version", "--output", "json"], { timeout: TRY_MS, signal });
    const { version } = JSON.parse(done.stdout) as { version?: unknown };
    if (typeof version === "string" && version.length < 128) return version;
    throw new Error("it does not report its version");
  } catch (error) {
    signal.throwIfAborted();
    throw new UserError("The deployment's executable does not run on this machine", {
      why: (error as Error).message.split("\n").slice(0, 3).join("; "),
      code: "ERR_DOES_NOT_RUN",
      cause: error,
    });
  }
}

/** Windows lets a running program be renamed, but not replaced. */
async function replace(path: string, fresh: string, platform: NodeJS.Platform): Promise<void> {
  if (platform !== "win32") return rename(fresh, path);
  const old = `${path}.old`;
  await rm(old, { force: true });
  await rename(path, old);
  try {
    await rename(fresh, path);
  } catch (error) {
    await rename(old, path);
    throw error;
  }
}

function notWritable(error: unknown, path: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined || code === undefined || error instanceof UserError) return error;
  const denied = ["EACCES", "EPERM", "EROFS"].includes(code);
  return new UserError(`"${path}" cannot be replaced`, {
    why: denied ? `this user may not write to ${dirname(path)}` : code,
    next: denied ? ["run this as the user who installed it, for example with sudo"] : [],
    code: "ERR_NOT_UPDATABLE",
    cause: error,
  });
}
