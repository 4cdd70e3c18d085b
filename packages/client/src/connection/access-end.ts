/**
 * Whether a connection that the deployment refuses to coordinate any longer is over. A token that merely expired ends
 * nothing: the tunnel needs no coordinator. One that was revoked ends the tunnel as well, at the agent, without a word to us.
 */
import { ClientError } from "../base/client-error.ts";

/** An agent that did not answer this many questions in a row has let us go. */
const QUESTIONS = 2;
const ANSWER_MS = 1_500;

const REASONS: Readonly<Record<number, string>> = {
  401: "the deployment does not take this login any more: it was removed or expired, or its user was suspended",
  403: "you may not use this workspace any more",
  404: "the workspace or its agent does not exist any more",
};

/** Resolves with the reason, undefined when the agent still answers. Never rejects. */
export async function accessEnd(
  refusal: ClientError,
  ping: (options: { readonly signal: AbortSignal }) => Promise<unknown>,
): Promise<ClientError | undefined> {
  // The tunnel is removed on both sides: there is no need to ask the agent.
  if (refusal.code === "ERR_BROWSER_ONLY") return ended(refusal.message, refusal.detail, refusal);
  for (let asked = 0; asked < QUESTIONS; asked++) {
    const answered = await ping({ signal: AbortSignal.timeout(ANSWER_MS) }).then(
      () => true,
      () => false, // no answer, or no tunnel left to ask through
    );
    if (answered) return undefined;
  }
  return ended("Your access to the workspace ended", REASONS[refusal.status ?? 0] ?? refusal.message, refusal);
}

function ended(message: string, detail: string | undefined, cause: ClientError): ClientError {
  return new ClientError("ERR_ACCESS_ENDED", message, { status: cause.status, detail, cause });
}
