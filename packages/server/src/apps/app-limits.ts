/** Limits on what may be open at one time for all apps that a process serves. */
import type { PlaceLimits } from "../base/places.ts";

// The share of an address within a workspace concerns visitors without a login; users have the share of their account.
export const APP_REQUESTS = {
  total: 2_000,
  perUser: 200,
  perAddress: 500,
  perWorkspace: 500,
  perAddressOfWorkspace: 125,
} as const satisfies PlaceLimits;
export const APP_WEB_SOCKETS = {
  total: 5_000,
  perUser: 256,
  perAddress: 1_250,
  perWorkspace: 1_250,
  perAddressOfWorkspace: 312,
} as const satisfies PlaceLimits;
