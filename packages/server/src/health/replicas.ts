/**
 * Section `replicas`: how the servers of the deployment fit together from the point of view of this one, and the state of each by
 * its own report.
 */
import type { HealthMessage, ReplicaHealth, StoredHealthReport } from "coder-protocol/rest/deployment";
import { type IpAddress, parseIp } from "wg-userspace/base/ip";
import { isLoopback } from "../base/listen-address.ts";
import { isPublicAddress } from "../base/public-address.ts";
import type { CommonSource } from "../base/upgrade-sources.ts";
import type { Replica } from "../control/cluster/cluster-database.ts";
import type { SiblingStatus } from "../relay/relay-mesh.ts";
import { message, type Section, works, worst } from "./section.ts";

/** Maximum number of servers named in a text. */
const MAX_NAMED = 5;
/** After this many intervals without a new report, a server no longer makes or cannot store reports. */
const MISSED_REPORTS = 3;
/** A server makes its first report within this time, and a report takes no longer than this. */
const REPORT_TAKES_MS = 60_000;

export interface ReplicaFacts {
  readonly own: Replica;
  /** The other servers that exist. */
  readonly others: readonly Replica[];
  /** The links of this server's relay. */
  readonly links: readonly SiblingStatus[];
  readonly hasRelay: boolean;
  /** As configured. */
  readonly accessUrl: URL | undefined;
  /** The address from which nearly all upgrades come. */
  readonly commonSource: CommonSource | undefined;
}

export interface ReplicasSection extends Section {
  /** The server that answers comes first. */
  readonly replicas: readonly ReplicaHealth[];
}

/** Mismatches between servers; empty if there is one server without a proxy in front. */
export function replicaWarnings(facts: ReplicaFacts): HealthMessage[] {
  return [
    ...unreachable(facts.links),
    ...versions(facts),
    ...relayAddress(facts),
    ...plainLinks(facts.links),
    ...oneSource(facts),
  ];
}

function unreachable(links: readonly SiblingStatus[]): HealthMessage[] {
  return links.flatMap(({ state, hostname, relayUrl, error }) =>
    state === "up" || error === undefined
      ? []
      : [
          message(
            "ERPL01",
            `The relay of ${hostname} (${relayUrl}) is not reached from this server: ${error}. Clients connected to the two have only ` +
              `direct paths to each other. The operator of ${hostname} should set --derp-server-relay-url to an address that leads to it past ` +
              "the balancer, and firewalls between the servers must let it through",
          ),
        ],
  );
}

function versions({ own, others }: ReplicaFacts): HealthMessage[] {
  const older = others.filter(({ version }) => version !== own.version);
  if (older.length === 0) return [];
  const named = older.slice(0, MAX_NAMED).map(({ hostname, version }) => `${hostname} runs ${version}`);
  return [
    message(
      "ERPL02",
      `The servers have different versions: this one (${own.hostname}) runs ${own.version}, ${named.join(", ")}` +
        `${older.length > MAX_NAMED ? ` and ${older.length - MAX_NAMED} more differ` : ""}. During an update that is normal; otherwise ` +
        "the operator should update those that were left out",
    ),
  ];
}

function relayAddress({ own, others, hasRelay, accessUrl }: ReplicaFacts): HealthMessage[] {
  if (!hasRelay || others.length === 0) return [];
  const wrong = relayAddressFault(own, others, accessUrl);
  return wrong === undefined
    ? []
    : [
        message(
          "ERPL03",
          `${wrong}: the other servers cannot reach the relay of ${own.hostname} by it. Its operator should set ` +
            "--derp-server-relay-url to http(s)://host:port of this very server, as the others reach it past the balancer",
        ),
      ];
}

function relayAddressFault(own: Replica, others: readonly Replica[], accessUrl: URL | undefined): string | undefined {
  if (own.relayAddress === "") return "This server has no relay address";
  const { origin, hostname } = new URL(own.relayAddress);
  if (origin === accessUrl?.origin) return `The relay address ${origin} is the access URL, which leads to any server`;
  const host = hostname.replace(/^\[|\]$/g, "");
  const isElsewhere = others.some((other) => other.hostname !== own.hostname);
  return isLoopback(host) && isElsewhere
    ? `The relay address ${origin} leads every server that dials it to itself`
    : undefined;
}

function plainLinks(links: readonly SiblingStatus[]): HealthMessage[] {
  const plain = links.filter(({ relayUrl, address }) => isPlain(relayUrl) && isPublic(relayUrl, address));
  return plain.map(({ hostname, relayUrl }) =>
    message(
      "ERPL04",
      `The link to the relay of ${hostname} (${relayUrl}) crosses a public address in plain http: the server there proves nothing, so ` +
        `another may take its place and learn the secret of the relays. The operator of ${hostname} should set --derp-server-relay-url to an ` +
        "https URL, or to a private address",
    ),
  );
}

