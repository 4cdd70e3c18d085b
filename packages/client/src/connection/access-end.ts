/**
 * Decides whether a connection has ended because the deployment refuses to coordinate it. A token that merely expired ends
 * nothing, since the tunnel needs no coordinator. A revoked one also ends the tunnel at the agent, which does not inform us.
 */
import { ClientError } from "../base/client-error.ts";

/** An agent that did not answer this many pings in a row has ended the tunnel. */
const QUESTIONS = 2;
const ANSWER_MS = 1_500;

const REASONS: Readonly<Record<number, string>> = {
  401: "the deployment does not accept this login any more: it was removed or expired, or its user was suspended",
  403: "you may not use this workspace any more",
  404: "the workspace or its agent does not exist any more",
};

/** Resolves with the reason, or undefined when the agent still answers. Never rejects. */
export async function accessEnd(
  refusal: ClientError,
  ping: (options: { readonly signal: AbortSignal }) => Promise<unknown>,
): Promise<ClientError | undefined> {
  // The tunnel is removed on both sides, so pinging the agent is useless.
  if (refusal.code === "ERR_BROWSER_ONLY") return ended(refusal.message, refusal.detail, refusal);
  for (let asked = 0; asked < QUESTIONS; asked++) {
    const answered = await ping({ signal: AbortSignal.timeout(ANSWER_MS) }).then(
      () => true,
      () => false, // no answer, or no tunnel to ask through
    );
    if (answered) return undefined;
  }
  return ended("Your access to the workspace ended", REASONS[refusal.status ?? 0] ?? refusal.message, refusal);
}

function ended(message: string, detail: string | undefined, cause: ClientError): ClientError {
  return new ClientError("ERR_ACCESS_ENDED", message, { status: cause.status, detail, cause });
}
