/** One bulk TCP stream through a tunnel on this machine: ours, and what people use instead, in turn. */
import { missingPrograms, Worker } from "./processes.ts";
import { type Bench, Rounds } from "./report.ts";
import { sshForwardPair } from "./ssh-forward.ts";
import { enginePair, type StreamPair } from "./streams.ts";
import { wireguardGoPair } from "./wireguard-go.ts";

const OURS = "our engine, UDP, MTU 1280";
const FLOOR = "seal + node:dgram + open, no TCP";
const WIREGUARD_GO = "wireguard-go, MTU 1280";
const SSH_CHACHA = "ssh -L, chacha20-poly1305";
const SSH_AES = "ssh -L, aes128-gcm";
const TARGET_GBIT = 1;

export const tunnelBench: Bench = async ({ rounds, seconds, profileFolder, progress }) => {
  const measured = new Rounds();
  const missing: string[] = [];
  await using owned = new AsyncDisposableStack();
  const pairs = new Map<string, StreamPair>();
  const contestant = async (name: string, needs: readonly string[], open: () => Promise<StreamPair>): Promise<void> => {
    if (needs.length > 0) missing.push(`${name}: needs ${needs.join(", ")}`);
    else pairs.set(name, owned.use(await open()));
  };
  await contestant(OURS, [], () => enginePair({ profileFolder }));
  await contestant(WIREGUARD_GO, wireguardNeeds(), wireguardGoPair);
  const ssh = missingPrograms("ssh", "ssh-keygen").concat(sshdMissing());
  await contestant(SSH_CHACHA, ssh, () => sshForwardPair("chacha20-poly1305@openssh.com"));
  await contestant(SSH_AES, ssh, () => sshForwardPair("aes128-gcm@openssh.com"));

  for (let round = 0; round < rounds; round++) {
    progress(`tunnel, round ${round + 1} of ${rounds}`);
    const goal = { better: "higher" } as const;
    measured.add(FLOOR, await floor(seconds), "Gbit/s", goal);
    for (const direction of ["up", "down"] as const) {
      for (const [name, pair] of pairs) {
        const rate = await pair.measure(direction, seconds);
        measured.add(name, rate.gbitPerSecond, "Gbit/s", name === OURS ? { ...goal, target: TARGET_GBIT } : goal);
        if (name !== OURS) continue;
        measured.add("our engine, CPU of the sender", rate.sender, "s/GB", { better: "lower" });
        measured.add("our engine, CPU of the receiver", rate.receiver, "s/GB", { better: "lower" });
      }
    }
  }
  return {
    figures: measured.figures(),
    ratios: measured.against(OURS, WIREGUARD_GO, SSH_CHACHA, SSH_AES),
    missing,
    notes: [`one stream, one direction at a time, ${seconds} s each, both ends on this machine`],
  };
};

/** What this machine could do at most with one system call and one seal per packet. */
async function floor(seconds: number): Promise<number> {
  await using receiver = new Worker("datagram-peer.ts");
  await using sender = new Worker("datagram-peer.ts");
  const { port } = await receiver.ask<{ port: number }>({ do: "open", receive: true });
  await sender.ask({ do: "open" });
  await sender.ask({ do: "send", port, seconds: 0.3 });
  await receiver.ask({ do: "received" });
  await sender.ask({ do: "send", port, seconds });
  return (await receiver.ask<{ gbitPerSecond: number }>({ do: "received" })).gbitPerSecond;
}

function wireguardNeeds(): string[] {
  const missing = missingPrograms("ip", "wg", "wireguard-go");
  return process.getuid?.() === 0 ? missing : [...missing, "root"];
}

function sshdMissing(): string[] {
  const path = process.env["PATH"];
  process.env["PATH"] = `${path}:/usr/sbin:/sbin`;
  const missing = missingPrograms("sshd");
  process.env["PATH"] = path;
  return missing;
}
