import { DomainError } from "../../base/domain-error.ts";
import type { OwnAddresses } from "../../base/own-addresses.ts";
import type { Store } from "../../db/store.ts";
import { installScriptForWindows } from "../../install/install-ps1.ts";
import { installScript } from "../../install/install-sh.ts";
import type { Router } from "../hono.ts";

/** Routes outside /api/ that need no login: probes, install scripts, the redirect to the login page. */
export function probeRoutes(
  root: Router,
  deps: {
    readonly addresses: Pick<OwnAddresses, "accessUrl">;
    readonly store: Pick<Store, "ping">;
    /** The reason why this server should get no new clients; undefined if it may. */
    readonly unready: () => string | undefined;
  },
): void {
  root.get("/healthz", (c) => c.text("OK"));
  root.get("/readyz", async (c) => {
    const unready = deps.unready();
    if (unready !== undefined) {
      c.header("Retry-After", "1");
      return c.text(unready, 503);
    }
    try {
      await deps.store.ping();
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      c.header("Retry-After", "1");
      return c.text(error.message, 503);
    }
    return c.text("OK");
  });
  root.get("/latency-check", (c) => {
    // Pages of other origins measure their latency to this server; the answer contains no data.
    c.header("Access-Control-Allow-Origin", "*");
    c.header("Timing-Allow-Origin", "*");
    return c.text("OK");
  });
  const facts = () => ({ accessUrl: deps.addresses.accessUrl(), agent: false });
  root.get("/install.sh", (c) => c.text(installScript(facts())));
  root.get("/install.ps1", (c) => c.text(installScriptForWindows(facts())));
  root.get("/", (c) => c.redirect("/cli-auth", 302));
}
