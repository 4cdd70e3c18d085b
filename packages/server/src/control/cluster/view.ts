/**
 * What one server of a cluster knows about the others' peers. Its input is rows as they are read, in any order between servers.
 * Its output is the changes that matter: for each peer, the newest session on a server that is trusted for it, and its tunnels.
 */
import { create, fromBinary } from "@bufbuild/protobuf";
import { type Node, NodeSchema } from "coder-protocol/gen/tailnet_pb.js";
import { nodeFromProto, nodeToProto } from "coder-protocol/tailnet/node";
import type { PeerEnd, RemotePeer } from "../coordinator-records.ts";
import { nodeRefusal } from "../peer-auth.ts";
import {
  type NodeRow,
  type PeerRow,
  parseReason,
  type Rows,
  type ServerRow,
  type TunnelRow,
  type WholeServer,
} from "./rows.ts";

/** A server with an older heartbeat is lost, and so are its peers that are connected to no other server. */
export const LOST_AFTER_MS = 6_000;
/** A server whose own heartbeats are further apart had no database in between; perhaps no server had. */
const OWN_GAP_MS = 4_500;
/** How long such a server waits for the others to return, since each notices on its own that its connections are dead. */
const RETURN_MS = 8_000;
/**
 * It does not wait for a server that was silent during this many late heartbeats in a row: its own heartbeats are late, but that
 * server is dead.
 */
const MAX_SILENT_GAPS = 4;
/** After this time a server's rows no longer count. It equals the time for which a lost peer's key may use the relay. */
export const EXPIRED_AFTER_MS = 15 * 60_000;
/** Peers of a server that is stopping have this long to return elsewhere before they are lost. */
export const DRAIN_MS = 30_000;
/** Maximum length of a Node message, the same as on the control connection. */
const MAX_NODE_BYTES = 8 * 1024;

/** What the view needs from the coordinator of its own server. */
export interface LocalCoordinator {
  remotePeer(id: string, peer: RemotePeer): void;
  remoteGone(id: string, end: PeerEnd, reason: string): void;
  remoteTunnel(from: string, to: string, gone: boolean): void;
  remoteSignal(from: string, to: string): void;
  moved(id: string): void;
  tunnelsOf(id: string): readonly string[];
  concerns(id: string): boolean;
}

type ServerState = "alive" | "lost" | "expired";

interface Server {
  head: number;
  /** Number of the last change that was read. */
  seen: number;
  state: ServerState;
  /** Since when the database has no row of the server; it may return under another id. */
  missingSinceMs: number | undefined;
  /** Number of consecutive late heartbeats of this server during which the other had none. */
  silentGaps: number;
}

interface Held {
  readonly row: PeerRow;
  node: Node | undefined;
  /** Number of the row from which `node` was read. */
  nodeRev: number;
  /** When the row was read, if it says that the peer has ended. */
  readonly overAtMs: number | undefined;
}

/** A peer that is connected here, or was: kept while rows of others may be older than its end. */
interface OwnSession {
  readonly session: number;
  readonly endedAtMs: number | undefined;
}

/** What the coordinator was last informed of about a peer. */
interface Shown {
  readonly server: string;
  readonly rev: number;
  /** Number of the row from which its node was read; 0 if none. */
  readonly nodeRev: number;
  readonly isHere: boolean;
  readonly tunnels: ReadonlySet<string>;
}

const NO_TUNNELS: ReadonlySet<string> = new Set();

export class ClusterView {
  /** Rows that were omitted because they are invalid. */
  badRows = 0;
  #me: string;
  /** This server's last heartbeat. */
  #heartbeatAtMs: number | undefined;
  /** Until this time no silent server is considered lost, because the database may have been away from all of them. */
  #judgesFromMs = Number.NEGATIVE_INFINITY;
  readonly #local: LocalCoordinator;
  readonly #servers = new Map<string, Server>();
  /** By peer, then by server. */
  readonly #peers = new Map<string, Map<string, Held>>();
  /** By source, then by server. */
  readonly #tunnels = new Map<string, Map<string, Set<string>>>();
  readonly #own = new Map<string, OwnSession>();
  readonly #shown = new Map<string, Shown>();
  /** Peers whose node may have to be read. */
  readonly #candidates = new Set<string>();

