import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { AutoForwards } from "./auto-forwards.ts";
import { ForwardPlaces } from "./forward-places.ts";

const QUIET = { level: "error", log: () => undefined } as const;
const { signal } = new AbortController();
let program: Server;
let port: number;

beforeEach(async () => {
  program = createServer().listen(0, "127.0.0.1");
  await once(program, "listening");
  ({ port } = program.address() as AddressInfo);
});
afterEach(() => {
  program.close();
});

it("announces a port once, although on one machine it also sees its own listeners", async () => {
  const said: string[] = [];
  let listening: number[] = [port];
  const forwards = new AutoForwards({
    workspace: "dev",
    taken: new Set(),
    list: async () => listening.map((one) => ({ port: one, processName: "", network: "tcp" })),
    dial: () => Promise.reject(new Error("not dialled here")),
    say: (line) => void said.push(line),
    logger: QUIET,
    places: new ForwardPlaces(),
  });
  await forwards.look(signal);
  // The program uses its port on this machine, so the forward has another one.
  const ours = Number(/localhost:(\d+)$/.exec(said[0]!)![1]);
  expect([said.length, ours === port]).toEqual([1, false]);
  listening = [port, ours];
  await forwards.look(signal);
  // The program has ended. The list that shows this was made before our listener closed.
  listening = [ours];
  for (let look = 0; look < 4; look++) {
    await forwards.look(signal);
    if (said.length > 1) listening = [];
  }
  expect(said.slice(1)).toEqual([`Port ${port} of the workspace is closed`]);
});
