/** The choices in the dialog of a port share, and the share it stores. Pure. */
import type { PortShare, ShareLevel, UpsertPortShareRequest } from "coder-protocol/rest/apps";
import { isAllowed } from "../share-levels.ts";

const HOUR_MS = 3_600_000;
const AS_IT_IS = "as it is";
const UNLIMITED = "0";
const LENGTHS = [
  ["1", "An hour"],
  ["8", "8 hours"],
  ["24", "A day"],
  ["168", "A week"],
  [UNLIMITED, "Until it is ended"],
] as const;

/** Value and text of each length to choose from; for an existing share the first one keeps its end. */
export function shareLengths(share: PortShare | undefined): readonly (readonly [string, string])[] {
  return share === undefined ? LENGTHS : [[AS_IT_IS, "As it is"], ...LENGTHS];
}

export function firstLength(share: PortShare | undefined): string {
  return share === undefined ? "24" : AS_IT_IS;
}

/**
 * The level chosen at first. For an existing share it is the one that its owner chose, even if an administrator has lowered it
 * since, so that saving another field does not change it.
 */
export function firstLevel(share: PortShare | undefined, maxLevel: ShareLevel): ShareLevel {
  if (share !== undefined) return share.share_level;
  return isAllowed("authenticated", maxLevel) ? "authenticated" : maxLevel;
}

export interface ShareChoice {
  readonly level: ShareLevel;
  readonly protocol: "http" | "https";
  readonly label: string;
  /** A value from `shareLengths`. */
  readonly length: string;
  /** Whether the program gets localhost as `Host`. */
  readonly localhost: boolean;
}

export type ChosenShare = Omit<UpsertPortShareRequest, "agent_name" | "port">;

/** The share that replaces `share`. Fields that are not in the dialog are kept. */
export function chosenShare(share: PortShare | undefined, choice: ShareChoice, now: number): ChosenShare {
  const { level, protocol, label, localhost } = choice;
  return {
    cors: share?.cors,
    cors_origins: share?.cors_origins,
    also: share?.also,
    identity_headers: share?.identity_headers,
    share_level: level,
    protocol,
    label,
    host_header: localhost ? "localhost" : "preserve",
    expires_at: expiry(share, choice, now),
  };
}

function expiry(share: PortShare | undefined, { level, length }: ShareChoice, now: number): string | null {
  if (level === "owner" || length === UNLIMITED) return null;
  if (length === AS_IT_IS) return share?.expires_at ?? null;
  return new Date(now + Number(length) * HOUR_MS).toISOString();
}
