import type { AppPlaceNames } from "../base/app-name.ts";

/** What the deployment's settings say to clients and agents. */
export interface ControlSettings {
  readonly forceWebSockets: boolean;
  readonly blockDirect: boolean;
  /** "" for none. */
  readonly hostnameSuffix: string;
  /** Where programs of an agent are reached, with a place for the port; "" without a wildcard access URL. */
  readonly portProxyAddress: (place: AppPlaceNames) => string;
}
