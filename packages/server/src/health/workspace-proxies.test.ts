import type { ProxyStatus, WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";
import { expect, test } from "vitest";
import { checkProxies, type ProxySources } from "./workspace-proxies.ts";

const proxy = (name: string, status: ProxyStatus, errors: string[] = [], version = "v1.2.3") =>
  ({ name, version, status: { status, report: { errors, warnings: [] } } }) as unknown as WorkspaceProxy;

const check = (sources: Partial<ProxySources>) =>
  checkProxies({
    proxies: () => [],
    leftOut: () => [],
    areCurrent: () => true,
    areChecked: () => true,
    version: "v1.2.0",
    ...sources,
  });

test("unhealthy proxies, and those left out of the map, cause warnings; unregistered ones do not", () => {
  const proxies = [
    proxy("a", "ok"),
    proxy("b", "unregistered", [], ""),
    proxy("c", "unreachable", ["connection refused"]),
    proxy("d", "unhealthy", ["no relay", "no disk"]),
  ];
  const section = check({ proxies: () => proxies, leftOut: () => [{ name: "e", why: "no id is left" }] });
  expect(section).toMatchObject({ healthy: true, severity: "warning", workspace_proxies: { regions: proxies } });
  expect(section.warnings).toEqual([
    { code: "EWP04", message: "workspace proxy c is unreachable: connection refused" },
    { code: "EWP04", message: "workspace proxy d is unhealthy: no relay: no disk" },
    { code: "EWP05", message: "workspace proxy e is not in the relay map: no id is left" },
  ]);
  expect(check({})).toMatchObject({ severity: "ok", warnings: [] });
});

test("a database from which proxies cannot be read, or to which results cannot be written, causes a warning", () => {
  const section = check({ areCurrent: () => false, areChecked: () => false });
  expect(section.warnings.map(({ code }) => code)).toEqual(["EWP01", "EWP02"]);
});

test("a proxy of another major or minor version causes a warning, one of another patch version does not", () => {
  const proxies = [proxy("a", "ok", [], "v1.2.9"), proxy("b", "ok", [], "v1.3.0"), proxy("c", "ok", [], "devel")];
  expect(check({ proxies: () => proxies }).warnings).toEqual([
    { code: "EWP03", message: "workspace proxy b runs v1.3.0, and this server v1.2.0" },
    { code: "EWP03", message: "workspace proxy c runs devel, and this server v1.2.0" },
  ]);
});
