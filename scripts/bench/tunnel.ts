/** One bulk TCP stream through a tunnel on this machine: ours, and common alternatives, in turn. */
import { missingPrograms, Worker } from "./processes.ts";
import { nativeMissing } from "./programs.ts";
import { type Bench, Rounds } from "./report.ts";
import { sshForwardPair } from "./ssh-forward.ts";
import { sshdMissing } from "./sshd.ts";
import { enginePair, type StreamPair } from "./streams.ts";
import { wireguardGoPair, wireguardNeeds } from "./wireguard-go.ts";

/** 8920 is the MTU inside a path of 9000. */
const OURS: readonly { name: string; native: boolean; mtu: number; target?: number }[] = [
  { name: "our engine, MTU 1280", native: true, mtu: 1280, target: 3 },
  { name: "our engine, plain npm, MTU 1280", native: false, mtu: 1280, target: 1 },
  { name: "our engine, MTU 8920", native: true, mtu: 8920 },
  { name: "our engine, plain npm, MTU 8920", native: false, mtu: 8920, target: 2.5 },
];
const FLOOR = "seal + node:dgram + open, no TCP";
const WIREGUARD_GO_MTU = 1280;
const WIREGUARD_GO = `wireguard-go, MTU ${WIREGUARD_GO_MTU}`;
const SSH_CHACHA = "ssh -L, chacha20-poly1305";
const SSH_AES = "ssh -L, aes128-gcm";

export const tunnelBench: Bench = async ({ rounds, seconds, profileFolder, progress }) => {
  const measured = new Rounds();
  const missing: string[] = [];
  await using owned = new AsyncDisposableStack();
  const pairs = new Map<string, StreamPair>();
  const contestant = async (name: string, needs: readonly string[], open: () => Promise<StreamPair>): Promise<void> => {
    if (needs.length > 0) missing.push(`${name}: needs ${needs.join(", ")}`);
    else pairs.set(name, owned.use(await open()));
  };
  const noNative = await nativeMissing();
  for (const { name, native, mtu } of OURS) {
    await contestant(name, native ? noNative : [], () => enginePair({ native, mtu, profileFolder }));
  }
  await contestant(WIREGUARD_GO, wireguardNeeds().concat(missingPrograms("wireguard-go")), () => wireguardGoPair());
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
        const own = OURS.find((one) => one.name === name);
        measured.add(name, rate.gbitPerSecond, "Gbit/s", { ...goal, target: own?.target });
        if (own === undefined) continue;
        measured.add(`${name}: CPU of the sender`, rate.sender, "s/GB", { better: "lower" });
        measured.add(`${name}: CPU of the receiver`, rate.receiver, "s/GB", { better: "lower" });
      }
    }
  }
  return {
    figures: measured.figures(),
    ratios: OURS.flatMap(({ name, mtu }) => {
      const sameMtu = mtu === WIREGUARD_GO_MTU ? [WIREGUARD_GO] : [];
      return measured.against(name, ...sameMtu, SSH_CHACHA, SSH_AES);
    }),
    missing,
    notes: [`one stream, one direction at a time, ${seconds} s each, both ends on this machine`],
  };
};

/** Upper bound of this machine with one system call and one seal per packet. */
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
