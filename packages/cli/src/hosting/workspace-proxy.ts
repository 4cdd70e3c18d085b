/** A bundle of its own, so that a proxy loads only those parts of the server that it uses. */
import type { ServerFlagValues } from "coder-server/config/flags";
import { parseProxyConfig } from "coder-server/proxy/config";
import { runWorkspaceProxy } from "coder-server/proxy/run";
import { dialerOf, type TlsFiles } from "../rest/deployment.ts";
import type { Display } from "../ui/display.ts";
import { reported } from "./reported.ts";

/** Runs a workspace proxy until it is stopped. Reports failures and returns the exit code. */
export async function runProxyCommand(
  line: { readonly values: ServerFlagValues; readonly verbose: boolean; readonly tls: TlsFiles },
  display: Display,
  signal: AbortSignal,
): Promise<number> {
  return reported(display, signal, async () => {
    const { values, verbose, tls } = line;
    const config = parseProxyConfig(verbose ? { ...values, verbose: true } : values);
    await runWorkspaceProxy(config, { signal, dialer: dialerOf(tls) });
  });
}
