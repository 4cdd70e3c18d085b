import { z } from "zod";

/** Answer of GET /notifications/inbox. What one notification looks like matters to nobody here: there is none. */
export const inboxResponse = z.object({ notifications: z.array(z.unknown()), unread_count: z.number().int() });
export type InboxResponse = z.infer<typeof inboxResponse>;
