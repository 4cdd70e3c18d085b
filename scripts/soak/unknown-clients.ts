/** One-time clients: the state that a server or agent keeps about them is bounded, and full after enough of them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connectWorkspace } from "../../packages/client/src/connection/connect.ts";

/**
 * More than any table of the agent holds: it keeps the handshake times of 1024 departed peers, and 4096 addresses, of
 * which a client has at least two.
 */
const UNKNOWN_CLIENTS = 2_200;
const AT_ONCE = 8;
const CONNECTED_WITHIN_MS = 60_000;

/**
 * Fills these tables: each client has a tunnel of its own for as long as it takes to connect.
 * @param configFolder Folder of a login, as `coder login` writes it.
 * @param onDone Called with the number of clients that have come and gone.
 */
export async function connectUnknownClients(configFolder: string, onDone: (count: number) => void): Promise<void> {
  const url = readFileSync(join(configFolder, "url"), "utf8").trim();
  const token = readFileSync(join(configFolder, "session"), "utf8").trim();
  let begun = 0;
  let done = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (begun++ < UNKNOWN_CLIENTS) {
        await using connection = await connectWorkspace({
          url,
          token,
          workspace: "demo",
          timeoutMs: CONNECTED_WITHIN_MS,
        });
        (await connection.dial(1)).destroy();
        onDone(++done);
      }
    }),
  );
}
