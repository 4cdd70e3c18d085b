/** Reports that a workspace is being used, so that the control plane does not stop it. */

import { sleep } from "coder-client/base/backoff";
import type { Deployment } from "coder-client/rest/deployment";
import type { Logger } from "wg-userspace/base/ports";

const EVERY_MS = 60_000;

export interface UsageOptions {
  readonly deployment: Deployment;
  readonly workspaceId: string;
  /** Asked before each report; nothing is reported while it is false. */
  readonly isUsed: () => boolean;
  readonly logger: Logger;
}

/** Reports once a minute until aborted. A failed report is logged and has no other effect. */
export async function reportUsage(options: UsageOptions, signal: AbortSignal): Promise<void> {
  const { deployment, workspaceId, logger } = options;
  while (!signal.aborted) {
    if (options.isUsed()) {
      await deployment
        .call(`/api/v2/workspaces/${encodeURIComponent(workspaceId)}/usage`, { method: "POST", body: {}, signal })
        .catch((error: unknown) => logger.log("debug", "use of the workspace not reported", { error: String(error) }));
    }
    await sleep(EVERY_MS, signal).catch(() => undefined); // aborted: the loop's condition ends it
  }
}
