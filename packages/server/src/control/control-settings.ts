import type { AppPlaceNames } from "../base/app-name.ts";

/** The deployment's settings that clients and agents receive. */
export interface ControlSettings {
  readonly forceWebSockets: boolean;
  readonly blockDirect: boolean;
  /** "" if there is none. */
  readonly hostnameSuffix: string;
  /** The address of an agent's programs, with a placeholder for the port; "" without a wildcard access URL. */
  readonly portProxyAddress: (place: AppPlaceNames) => string;
}
