/**
 * The speed that a user experiences: sessions, copies and forwards by the command, and by OpenSSH through it, in turn
 * with OpenSSH straight to an sshd of its own. Processor time per 100 MB is the steadier figure on a busy machine.
 */
import { randomFillSync } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildCli } from "../build.ts";
import { usageMissing } from "./process-usage.ts";
import { missingPrograms } from "./processes.ts";
import { nativeMissing } from "./programs.ts";
import { type Bench, type BenchOptions, type BenchResult, Rounds } from "./report.ts";
import { shell } from "./shell.ts";
import { sshdMissing } from "./sshd.ts";
import { coder } from "./system.ts";
import { linkRows, linkSides } from "./user-link.ts";
import { type Material, type Row, userRows } from "./user-rows.ts";
import { type Cost, opensshSide, ourSide, type Side } from "./user-side.ts";

const MEGABYTE = 1_000_000;
const OURS = "coder";
const BESIDE = "coder of the other checkout";
const OPENSSH = "OpenSSH";
const PREPARED_WITHIN_MS = 60_000;
/** Kernel CUBIC takes about ten seconds for it. */
const LINK_BYTES = 25 * MEGABYTE;
const LINK_ROUNDS = 3;
const higher = { better: "higher" } as const;
const lower = { better: "lower" } as const;

export const userBench: Bench = async (options) => {
  const needs = [...usageMissing, ...missingPrograms("bash", "ssh", "scp", "sftp", "ssh-keygen"), ...sshdMissing()];
  if (needs.length > 0) return { figures: [], ratios: [], missing: [`needs ${needs.join(", ")}`], notes: [] };
  await buildCli();
  const native = await nativeMissing();
  await using owned = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "bench-files-"));
  owned.defer(() => rmSync(folder, { recursive: true, force: true }));
  const material = await prepare(folder, options);
  const port = await download(owned, material.fileBytes);
  const sides = [owned.use(await ourSide(OURS, coder, port))];
  if (options.beside !== undefined) sides.push(owned.use(await ourSide(BESIDE, besideCommand(options.beside), port)));
  sides.push(owned.use(await opensshSide(OPENSSH, port)));
  const chosen = (rows: readonly Row[]): Row[] => rows.filter(({ name }) => name.includes(options.rows));
  const near = await measure(sides, chosen(userRows(material)), options, {
    folder,
    missing: native.map((what) => `our native module: needs ${what}; these are figures of plain npm`),
  });
  const far = await overLink(chosen(linkRows(linkFile(folder), LINK_BYTES)), options, folder);
  return {
    figures: [...near.figures, ...far.figures],
    ratios: [...near.ratios, ...far.ratios],
    missing: [...near.missing, ...far.missing],
    notes: [...near.notes, ...far.notes],
  };
};

/** The rows over a long and lossy link. */
async function overLink(rows: readonly Row[], options: BenchOptions, folder: string): Promise<BenchResult> {
  const nothing = { figures: [], ratios: [], missing: [], notes: [] };
  if (rows.length === 0) return nothing;
  await using owned = new AsyncDisposableStack();
  const programs = new Map<string, string | undefined>([[OURS, coder]]);
  if (options.beside !== undefined) programs.set(BESIDE, besideCommand(options.beside));
  programs.set(OPENSSH, undefined);
  const sides = await linkSides(owned, programs);
  if (typeof sides === "string") return { ...nothing, missing: [`the link of 80 ms: needs ${sides}`] };
  const result = await measure(
    sides,
    rows,
    { ...options, rounds: Math.min(options.rounds, LINK_ROUNDS) },
    { folder, missing: [] },
  );
  const notes = [
    `${LINK_BYTES / MEGABYTE} MB over 100 Mbit/s with a queue of one round trip, CUBIC in the kernel, at most ${LINK_ROUNDS} rounds`,
  ];
  return { ...result, notes };
}

function linkFile(folder: string): string {
  const file = join(folder, "over-link");
  writeFileSync(file, randomFillSync(Buffer.allocUnsafe(LINK_BYTES)));
  return file;
}

