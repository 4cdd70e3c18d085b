import type { ShareLevel } from "coder-protocol/rest/apps";

/** Sharing levels in words for people. */
export const LEVEL_WORDS: Readonly<Record<ShareLevel, string>> = {
  owner: "Only you",
  authenticated: "Everyone who can log in here",
  organization: "Your organization",
  public: "Everyone with the address",
};

/** In the order in which they are offered. */
export const LEVELS = Object.keys(LEVEL_WORDS) as readonly ShareLevel[];

const FROM_NARROW_TO_WIDE: readonly ShareLevel[] = ["owner", "organization", "authenticated", "public"];

/** Whether an administrator who allows at most `max` allows `level`. */
export function isAllowed(level: ShareLevel, max: ShareLevel): boolean {
  return FROM_NARROW_TO_WIDE.indexOf(level) <= FROM_NARROW_TO_WIDE.indexOf(max);
}
