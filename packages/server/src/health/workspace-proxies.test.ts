import type { ProxyStatus, WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";
import { expect, test } from "vitest";
import { checkProxies } from "./workspace-proxies.ts";

const proxy = (name: string, status: ProxyStatus, errors: string[] = []) =>
  ({ name, status: { status, report: { errors, warnings: [] } } }) as unknown as WorkspaceProxy;

test("proxies that are not well, or left out of the map, are warnings; unregistered ones are none", () => {
  const proxies = [
    proxy("a", "ok"),
    proxy("b", "unregistered"),
    proxy("c", "unreachable", ["connection refused"]),
    proxy("d", "unhealthy", ["no relay", "no disk"]),
  ];
  const section = checkProxies({ proxies: () => proxies, leftOut: () => [{ name: "e", why: "no id is left" }] });
  expect(section).toMatchObject({ healthy: true, severity: "warning", workspace_proxies: { regions: proxies } });
  expect(section.warnings).toEqual([
    { code: "EWP04", message: "workspace proxy c is unreachable: connection refused" },
    { code: "EWP04", message: "workspace proxy d is unhealthy: no relay: no disk" },
    { code: "EWP05", message: "workspace proxy e is not in the relay map: no id is left" },
  ]);
  expect(checkProxies({ proxies: () => [], leftOut: () => [] })).toMatchObject({ severity: "ok", warnings: [] });
});
