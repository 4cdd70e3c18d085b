/**
 * The way into a workspace over an emulated link that is long and loses packets: the deployment and the agent, or a stock sshd,
 * on its far side, the command on its near side. There the transport decides, not the processor.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EmulatedLink } from "./emulated-link.ts";
import { hostsNeeds, inside } from "./hosts.ts";
import { missingPrograms } from "./processes.ts";
import { cProgram } from "./programs.ts";
import { words } from "./shell.ts";
import { openSshd } from "./sshd.ts";
import { startSystem } from "./system.ts";
import { coderSsh, type Row } from "./user-rows.ts";
import { GCM_FIRST, runner, type Side } from "./user-side.ts";

const PATH = { rttMs: 80, kbitPerSecond: 100_000, lossPerMillion: 1_000 };
/** A drop-tail queue of one round trip. */
const QUEUE_BYTES = (PATH.kbitPerSecond * PATH.rttMs) / 8;
const WHERE = `${PATH.rttMs} ms, ${PATH.lossPerMillion / 10_000} % loss`;

/** A long transfer, so that it is the rate that counts and not the start. */
export function linkRows(file: string, bytes: number): Row[] {
  return [
    {
      name: `coder ssh -- cat, download, ${WHERE}`,
      bytes,
      command: (side) => `${coderSsh(side, `cat ${file}`)} | cat > /dev/null`,
    },
    {
      name: `coder ssh -- cat, upload, ${WHERE}`,
      bytes,
      command: (side) => `cat ${file} | ${coderSsh(side, "cat > /dev/null")}`,
    },
    { name: `coder ssh -- true, ${WHERE}`, command: (side) => coderSsh(side, "true") },
  ];
}

/** The sides, each with a link of the same kind to itself in turn; or what this machine lacks for it. */
export async function linkSides(
  owned: AsyncDisposableStack,
  programs: ReadonlyMap<string, string | undefined>,
): Promise<Side[] | string> {
  const needs = hostsNeeds().concat(missingPrograms("chrt"));
  const emulator = needs.length > 0 ? { missing: needs.join(", ") } : await cProgram("link", "link.c");
  if ("missing" in emulator) return emulator.missing;
  const link = await EmulatedLink.open(owned, emulator.path);
  for (const host of [link.left, link.right]) host.run("ip", "link", "set", "lo", "up");
  await setLink(link, 0);
  const sides: Side[] = [];
  for (const [name, command] of programs) {
    const make = command === undefined ? opensshSide(owned, link) : ourSide(owned, link, command);
    sides.push({ name, ...(await make), [Symbol.asyncDispose]: () => Promise.resolve() });
  }
  return sides.map((side) => lossy(link, side));
}

/** The same packets are lost for every side in a round. */
function lossy(link: EmulatedLink, side: Side): Side {
  let runs = 0;
  const run: Side["run"] = async (command) => {
    await setLink(link, ++runs);
    const cost = await side.run(command);
    await link.check();
    return cost;
  };
  return { ...side, run };
}

/** @param seed 0: no loss. */
function setLink(link: EmulatedLink, seed: number): Promise<void> {
  const lossPerMillion = seed === 0 ? 0 : PATH.lossPerMillion;
  return link.set({ ...PATH, lossPerMillion, queueBytes: QUEUE_BYTES, seed });
}

type Way = Omit<Side, "name" | typeof Symbol.asyncDispose>;

async function ourSide(owned: AsyncDisposableStack, link: EmulatedLink, command: string): Promise<Way> {
  const system = owned.use(await startSystem({ command, hosts: link }));
  const { environment, agentPid: far } = system;
  const coder = words(...inside(link.left), process.execPath, command);
  return { coder, sshConfig: "", host: "demo", forwardPort: 0, run: runner({ far, environment }) };
}

async function opensshSide(owned: AsyncDisposableStack, link: EmulatedLink): Promise<Way> {
  const server = owned.use(await openSshd(link.right));
  const folder = mkdtempSync(join(tmpdir(), "bench-link-"));
  owned.defer(() => rmSync(folder, { recursive: true, force: true }));
  const sshConfig = join(folder, "ssh_config");
  const options = [`HostName=${link.right.address}`, `User=${server.user}`, ...server.options];
  writeFileSync(sshConfig, `Host peer\n${options.join("\n")}\n${GCM_FIRST}`);
  const run = runner({ far: server.pid, environment: process.env });
  return { coder: undefined, before: words(...inside(link.left)), sshConfig, host: "peer", forwardPort: 0, run };
}
