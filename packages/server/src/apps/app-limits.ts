/** Limits on what may be open at one time for all apps that a process serves. */
import type { PlaceLimits } from "../base/places.ts";

export const APP_REQUESTS: PlaceLimits = { total: 2_000, perUser: 200, perAddress: 500, perWorkspace: 500 };
export const APP_WEB_SOCKETS: PlaceLimits = { total: 5_000, perUser: 256, perAddress: 1_250, perWorkspace: 1_250 };