  constructor(me: string, local: LocalCoordinator) {
    this.#me = me;
    this.#local = local;
  }

  /** The number of peers about which anything is kept, of this server or of others, in any state. */
  get remembered(): number {
    return new Set([...this.#peers.keys(), ...this.#tunnels.keys(), ...this.#own.keys(), ...this.#shown.keys()]).size;
  }

  /** This server gets another id; what it knows about others is kept. */
  rename(me: string): void {
    this.#me = me;
  }

  /** The session of a peer that connects here now: greater than all known sessions of it. */
  newSession(id: string, databaseMs: number): number {
    let session = Math.max(databaseMs, (this.#own.get(id)?.session ?? 0) + 1);
    for (const { row } of this.#peers.get(id)?.values() ?? []) session = Math.max(session, row.session + 1);
    this.#own.set(id, { session, endedAtMs: undefined });
    this.#shown.delete(id);
    return session;
  }

  /** A peer is not connected here any more. */
  left(id: string, nowMs: number): void {
    const own = this.#own.get(id);
    if (own !== undefined) this.#own.set(id, { ...own, endedAtMs: nowMs });
  }

  /** A peer that is connected here may share a tunnel with this peer from now on. */
  concerned(id: string): void {
    if (this.#shown.has(id)) this.#candidates.add(id);
  }

  /** Forgets ended peers once the database has removed every row that is older than their end. Call periodically. */
  sweep(nowMs: number): void {
    const isForgotten = (endedAtMs: number | undefined): boolean =>
      endedAtMs !== undefined && nowMs - endedAtMs >= 2 * EXPIRED_AFTER_MS;
    for (const [id, { endedAtMs }] of this.#own) if (isForgotten(endedAtMs)) this.#own.delete(id);
    for (const [id, held] of this.#peers) {
      for (const [server, { overAtMs }] of held) if (isForgotten(overAtMs)) held.delete(server);
      if (held.size > 0) continue;
      this.#peers.delete(id);
      if (this.#shown.get(id)?.isHere === false) this.#shown.delete(id);
    }
  }

  /**
   * Forgets all other servers, so that they are read again. For a server that was away longer than the others keep records of
   * ended peers.
   */
  forgetOthers(): void {
    for (const id of [...this.#servers.keys()]) this.#expire(id);
  }

  /** Takes the list of servers that are in the database now; this one is ignored. `nowMs` is of a monotonic clock. */
  heartbeats(rows: readonly ServerRow[], nowMs: number): void {
    const sinceMs = nowMs - (this.#heartbeatAtMs ?? nowMs);
    if (sinceMs > OWN_GAP_MS) this.#judgesFromMs = nowMs + RETURN_MS;
    this.#heartbeatAtMs = nowMs;
    const missing = new Map(this.#servers);
    for (const row of rows) {
      if (row.id === this.#me) continue;
      missing.delete(row.id);
      this.#heartbeat(row, nowMs, sinceMs);
    }
    for (const [id, server] of missing) {
      server.missingSinceMs ??= nowMs;
      if (nowMs - server.missingSinceMs >= LOST_AFTER_MS) this.#expire(id);
    }
  }

  /** What has to be read: for each server the changes above `after`, up to the head that was known before the read began. */
  unread(): { readonly server: string; readonly after: number; readonly upTo: number }[] {
    return [...this.#servers].flatMap(([server, { seen, head, state }]) =>
      state !== "expired" && head > seen ? [{ server, after: seen, upTo: head }] : [],
    );
  }

  /** Takes a hint: a server has changes up to this number. */
  hint(server: string, head: number): void {
    const known = this.#servers.get(server);
    if (known !== undefined) known.head = Math.max(known.head, head);
  }

  /** Takes rows of a server, which were read completely up to `seen`. */
  read(server: string, rows: Rows, seen: number, nowMs: number): void {
    const known = this.#servers.get(server);
    if (known === undefined || known.state === "expired") return;
    known.seen = Math.max(known.seen, seen);
    const changed = new Set<string>();
    for (const { from, to, gone } of rows.tunnels) {
      if (gone) this.#dropTunnel(from, server, to);
      else {
        const byServer = inner(this.#tunnels, from, () => new Map<string, Set<string>>());
        inner(byServer, server, () => new Set<string>()).add(to);
      }
      changed.add(from);
    }
    for (const row of rows.peers) {
      const held = inner(this.#peers, row.id, () => new Map<string, Held>());
      const before = held.get(server);
      if (before !== undefined && before.row.rev >= row.rev) continue;
      const overAtMs = row.state === "here" ? undefined : nowMs;
      held.set(server, { row, node: before?.node, nodeRev: before?.nodeRev ?? 0, overAtMs });
      changed.add(row.id);
    }
    for (const id of changed) this.#refresh(id);
    for (const { from, to } of rows.signals)
      if (this.#counting(from)?.server === server) this.#local.remoteSignal(from, to);
  }

  /** The other servers whose rows count. */
  servers(): readonly string[] {
    return [...this.#servers].flatMap(([server, { state }]) => (state === "expired" ? [] : [server]));
  }

  /**
   * Corrects the view of a server from all its rows in the database. This is the only way to find a change that was lost. Changes
   * that are not read yet are left to `read`.
   * @returns the number of differences.
   */
  reconcile(server: string, { peers, tunnels, head, isComplete }: WholeServer, nowMs: number): number {
    const known = this.#servers.get(server);
    // A restored database has fewer changes of the server than were read; the server will start again under another id.
    if (known === undefined || known.state === "expired" || head < known.seen) return 0;
    const { seen } = known;
    const missed = peers.filter(({ id, rev, state }) => {
      const held = this.#peers.get(id)?.get(server);
      return rev <= seen && (held === undefined ? state === "here" : held.row.rev < rev);
    });
    // A peer with an invalid row still exists.
    const gone = isComplete ? this.#gonePeers(server, new Set(peers.map(({ id }) => id))) : [];
    const wrong = [
      ...this.#wrongTunnels(server, tunnels, seen),
      ...(isComplete ? this.#goneTunnels(server, tunnels) : []),
    ];
    this.read(server, { peers: missed, tunnels: wrong, signals: [] }, seen, nowMs);
    for (const id of gone) {
      const byServer = this.#peers.get(id);
      byServer?.delete(server);
      if (byServer?.size === 0) this.#peers.delete(id);
      this.#refresh(id);
    }
    return missed.length + gone.length + wrong.length;
  }

  /** The peers whose node has not been read yet, among those that share a tunnel with a peer connected here. */
  wantedNodes(): { readonly server: string; readonly id: string }[] {
    const wanted: { server: string; id: string }[] = [];
    for (const id of this.#candidates) {
      const shown = this.#shown.get(id);
      const held = shown === undefined ? undefined : this.#peers.get(id)?.get(shown.server);
      const isWanted =
        shown?.isHere === true &&
        held?.row.key !== undefined &&
        held.nodeRev < held.row.rev &&
        this.#local.concerns(id);
      if (isWanted) wanted.push({ server: shown.server, id });
      else this.#candidates.delete(id);
    }
    return wanted;
  }

  /** Takes nodes that were read from a server's rows. */
  nodes(server: string, rows: readonly NodeRow[]): void {
    for (const { id, rev, node } of rows) {
      const held = this.#peers.get(id)?.get(server);
      if (held === undefined || rev < held.row.rev || node === undefined) continue;
      held.nodeRev = rev;
      const checked = checkedNode(node, held.row);
      if (checked === undefined) this.badRows++;
      held.node = checked;
      this.#refresh(id);
    }
  }

  #gonePeers(server: string, stored: ReadonlySet<string>): string[] {
    return [...this.#peers].flatMap(([id, byServer]) =>
      byServer.get(server)?.row.state === "here" && !stored.has(id) ? [id] : [],
    );
  }

  /** Corrections of tunnels: those that are held but have ended, and those that exist but are not held. */
  #wrongTunnels(server: string, stored: readonly TunnelRow[], seen: number): TunnelRow[] {
    const holds = (from: string, to: string): boolean => this.#tunnels.get(from)?.get(server)?.has(to) === true;
    return stored.filter(({ from, to, rev, gone }) => rev <= seen && holds(from, to) === gone);
  }

  /** Corrections of tunnels that are held but have no row. */
  #goneTunnels(server: string, stored: readonly TunnelRow[]): TunnelRow[] {
    const known = new Set(stored.map(({ from, to }) => `${from} ${to}`));
    return [...this.#tunnels].flatMap(([from, byServer]) =>
      [...(byServer.get(server) ?? [])].flatMap((to) =>
        known.has(`${from} ${to}`) ? [] : [{ from, to, rev: 0, gone: true }],
      ),
    );
  }

  #dropTunnel(from: string, server: string, to: string): void {
    const byServer = this.#tunnels.get(from);
    const mine = byServer?.get(server);
    mine?.delete(to);
    if (mine?.size === 0) byServer?.delete(server);
    if (byServer?.size === 0) this.#tunnels.delete(from);
  }

  /** @param sinceMs Time since this server's last heartbeat. */
  #heartbeat({ id, head, ageMs, drainingMs }: ServerRow, nowMs: number, sinceMs: number): void {
    if (ageMs >= EXPIRED_AFTER_MS && !this.#servers.has(id)) return;
    const known = inner(this.#servers, id, newServer);
    known.missingSinceMs = undefined;
    known.head = Math.max(known.head, head);
    if (ageMs < sinceMs) known.silentGaps = 0;
    else if (sinceMs > OWN_GAP_MS) known.silentGaps++;
    const mayBeBack = nowMs < this.#judgesFromMs && known.silentGaps < MAX_SILENT_GAPS;
    const isLost = drainingMs === undefined ? ageMs >= LOST_AFTER_MS : drainingMs >= DRAIN_MS && ageMs >= LOST_AFTER_MS;
    const state = ageMs >= EXPIRED_AFTER_MS ? "expired" : isLost ? "lost" : "alive";
    if (state === known.state || (state === "lost" && mayBeBack)) return;
    if (state === "expired") this.#expire(id);
    else {
      known.state = state;
      this.#refreshAll(id);
    }
  }

  #expire(server: string): void {
    const known = this.#servers.get(server);
    if (known === undefined) return;
    known.state = "expired";
    this.#refreshAll(server);
    this.#servers.delete(server);
  }

  #refreshAll(server: string): void {
    const isExpired = this.#servers.get(server)?.state === "expired";
    for (const [from, byServer] of this.#tunnels) {
      if (!isExpired || !byServer.delete(server)) continue;
      if (byServer.size === 0) this.#tunnels.delete(from);
    }
    for (const [id, held] of [...this.#peers]) {
      if (!held.has(server)) continue;
      if (isExpired) held.delete(server);
      if (held.size === 0) this.#peers.delete(id);
      this.#refresh(id);
    }
  }

  /** The row that is valid for a peer: that of its newest session on any server, unless a newer one is or was here. */
  #counting(id: string): { readonly server: string; readonly held: Held } | undefined {
    let best: { server: string; held: Held } | undefined;
    for (const [server, held] of this.#peers.get(id) ?? [])
      if (best === undefined || isNewer(held.row.session, server, best.held.row.session, best.server))
        best = { server, held };
    const own = this.#own.get(id);
    if (best === undefined || own === undefined) return best;
    return isNewer(own.session, this.#me, best.held.row.session, best.server) ? undefined : best;
  }

  /** Informs the coordinator of what changed about a peer since the last time. */
  #refresh(id: string): void {
    const best = this.#counting(id);
    if (best === undefined) {
      if (!this.#own.has(id)) this.#hide(id);
      return;
    }
    const own = this.#own.get(id);
    this.#own.delete(id);
    if (own !== undefined && own.endedAtMs === undefined) {
      const tunnels = new Set(this.#local.tunnelsOf(id));
      this.#shown.set(id, { server: this.#me, rev: 0, nodeRev: 0, isHere: false, tunnels });
      this.#local.moved(id);
    }
    this.#show(id, best.server, best.held);
  }

  #show(id: string, server: string, { row, node, nodeRev }: Held): void {
    const before = this.#shown.get(id);
    const isAlive = this.#servers.get(server)?.state === "alive";
    const isHere = row.state === "here" && isAlive;
    const tunnels = row.state === "here" ? (this.#tunnels.get(id)?.get(server) ?? NO_TUNNELS) : NO_TUNNELS;
    this.#shown.set(id, { server, rev: row.rev, nodeRev, isHere, tunnels: new Set(tunnels) });
    if (nodeRev < row.rev) this.#candidates.add(id);
    for (const to of tunnels) if (before?.tunnels.has(to) !== true) this.#local.remoteTunnel(id, to, false);
    const isSame = before?.server === server && before.rev === row.rev && before.isHere === isHere;
    if (isHere && !(isSame && before.nodeRev === nodeRev))
      this.#local.remotePeer(id, remotePeer(row, row.key === undefined ? undefined : node));
    if (!isHere && !isSame) this.#local.remoteGone(id, ...endOf(row, isAlive));
    for (const to of before?.tunnels ?? []) if (!tunnels.has(to)) this.#local.remoteTunnel(id, to, true);
  }

  /** No server has a row of the peer any more. */
  #hide(id: string): void {
    const before = this.#shown.get(id);
    if (before === undefined) return;
    this.#shown.delete(id);
    this.#local.remoteGone(id, "disconnected", "coordinator gone");
    for (const to of before.tunnels) this.#local.remoteTunnel(id, to, true);
  }
}

function newServer(): Server {
  return { head: 0, seen: 0, state: "alive", missingSinceMs: undefined, silentGaps: 0 };
}

function endOf(row: PeerRow, serverIsAlive: boolean): [PeerEnd, string] {
  if (row.state !== "here") return [row.state, row.reason];
  return ["lost", serverIsAlive ? "lost" : "coordinator lost"];
}

function remotePeer(row: PeerRow, node: Node | undefined): RemotePeer {
  const { sessionId, right } = parseReason(row.reason);
  return { key: row.key, node, sessionId, right };
}

/** If the times are equal, the greater server id wins, so that all servers agree. */
function isNewer(session: number, server: string, than: number, thanServer: string): boolean {
  return session > than || (session === than && server > thanServer);
}

/** A row is only as trustworthy as the server that wrote it, so the node is checked again like one that its peer announces. */
function checkedNode(bytes: Uint8Array, row: PeerRow): Node | undefined {
  if (bytes.length > MAX_NODE_BYTES) return undefined;
  try {
    const checked = nodeFromProto(fromBinary(NodeSchema, bytes));
    if ("error" in checked || nodeRefusal(checked, row.kind === "agent" ? row.id : undefined) !== undefined)
      return undefined;
    return create(NodeSchema, nodeToProto(checked));
  } catch {
    return undefined; // not a valid message: the caller counts it
  }
}

function inner<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
