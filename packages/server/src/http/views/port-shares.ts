import type { PortShare } from "coder-protocol/rest/apps";
import { formatTime } from "../../base/clock.ts";
import { choiceFields } from "../../db/app-choices.ts";
import type { PortShareRow } from "../../db/schema.ts";

export function portShareView(row: PortShareRow): PortShare {
  return {
    workspace_id: row.workspace_id,
    agent_name: row.agent_name,
    port: row.port,
    share_level: row.level,
    protocol: row.protocol,
    label: row.label,
    expires_at: row.expires_at === null ? null : formatTime(row.expires_at),
    host_header: row.host_header,
    ...choiceFields(row),
    created_at: formatTime(row.created_at),
  };
}
