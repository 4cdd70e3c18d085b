import type { OwnAddresses } from "../../base/own-addresses.ts";
import { installScriptForWindows } from "../../install/install-ps1.ts";
import { installScript } from "../../install/install-sh.ts";
import type { Router } from "../hono.ts";

/** What needs no login and is not below /api/: probes, install scripts, the way to the login page. */
export function probeRoutes(root: Router, deps: { readonly addresses: Pick<OwnAddresses, "accessUrl"> }): void {
  root.get("/healthz", (c) => c.text("OK"));
  root.get("/latency-check", (c) => {
    // Pages of other origins measure the way to this server; there is nothing to read.
    c.header("Access-Control-Allow-Origin", "*");
    c.header("Timing-Allow-Origin", "*");
    return c.text("OK");
  });
  const facts = () => ({ accessUrl: deps.addresses.accessUrl(), agent: false });
  root.get("/install.sh", (c) => c.text(installScript(facts())));
  root.get("/install.ps1", (c) => c.text(installScriptForWindows(facts())));
  root.get("/", (c) => c.redirect("/cli-auth", 302));
}
