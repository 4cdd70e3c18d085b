/** The address to which the page of `coder login` sends a token: a listener of the command on the same computer. */

export interface CliCallback {
  /** The form's target; always http on the loopback interface. */
  readonly url: string;
  readonly origin: string;
  /** A value from the command that is returned with the token. */
  readonly state: string;
}

const PATH = /^\/[\w/-]{0,64}$/;
const STATE = /^[\w-]{16,128}$/;
const LOOPBACK = new Set(["127.0.0.1", "[::1]"]);
/** Lower ports belong to system services rather than to a command. */
const FIRST_PORT = 1024;

/** Undefined if neither parameter is given. "invalid" if the address is not a listener on the browser's own computer. */
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
  // The address must be used exactly as written: if the parser changes it, another parser may read it differently.
  if (!plain || !loopback || !PATH.test(url.pathname) || url.href !== text) return "invalid";
  return { url: url.href, origin: url.origin, state: state ?? "" };
}
