import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findPostgres } from "./postgres-server.ts";
import { RELAYED, TestCluster } from "./test-cluster.ts";
import { Transfer } from "./transfer.ts";

const SERVERS = 3;
const ROUNDS = 2;
const TRANSFER_BYTES = 100 << 20;
const COMMANDS = 20;
/** Six restarts on a busy machine. */
const TEST_MS = 900_000;
const binaries = findPostgres();
const missing = binaries === undefined ? "PostgreSQL" : "nothing";

describe.skipIf(binaries === undefined)(`three servers, restarted in rounds (missing here: ${missing})`, () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await TestCluster.start({ servers: SERVERS, binaries: binaries! });
    await cluster.startWorkspace("demo");
  });
  afterAll(async () => {
    await cluster?.close();
  });

  it(
    "keep sessions and a relayed transfer, and take a new session at every moment",
    async () => {
      const open = await cluster.openSessions("demo");
      const transfer = new Transfer(cluster, "demo", TRANSFER_BYTES, RELAYED);
      let isDone = false;
      const restart = async (): Promise<void> => {
        for (let round = 0; round < ROUNDS; round++) {
          for (let index = 0; index < SERVERS; index++) {
            await cluster.stopServer(index, "SIGTERM");
            await cluster.startServer(index);
            for (const session of open) await session.goesOn(20);
          }
        }
        isDone = true;
      };
      let commands = 0;
      const connect = async (): Promise<void> => {
        for (; !isDone || commands < COMMANDS; commands++) {
          const done = await cluster.done(["ssh", "demo", "--", "echo", "new"], commands % 2 === 0 ? {} : RELAYED);
          expect(done.stdout).toBe("new\n");
        }
      };
      await Promise.all([restart(), connect()]);
      const { sent, returned, bytes } = await transfer.finish();
      expect(bytes).toBe(TRANSFER_BYTES);
      expect(returned).toBe(sent);
      for (const session of open) await session.end();
    },
    TEST_MS,
  );
});
