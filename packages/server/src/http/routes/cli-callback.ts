/** Where the page of `coder login` sends a token: a listener of the command, on this computer. */

export interface CliCallback {
  /** As the form's target; always http to the loopback interface. */
  readonly url: string;
  readonly origin: string;
  /** What the command gave, to be sent back with the token. */
  readonly state: string;
}

const PATH = /^\/[\w/-]{0,64}$/;
const STATE = /^[\w-]{16,128}$/;
const LOOPBACK = new Set(["127.0.0.1", "[::1]"]);
/** Ports of system services do not belong to a command. */
const FIRST_PORT = 1024;

/** Undefined: neither is given. "invalid": this is no listener on the computer of the browser. */
export function parseCliCallback(
  callback: string | null | undefined,
  state: string | null | undefined,
): CliCallback | "invalid" | undefined {
  if ((callback ?? "") === "" && (state ?? "") === "") return undefined;
  const text = callback ?? "";
  if (text.length > 128 || !STATE.test(state ?? "") || !URL.canParse(text)) return "invalid";
  const url = new URL(text);
  const plain = url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  const loopback = url.protocol === "http:" && LOOPBACK.has(url.hostname) && Number(url.port) >= FIRST_PORT;
  // What was written is what is used: an address that the parser changes is read in another way elsewhere.
  if (!plain || !loopback || !PATH.test(url.pathname) || url.href !== text) return "invalid";
  return { url: url.href, origin: url.origin, state: state ?? "" };
}