function oneSource({ others, commonSource }: ReplicaFacts): HealthMessage[] {
  if (commonSource === undefined) return [];
  const { address, namesClients } = commonSource;
  // A single server without a proxy may well have one client, or clients behind one NAT.
  if (!namesClients && others.length === 0) return [];
  return [
    message(
      "ERPL05",
      `Nearly all connections seem to come from ${address}, which is then a proxy that is not trusted: all clients share the limits of ` +
        "one address, and after a restart most of them are refused. The operator of this server should set --proxy-trusted-origins to it and " +
        `--proxy-trusted-headers to X-Forwarded-For${namesClients ? "" : ", and the proxy's operator should let it send that header"}`,
    ),
  ];
}

function isPlain(url: string): boolean {
  return url.startsWith("http:");
}

/** Judged by the address at which the link was dialled or, if the URL contains an address, by that. */
function isPublic(url: string, dialled: string | undefined): boolean {
  const text = dialled ?? new URL(url).hostname.replace(/^\[|\]$/g, "");
  const address: IpAddress | undefined = parseIp(text);
  return address !== undefined && isPublicAddress(address);
}

/** The last report of a server, as read from the database. */
export interface KnownReport {
  readonly id: string;
  readonly report: StoredHealthReport | undefined;
  readonly ageMs: number;
}

export interface ReportAges {
  /** The time by this server's clock. */
  readonly now: number;
  /** How often each server makes a report. */
  readonly refreshMs: number;
}

/**
 * @param found Warnings of this server about the others.
 * @param ownReport The report that this server has just made.
 * @param known The reports of the other servers; undefined if they could not be read.
 */
export function replicasSection(
  { own, others }: Pick<ReplicaFacts, "own" | "others">,
  found: readonly HealthMessage[],
  ownReport: Omit<KnownReport, "id">,
  known: readonly KnownReport[] | undefined,
  ages: ReportAges,
): ReplicasSection {
  const unknown = others.flatMap((other) => {
    const why = known && unknownBecause(other, reportOf(other, known), ages);
    return why === undefined ? [] : [{ id: other.id, text: `${other.hostname} ${why}` }];
  });
  const warnings = [...found, ...unreadable(others, known), ...unknownHealth(unknown.map(({ text }) => text))];
  const replicas = [
    replicaHealth(own, { id: own.id, ...ownReport }, false),
    ...others.map((other) =>
      replicaHealth(other, reportOf(other, known), known === undefined || unknown.some(({ id }) => id === other.id)),
    ),
  ];
  const unhealthy = replicas.slice(1).filter(({ healthy }) => !healthy);
  return {
    ...works(warnings),
    error:
      unhealthy.length === 0 ? undefined : `reports errors: ${unhealthy.map(({ hostname }) => hostname).join(", ")}`,
    healthy: unhealthy.length === 0,
    severity: worst([warnings.length === 0 ? "ok" : "warning", ...replicas.slice(1).map(({ severity }) => severity)]),
    replicas,
  };
}

function reportOf(replica: Replica, known: readonly KnownReport[] | undefined): KnownReport | undefined {
  return known?.find(({ id }) => id === replica.id);
}

/** The reason why the health of a server is unknown; undefined if its report is usable or not due yet. */
function unknownBecause(
  replica: Replica,
  known: KnownReport | undefined,
  { now, refreshMs }: ReportAges,
): string | undefined {
  if (known === undefined) return now - replica.startedAt > REPORT_TAKES_MS ? "has left no report" : undefined;
  if (known.report === undefined) return "left a report that cannot be read";
  if (known.ageMs <= MISSED_REPORTS * refreshMs + REPORT_TAKES_MS) return undefined;
  return `left its last report ${Math.round(known.ageMs / 60_000)} min ago`;
}

function unreadable(others: readonly Replica[], known: readonly KnownReport[] | undefined): HealthMessage[] {
  if (known !== undefined || others.length === 0) return [];
  return [
    message(
      "ERPL06",
      "The reports of the other servers cannot be read from the database: how they are is not known. The log of this server " +
        "names the reason",
    ),
  ];
}

function unknownHealth(texts: readonly string[]): HealthMessage[] {
  if (texts.length === 0) return [];
  const more = texts.length > MAX_NAMED ? ` and ${texts.length - MAX_NAMED} more` : "";
  return [
    message(
      "ERPL06",
      `It is not known how every server is: ${texts.slice(0, MAX_NAMED).join(", ")}${more}. The log of a server names what keeps ` +
        "it from checking itself or from writing its report; --health-check-refresh is the same at all servers",
    ),
  ];
}

function replicaHealth(replica: Replica, known: KnownReport | undefined, isUnknown: boolean): ReplicaHealth {
  const report = known?.report;
  return {
    id: replica.id,
    hostname: replica.hostname,
    region_id: replica.regionId,
    version: replica.version,
    healthy: report?.healthy ?? true,
    severity: worst([report?.severity ?? "ok", isUnknown ? "warning" : "ok"]),
    report: report ?? null,
    age_ms: known === undefined ? null : Math.max(0, Math.round(known.ageMs)),
  };
}
