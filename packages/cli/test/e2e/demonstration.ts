/** What the tests of `npm start` have in common. */
import { createConnection } from "node:net";
import { join } from "node:path";

export const START = join(import.meta.dirname, "../../../../scripts/start.ts");

/** The last line of output names a server of the user's own, since that of the demonstration has ended. */
export const LAST =
  /To install the command on other machines, from a server of yours:\s+curl -fsSL https:\/\/SERVER\/install\.sh \| sh\s+[^\n]+\s+$/;

/** @param folder For the demonstration's state. */
export function demonstrationEnvironment(folder: string): NodeJS.ProcessEnv {
  // Without the native module, and beside other tests, more takes half a minute.
  return { ...process.env, CODER_DEMO_DIR: folder, CODER_DEMO_MIB: "4", SHELL: "/bin/sh", ENV: "" };
}

/** Whether anything listens at the server's address. */
export function answers(url: string): Promise<boolean> {
  const socket = createConnection(Number(new URL(url).port), "127.0.0.1");
  return new Promise<boolean>((resolve) => {
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
  }).finally(() => socket.destroy());
}
