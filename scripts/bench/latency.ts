/** Round trips of small packets through the tunnel, alone and beside one bulk stream: ours, and common alternatives. */
import { type Many, manyBySsh, manyByWireguardGo, manyEngines } from "./many.ts";
import { missingPrograms } from "./processes.ts";
import { nativeMissing } from "./programs.ts";
import { type Bench, Rounds } from "./report.ts";
import { sshdMissing } from "./sshd.ts";
import { wireguardNeeds } from "./wireguard-go.ts";

const OURS = ["our engine", "our engine, plain npm"];
const WIREGUARD_GO = "wireguard-go";
const SSH = "ssh -L, chacha20-poly1305";
const CASES = [
  { name: "alone", beside: undefined },
  { name: "beside bulk the same way", beside: "up" },
  { name: "beside bulk the other way", beside: "down" },
] as const;
const BESIDE_TARGET_MS = 20;

export const latencyBench: Bench = async ({ rounds, seconds, progress }) => {
  const measured = new Rounds();
  const missing: string[] = [];
  await using owned = new AsyncDisposableStack();
  const carriers = new Map<string, Many>();
  const carrier = async (name: string, needs: readonly string[], open: () => Promise<Many>): Promise<void> => {
    if (needs.length > 0) missing.push(`${name}: needs ${needs.join(", ")}`);
    else carriers.set(name, owned.use(await open()));
  };
  await carrier(OURS[0]!, await nativeMissing(), () => manyEngines());
  await carrier(OURS[1]!, [], () => manyEngines({ native: false }));
  await carrier(WIREGUARD_GO, wireguardNeeds().concat(missingPrograms("wireguard-go")), manyByWireguardGo);
  await carrier(SSH, missingPrograms("ssh", "ssh-keygen").concat(sshdMissing()), () =>
    manyBySsh("chacha20-poly1305@openssh.com"),
  );
  const figure = (who: string, what: string, share: string): string => `${who}, ${what}, ${share}`;
  for (let round = 0; round < rounds; round++) {
    progress(`small packets, round ${round + 1} of ${rounds}`);
    for (const { name, beside } of CASES) {
      for (const [who, many] of carriers) {
        const { p50, p99 } = await many.ask(seconds, beside);
        const target = OURS.includes(who) && beside !== undefined ? BESIDE_TARGET_MS : undefined;
        measured.add(figure(who, name, "p50"), p50, "ms", { better: "lower" });
        measured.add(figure(who, name, "p99"), p99, "ms", { better: "lower", target });
      }
    }
  }
  return {
    figures: measured.figures(),
    ratios: OURS.flatMap((who) =>
      CASES.flatMap(({ name }) =>
        ["p50", "p99"].flatMap((share) =>
          measured.against(figure(who, name, share), figure(WIREGUARD_GO, name, share), figure(SSH, name, share)),
        ),
      ),
    ),
    missing,
    notes: [
      "64 bytes there and back, then 2 ms of pause, over a TCP stream of its own; the same tunnel carries the bulk",
    ],
  };
};
