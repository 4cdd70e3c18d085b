import { z } from "zod";

/** Answer of GET /notifications/inbox. The form of a notification does not matter here: there are none. */
export const inboxResponse = z.object({ notifications: z.array(z.unknown()), unread_count: z.number().int() });
export type InboxResponse = z.infer<typeof inboxResponse>;
