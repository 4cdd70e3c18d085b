/**
 * The relayed tunnel: throughput of engine ↔ relay ↔ engine in three processes, our implementations and Go's in all
 * combinations.
 */
import { missingPrograms } from "./processes.ts";
import { goProgram, nativeMissing } from "./programs.ts";
import { type Bench, Rounds } from "./report.ts";
import { buildRelayPrograms, ourRelay, stockRelay } from "./stock-relay.ts";
import { type EnginePairOptions, enginePair, type StreamPair } from "./streams.ts";

const TARGET_GBIT = 1;

const OURS = "our engines through our relay";
const OURS_PLAIN = "our engines through our relay, plain npm";
const OURS_WEB_SOCKET = "our engines through our relay, WebSocket";
const OURS_STOCK = "our engines through derper";
const OURS_PLAIN_STOCK = "our engines through derper, plain npm";
const GO = "Go engines through our relay";
const GO_STOCK = "Go engines through derper";

export const relayBench: Bench = async ({ rounds, seconds, profileFolder, progress }) => {
  const measured = new Rounds();
  const missing: string[] = [];
  await using owned = new AsyncDisposableStack();
  const pairs = new Map<string, StreamPair>();
  const contestant = async (name: string, needs: readonly string[], options: EnginePairOptions): Promise<void> => {
    if (needs.length > 0) missing.push(`${name}: needs ${needs.join(", ")}`);
    else pairs.set(name, owned.use(await enginePair(options)));
  };
  const noNative = await nativeMissing();
  const noGo = missingPrograms("go");
  const { port: relayPort } = owned.use(await ourRelay(profileFolder));
  await contestant(OURS, noNative, { relayPort, native: true, profileFolder });
  await contestant(OURS_PLAIN, [], { relayPort, native: false, profileFolder });
  await contestant(OURS_WEB_SOCKET, noNative, { relayPort, native: true, webSocket: true });
  if (noGo.length > 0) missing.push(`${OURS_STOCK}, ${GO}, ${GO_STOCK}: need ${noGo.join(", ")}`);
  else {
    buildRelayPrograms();
    const { port: stockPort } = owned.use(await stockRelay());
    await contestant(OURS_STOCK, noNative, { relayPort: stockPort, native: true });
    await contestant(OURS_PLAIN_STOCK, [], { relayPort: stockPort, native: false });
    const peer = await goProgram("relaypeer", "./relaypeer");
    const [needs, program] = "path" in peer ? [[], peer.path] : [[peer.missing], ""];
    await contestant(GO, needs, { relayPort, program });
    await contestant(GO_STOCK, needs, { relayPort: stockPort, program });
  }
  for (let round = 0; round < rounds; round++) {
    progress(`relayed tunnel, round ${round + 1} of ${rounds}`);
    for (const direction of ["up", "down"] as const) {
      for (const [name, pair] of pairs) {
        const { gbitPerSecond } = await pair.measure(direction, seconds);
        const target = name === OURS_PLAIN ? TARGET_GBIT : undefined;
        measured.add(name, gbitPerSecond, "Gbit/s", { better: "higher", target });
      }
    }
  }
  return {
    figures: measured.figures(),
    ratios: [
      ...measured.against(OURS, GO_STOCK, GO, OURS_STOCK),
      ...measured.against(OURS_PLAIN, GO_STOCK, GO, OURS_PLAIN_STOCK),
      ...measured.against(OURS_WEB_SOCKET, OURS),
    ],
    missing,
    notes: [
      "MTU 1280; both engines and the relay share the cores of this machine",
      "derper is the relay of tailscale.com; Go engines are wireguard-go and gVisor's TCP on the relay client of tailscale.com",
    ],
  };
};
