import { type AccessHolder, endsAccess } from "../../auth/access-events.ts";
import { CLOSE_POLICY, type TextSocket } from "../../base/text-sockets.ts";
import type { AgentLogRow } from "../../db/schema.ts";
import type { RouteContext } from "../context.ts";
import { agentLogView } from "../views.ts";

const LOGS_PER_MESSAGE = 500;

/**
 * Sends an agent's logs after id `after`, then each batch as it is stored, as JSON arrays, until the socket closes. The
 * first message comes at once; it is an empty array when there are none.
 */
export async function followAgentLogs(
  context: RouteContext,
  socket: TextSocket,
  holder: AccessHolder,
  agentId: string,
  after: number,
): Promise<void> {
  // What is stored while the history is read waits here; an agent's logs are bounded, and so is this.
  let waiting: AgentLogRow[] | undefined = [];
  let sent = after;
  const send = (logs: readonly AgentLogRow[]): void => {
    const fresh = logs.filter((log) => log.id > sent);
    for (let start = 0; start < fresh.length; start += LOGS_PER_MESSAGE) {
      socket.send(JSON.stringify(fresh.slice(start, start + LOGS_PER_MESSAGE).map(agentLogView)));
    }
    sent = fresh.at(-1)?.id ?? sent;
  };
  const deny = (): void => socket.close(CLOSE_POLICY, "access ended");
  const leaveChanges = context.changes.subscribe(`agent-logs:${agentId}`, (change) => {
    if (change.kind !== "agent-logs") return;
    if (waiting === undefined) send(change.logs);
    else waiting.push(...change.logs);
  });
  const leaveAccess = context.accessEvents.subscribe((event) => {
    if (endsAccess(event, holder)) deny();
  });
  const timer = setInterval(() => {
    context.authenticator.stillHolds(holder).then(
      (holds) => {
        if (!holds) deny();
      },
      (error: unknown) => {
        context.log.error({ err: error }, "checking access failed");
        deny();
      },
    );
  }, context.limits.recheckMs);
  timer.unref();
  socket.onClose(() => {
    clearInterval(timer);
    leaveChanges();
    leaveAccess();
  });

  for (;;) {
    const page = await context.store.agentLogs.list(agentId, { after: sent, limit: LOGS_PER_MESSAGE });
    if (page.length === 0 && sent === after) socket.send("[]");
    send(page);
    if (page.length < LOGS_PER_MESSAGE) break;
  }
  const missed = waiting;
  waiting = undefined;
  send(missed);
}
