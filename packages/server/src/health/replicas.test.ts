import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Replica } from "../control/cluster/cluster-database.ts";
import type { SiblingStatus } from "../relay/relay-mesh.ts";
import { type KnownReport, type ReplicaFacts, type ReportAges, replicasSection, replicaWarnings } from "./replicas.ts";
import { HEALTH_CODES } from "./section.ts";
import { encodeReport, parseReport, storedReport } from "./stored-report.ts";

const server = (id: string, more: Partial<Replica> = {}): Replica => ({
  id,
  hostname: `host-${id}`,
  relayAddress: `http://10.0.0.${id.charCodeAt(0)}:3000`,
  regionId: 999,
  version: "1.2.3",
  startedAt: 0,
  error: "",
  databaseLatencyUs: 1,
  ...more,
});
const link = (id: string, more: Partial<SiblingStatus> = {}): SiblingStatus => ({
  id,
  hostname: `host-${id}`,
  relayUrl: "http://10.0.0.2:3000",
  state: "up",
  keys: 0,
  forwarded: 0,
  dropped: 0,
  rttMs: 1,
  address: undefined,
  error: undefined,
  ...more,
});
const well: ReplicaFacts = {
  own: server("a"),
  others: [server("b")],
  links: [link("b")],
  hasRelay: true,
  accessUrl: new URL("https://coder.example.com"),
  commonSource: undefined,
};

describe("warnings about the servers of a deployment", () => {
  const rows: readonly [what: string, facts: Partial<ReplicaFacts>, expected: readonly string[], text?: RegExp][] = [
    ["all is well", {}, []],
    [
      "a link is down",
      { links: [link("b", { state: "down", error: "connect ECONNREFUSED" })] },
      ["ERPL01"],
      /relay of host-b \(http:\/\/10\.0\.0\.2:3000\) is not reached from this server: connect ECONNREFUSED\..*The operator of host-b should set --derp-server-relay-url/,
    ],
    ["a link is being dialled for the first time", { links: [link("b", { state: "down" })] }, []],
    ["the list of clients of a sibling is not complete yet", { links: [link("b", { state: "listing" })] }, []],
    [
      "an address leads back",
      { links: [link("b", { state: "self", error: "the relay address leads to this server itself" })] },
      ["ERPL01"],
      /leads to this server itself/,
    ],
    [
      "versions differ",
      { others: [server("b", { version: "1.2.2" }), server("c")] },
      ["ERPL02"],
      /\(host-a\) runs 1\.2\.3, host-b runs 1\.2\.2\. During an update/,
    ],
    [
      "many versions differ",
      { others: [..."bcdefgh"].map((id) => server(id, { version: "1" })) },
      ["ERPL02"],
      /and 2 more differ/,
    ],
    [
      "the relay address is the access URL",
      { own: server("a", { relayAddress: "https://coder.example.com" }) },
      ["ERPL03"],
      /is the access URL, which leads to any server/,
    ],
    ["there is no relay address", { own: server("a", { relayAddress: "" }) }, ["ERPL03"], /has no relay address/],
    ["there is no relay", { own: server("a", { relayAddress: "" }), hasRelay: false }, []],
    ["no relay address is needed", { own: server("a", { relayAddress: "" }), others: [], links: [] }, []],
    ["a loopback address, another machine", { own: server("a", { relayAddress: "http://127.0.0.1:1" }) }, ["ERPL03"]],
    ["an IPv6 loopback address", { own: server("a", { relayAddress: "http://[::1]:1" }) }, ["ERPL03"]],
    [
      "a loopback address, all on one machine",
      { own: server("a", { relayAddress: "http://127.0.0.1:1" }), others: [server("b", { hostname: "host-a" })] },
      [],
    ],
    [
      "plain http over a public address",
      { links: [link("b", { relayUrl: "http://203.0.113.5:3000" })] },
      ["ERPL04"],
      /relay of host-b \(http:\/\/203\.0\.113\.5:3000\) crosses a public address.*an https URL/,
    ],
    ["plain http over public IPv6", { links: [link("b", { relayUrl: "http://[2001:db8::1]:3000" })] }, ["ERPL04"]],
    [
      "plain http to a name of a public address",
      { links: [link("b", { relayUrl: "http://b:1", address: "198.51.100.1" })] },
      ["ERPL04"],
    ],
    [
      "plain http to a name of a private address",
      { links: [link("b", { relayUrl: "http://b:1", address: "10.0.0.2" })] },
      [],
    ],
    ["plain http to a name that was not reached", { links: [link("b", { relayUrl: "http://b:1" })] }, []],
    ["https over a public address", { links: [link("b", { relayUrl: "https://203.0.113.5" })] }, []],
    [
      "one address for all clients",
      { commonSource: { address: "10.0.0.9", namesClients: false } },
      ["ERPL05"],
      /from 10\.0\.0\.9, .*--proxy-trusted-origins.*let it send that header/,
    ],
    [
      "one server behind a proxy that is not trusted",
      { others: [], links: [], commonSource: { address: "127.0.0.1", namesClients: true } },
      ["ERPL05"],
    ],
    ["one server and one client", { others: [], links: [], commonSource: { address: "::1", namesClients: false } }, []],
  ];
  it.each(rows)("%s", (_what, facts, expected, text) => {
    const warnings = replicaWarnings({ ...well, ...facts });
    expect(warnings.map(({ code }) => code)).toEqual(expected);
    if (text !== undefined) expect(warnings[0]!.message).toMatch(text);
  });
});

