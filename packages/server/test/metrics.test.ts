/** The metrics of a running server; and the dashboard and the alert rules use no others. */
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Registry } from "prom-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClusterMetrics, clusterStateMetrics } from "../src/control/cluster/cluster-metrics.ts";
import { ClusterWatch } from "../src/control/cluster/cluster-watch.ts";
import { databaseMetrics, poolMetrics } from "../src/http/database-metrics.ts";
import { meshMetrics } from "../src/relay/mesh-metrics.ts";
import { firstUser, PASSWORD, send, startServer, type TestServer, temporaryDirectory } from "./helpers.ts";

const MONITORING = join(import.meta.dirname, "../../../deploy/monitoring");
/** Metrics that Prometheus itself makes. */
const OF_PROMETHEUS = ["up"];
const WORDS = new Set(["by", "without", "and", "or", "unless", "on", "ignoring", "offset", "bool"]);

let folder: string;
let test: TestServer;
beforeAll(async () => {
  folder = temporaryDirectory();
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...kind, "-subj", "/CN=localhost", "-keyout", key, "-out", cert], {
    stdio: "ignore",
  });
  test = await startServer({
    flags: {
      "prometheus-enable": true,
      "prometheus-address": "127.0.0.1:0",
      "tls-enable": true,
      "tls-address": "127.0.0.1:0",
      "tls-cert-file": [cert],
      "tls-key-file": [key],
      "stun-address": "127.0.0.1:0",
      "derp-server-stun-addresses": ["disable"],
    },
  });
});
afterAll(async () => {
  await test?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function metrics(): Promise<string> {
  return (await fetch(`http://127.0.0.1:${test.server.metricsAddress?.port}/metrics`)).text();
}

/** The value of one series; NaN if it does not exist. */
async function value(series: string): Promise<number> {
  const line = (await metrics()).split("\n").find((text) => text.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1) ?? Number.NaN);
}

describe("metrics", () => {
  it("count logins and refusals from zero on, including those that the log leaves out", async () => {
    expect(await value('coder_audit_events_total{action="login-refused"}')).toBe(0);
    await firstUser(test.url);
    const body = { email: "nobody@example.com", password: PASSWORD };
    await send(test.url, "POST", "/api/v2/users/login", { body });
    expect(await value('coder_audit_events_total{action="login"}')).toBe(1);
    expect(await value('coder_audit_events_total{action="login-refused"}')).toBe(1);
  });

  it("include the duration of transactions", async () => {
    expect(await value("coder_database_transaction_seconds_count")).toBeGreaterThan(0);
  });

  it("include the expiry of certificates in use", async () => {
    const seconds = await value(`coder_tls_certificate_expiry_timestamp_seconds{file="${join(folder, "cert.pem")}"}`);
    const days = (seconds - Date.now() / 1000) / 86_400;
    expect(Math.round(days)).toBe(2);
  });

  it("count peers by kind", async () => {
    expect(await value('coder_coordinator_peers{kind="agent"}')).toBe(0);
    expect(await value('coder_coordinator_peers{kind="client"}')).toBe(0);
  });
});

/** Metrics that a server on PostgreSQL has in addition. */
function ofSeveralServers() {
  const registry = new Registry();
  const watch = new ClusterWatch(() => undefined);
  new ClusterMetrics(registry, () => undefined);
  clusterStateMetrics(registry, watch, { mode: "listen", isIsolated: false, waitingRows: 0 });
  databaseMetrics(registry);
  poolMetrics(registry, { max: 10, idle: 0, used: 0, waiting: 0, exhaustedAt: undefined });
  meshMetrics({ status: () => [] }, test.server.parts.relay!, registry);
  return registry.getMetricsAsJSON();
}

describe("deploy/monitoring", () => {
  const dashboard = JSON.parse(readFileSync(join(MONITORING, "grafana-dashboard.json"), "utf8")) as {
    panels: { id: number; title: string; targets?: { expr: string }[] }[];
  };
  const rules = readFileSync(join(MONITORING, "alerts.yml"), "utf8");
  const ruleExpressions = [...rules.matchAll(/^\s+expr: (.+)$/gm)].map((match) => match[1]!);

  /** Names of metrics in an expression: words that are not functions, keywords, labels or numbers. */
  function metricNames(expression: string): string[] {
    const bare = expression
      .replace(/"[^"]*"/g, "")
      .replace(/\{[^}]*\}/g, "")
      .replace(/\[[^\]]*\]/g, "")
      .replace(/\b(by|without|on|ignoring)\s*\([^)]*\)/g, "");
    const names = [...bare.matchAll(/[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\(|[a-zA-Z0-9_:])/g)].map(([name]) => name);
    return names.filter((name) => !WORDS.has(name));
  }

  it("uses metrics that the server has", async () => {
    const families = await test.server.parts.metrics.registry.getMetricsAsJSON();
    const known = new Set(OF_PROMETHEUS);
    for (const { name, type } of [...families, ...(await ofSeveralServers())]) {
      known.add(name);
      if (String(type) === "histogram") for (const part of ["bucket", "sum", "count"]) known.add(`${name}_${part}`);
    }
    const expressions = [
      ...ruleExpressions,
      ...dashboard.panels.flatMap(({ targets }) => (targets ?? []).map(({ expr }) => expr)),
    ];
    expect(expressions.length).toBeGreaterThan(20);
    const asked = expressions.flatMap((expression) => {
      const names = metricNames(expression);
      expect(names, `no metric in ${expression}`).not.toEqual([]);
      return names;
    });
    expect(asked.filter((name) => !known.has(name))).toEqual([]);
  });

  it("has every metric of several servers in docs/operations/monitoring.md", async () => {
    const page = readFileSync(join(MONITORING, "../../docs/operations/monitoring.md"), "utf8");
    const names = (await ofSeveralServers()).map(({ name }) => name);
    expect(names.length).toBeGreaterThan(20);
    expect(names.filter((name) => !page.includes(`\`${name}`))).toEqual([]);
  });

  it("has panels with ids and titles of their own", () => {
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
  });

  it("has a test for every alert", () => {
    const tests = readFileSync(join(MONITORING, "alerts-test.yml"), "utf8");
    const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map((match) => match[1]!);
    expect(alerts.length).toBeGreaterThan(5);
    expect(alerts.filter((name) => !tests.includes(`alertname: ${name}\n`))).toEqual([]);
  });
});
