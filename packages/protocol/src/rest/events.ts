import { z } from "zod";

/** One event of an event stream, as the `…-ws` routes send it: one text message each. */
export const serverSentEvent = z.object({
  type: z.enum(["ping", "data", "error"]),
  data: z.unknown().optional(),
});
export type ServerSentEvent = z.infer<typeof serverSentEvent>;

/** The text/event-stream form. Only `ping` has no data. */
export function formatServerSentEvent(event: ServerSentEvent): string {
  if (event.type === "ping") return "event: ping\n\n";
  return `event: ${event.type}\ndata: ${JSON.stringify(event.data)}\n\n`;
}