const fine = { healthy: true, severity: "ok", warnings: [] } as const;
const facts = { time: "2026-01-01T00:00:00Z", healthy: true, severity: "ok", coder_version: "1.2.3" } as const;
const fineReport = storedReport(facts, { database: fine });
const MINUTE_MS = 60_000;
const REFRESH_MS = 10 * MINUTE_MS;
/** A minute after the servers started. */
const early = { now: MINUTE_MS, refreshMs: REFRESH_MS };
const late = { now: MINUTE_MS + 1, refreshMs: REFRESH_MS };

describe("the section of the servers", () => {
  it("lists this one first, and those without a report as well", () => {
    const others = [server("b"), server("c")];
    const known = [
      { id: "b", report: fineReport, ageMs: 4_000.4 },
      { id: "gone", report: fineReport, ageMs: 1 },
    ];
    const section = replicasSection({ own: server("a"), others }, [], { report: fineReport, ageMs: 7 }, known, early);
    expect(section).toMatchObject({ healthy: true, severity: "ok" });
    expect(section.replicas.map(({ id, age_ms, report }) => [id, age_ms, report?.coder_version])).toEqual([
      ["a", 7, "1.2.3"],
      ["b", 4_000, "1.2.3"],
      ["c", null, undefined],
    ]);
  });

  it("has the worst severity of the others, and does not repeat what this one reports of itself", () => {
    const unhealthy = { ...fineReport, healthy: false, severity: "error" as const };
    const of = (own: typeof unhealthy | typeof fineReport, other: typeof unhealthy | typeof fineReport) =>
      replicasSection(
        { own: server("a"), others: [server("b")] },
        [],
        { report: own, ageMs: 0 },
        [{ id: "b", report: other, ageMs: 1 }],
        late,
      );
    expect(of(fineReport, unhealthy)).toMatchObject({
      healthy: false,
      severity: "error",
      error: "reports errors: host-b",
    });
    expect(of(unhealthy, fineReport)).toMatchObject({ healthy: true, severity: "ok" });
  });
});

describe("a server without a recent report", () => {
  const stale = { id: "b", report: fineReport, ageMs: 3 * REFRESH_MS + MINUTE_MS };
  const rows: readonly [
    what: string,
    known: KnownReport[] | undefined,
    ages: ReportAges,
    warning: RegExp | undefined,
  ][] = [
    ["started just now", [], early, undefined],
    ["has left none", [], late, /how every server is: host-b has left no report\. The log/],
    [
      "left one that cannot be read",
      [{ ...stale, report: undefined, ageMs: 0 }],
      early,
      /host-b left a report that cannot/,
    ],
    ["left one three intervals ago", [stale], late, undefined],
    [
      "left one more than three intervals ago",
      [{ ...stale, ageMs: stale.ageMs + 1 }],
      late,
      /host-b left its last report 31 min ago/,
    ],
    ["is out of reach behind the database", undefined, early, /cannot be read from the database/],
  ];
  it.each(rows)("%s", (_what, known, ages, warning) => {
    const servers = { own: server("a"), others: [server("b")] };
    const section = replicasSection(servers, [], { report: fineReport, ageMs: 0 }, known, ages);
    const severity = warning === undefined ? "ok" : "warning";
    expect(section).toMatchObject({ healthy: true, severity, replicas: [{ severity: "ok" }, { severity }] });
    expect(section.warnings).toEqual(
      warning === undefined ? [] : [{ code: "ERPL06", message: expect.stringMatching(warning) }],
    );
  });

  it("is not there where there is one server", () => {
    const section = replicasSection(
      { own: server("a"), others: [] },
      [],
      { report: fineReport, ageMs: 0 },
      undefined,
      late,
    );
    expect(section).toMatchObject({ severity: "ok", warnings: [] });
  });
});

describe("a stored report", () => {
  it("is read back unchanged", () => {
    const report = storedReport(facts, {
      derp: { ...fine, healthy: false, severity: "error", error: "EDERP02: none" },
    });
    expect(parseReport(encodeReport(report))).toEqual(report);
  });

  it("security R24: fits into 32 KiB whatever its sections contain, and keeps the problems", () => {
    const warnings = Array.from({ length: 100 }, (_, i) => ({ code: "EIF01", message: `${i}`.padEnd(9_000, "x") }));
    const section = { healthy: false, severity: "error", warnings, error: "E".repeat(90_000) } as const;
    const report = storedReport(facts, Object.fromEntries([..."abcdefgh"].map((name) => [name, section])));
    const text = encodeReport(report);
    expect(text.length).toBeLessThanOrEqual(32 * 1024);
    expect(Object.values(parseReport(text)!.sections).map(({ severity }) => severity)).toEqual(Array(8).fill("error"));
  });

  it.each([undefined, "", "[]", "{", '{"time":1}', JSON.stringify({ ...fineReport, severity: "fatal" })])(
    "security R24: is left out when it is not one: %s",
    (text) => {
      expect(parseReport(text)).toBeUndefined();
    },
  );
});

describe("docs/operations/health.md", () => {
  const page = readFileSync(join(import.meta.dirname, "../../../../docs/operations/health.md"), "utf8");
  it.each(HEALTH_CODES.filter((code) => code !== "EUNKNOWN"))("has a section for %s", (code) => {
    const section = page.split(/^### /m).find((text) => text.startsWith(`${code}\n`));
    expect(section?.split("\n").filter((line) => line !== "").length ?? 0).toBeGreaterThan(1);
  });
});