async function measure(
  sides: readonly Side[],
  rows: readonly Row[],
  { rounds, megabytes, progress }: BenchOptions,
  { folder, missing }: { readonly folder: string; readonly missing: string[] },
): Promise<BenchResult> {
  const measured = new Rounds();
  const skipped = new Set<string>();
  const skip = (name: string, why: string): void => {
    if (!skipped.has(name)) missing.push(`${name}: ${why}`);
    skipped.add(name);
  };
  for (const { name, needs = [] } of rows) {
    const lacking = missingPrograms(...needs);
    if (lacking.length > 0) skip(name, `needs ${lacking.join(", ")}`);
  }
  for (let round = 0; round < rounds; round++) {
    for (const row of rows) {
      if (skipped.has(row.name)) continue;
      progress(`user, round ${round + 1} of ${rounds}: ${row.name}`);
      for (const side of sides) {
        if (row.alone === true && side.coder === undefined) continue;
        const out = join(folder, "out");
        try {
          note(measured, row, side, await side.run(row.command(side, out)));
        } catch (error) {
          skip(row.name, (error as Error).message);
        } finally {
          rmSync(out, { recursive: true, force: true });
        }
      }
    }
  }
  const names = sides.map(({ name }) => name).filter((name) => name !== OURS);
  return {
    figures: measured.figures(),
    ratios: rows.flatMap(({ name }) =>
      ["", ", CPU"].flatMap((what) =>
        measured.against(figure(name, OURS, what), ...names.map((other) => figure(name, other, what))),
      ),
    ),
    missing,
    notes: [
      `transfers of ${megabytes} MB on loopback, start of the command included, aes128-gcm everywhere; "coder cp" is compared with scp`,
      "CPU: processor time of all processes of both sides but for the shared server of the deployment",
    ],
  };
}

function note(measured: Rounds, row: Row, { name }: Side, cost: Cost): void {
  const bytes = row.bytes ?? bytesOf(cost.output);
  const per = bytes === undefined ? 1 : bytes / (100 * MEGABYTE);
  const unit = bytes === undefined ? "ms" : "ms/100 MB";
  const seconds = cost.wallMs / 1000;
  if (bytes === undefined) measured.add(figure(row.name, name, ""), cost.wallMs, "ms", lower);
  else measured.add(figure(row.name, name, ""), bytes / MEGABYTE / seconds, "MB/s", higher);
  measured.add(figure(row.name, name, ", CPU"), (cost.nearMs + cost.farMs) / per, unit, lower);
  measured.add(figure(row.name, name, ", CPU here"), cost.nearMs / per, unit, lower);
  measured.add(figure(row.name, name, ", CPU there"), cost.farMs / per, unit, lower);
}

function figure(row: string, side: string, what: string): string {
  return `${row}: ${side}${what}`;
}

/** How much a speed test carried, from its JSON. */
function bytesOf(output: string): number | undefined {
  if (!output.startsWith("{")) return undefined;
  const { overall } = JSON.parse(output) as {
    overall: { start_time_seconds: number; end_time_seconds: number; throughput_mbits: number };
  };
  return (overall.throughput_mbits * (overall.end_time_seconds - overall.start_time_seconds) * 1e6) / 8;
}

function besideCommand(checkout: string): string {
  const command = join(checkout, "packages/cli/dist/coder.cjs");
  if (!existsSync(command)) throw new Error(`${checkout} has no built command: run "npm run build" there`);
  return command;
}

async function prepare(folder: string, { megabytes, seconds }: BenchOptions): Promise<Material> {
  const file = join(folder, "file");
  const block = randomFillSync(Buffer.allocUnsafe(MEGABYTE));
  for (let i = 0; i < megabytes; i++) appendFileSync(file, block);
  const [smallFiles, manyFiles, repository] = ["small", "many", "repository.git"].map((name) => join(folder, name));
  writeTree(smallFiles!, 200, block);
  writeTree(manyFiles!, 2000, block);
  const git = "git -c user.name=bench -c user.email=bench@example.com";
  if (missingPrograms("git").length === 0) {
    const steps = ["git init -q", "git add .", `${git} commit -q -m files`, `git clone -q --bare . ${repository}`];
    await shell(`cd ${manyFiles} && ${steps.join(" && ")} && rm -rf .git`, process.env, PREPARED_WITHIN_MS);
  }
  const paths = { smallFiles: smallFiles!, manyFiles: manyFiles!, repository: repository! };
  return { file, fileBytes: megabytes * MEGABYTE, ...paths, seconds: Math.min(20, Math.ceil(seconds)) };
}

/** Files of 1 to 8 KiB, 100 in a folder. */
function writeTree(root: string, files: number, content: Buffer): void {
  for (let i = 0; i < files; i++) {
    const folder = join(root, String(Math.floor(i / 100)));
    if (i % 100 === 0) mkdirSync(folder, { recursive: true });
    const bytes = 1024 * (1 + (i % 8));
    writeFileSync(join(folder, `file-${i}`), content.subarray(i, i + bytes));
  }
}

/** Serves one download to every connection, as plainly as HTTP allows. */
async function download(owned: AsyncDisposableStack, bytes: number): Promise<number> {
  const block = randomFillSync(Buffer.allocUnsafe(MEGABYTE));
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\nConnection: close\r\n\r\n`);
      let left = bytes;
      const fill = (): void => {
        while (left > 0) {
          const part = left < MEGABYTE ? block.subarray(0, left) : block;
          left -= part.length;
          if (!socket.write(part)) return void socket.once("drain", fill);
        }
        socket.end();
      };
      fill();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  owned.defer(() => new Promise((resolve) => server.close(() => resolve(undefined))));
  return (server.address() as AddressInfo).port;
}
