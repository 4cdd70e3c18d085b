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

/** Resolves with the reason, undefined when the agent answers nevertheless. Never rejects. */
export async function accessEnd(
  refusal: ClientError,
  ping: (options: { readonly signal: AbortSignal }) => Promise<unknown>,
): Promise<ClientError | undefined> {
  for (let asked = 0; asked < QUESTIONS; asked++) {
    const answered = await ping({ signal: AbortSignal.timeout(ANSWER_MS) }).then(
      () => true,
      () => false, // no answer, or no tunnel left to ask through
    );
    if (answered) return undefined;
  }
  return new ClientError("ERR_ACCESS_ENDED", "Your access to the workspace ended", {
    status: refusal.status,
    detail: REASONS[refusal.status ?? 0] ?? refusal.message,
    cause: refusal,
  });
}
