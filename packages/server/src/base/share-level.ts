import { type ShareLevel, shareLevel } from "coder-protocol/rest/apps";

/** From the narrowest to the widest. */
export const SHARE_LEVELS: readonly ShareLevel[] = shareLevel.options;

export function narrowerLevel(a: ShareLevel, b: ShareLevel): ShareLevel {
  return SHARE_LEVELS.indexOf(a) <= SHARE_LEVELS.indexOf(b) ? a : b;
}
