import type { ConnectionLogEntry } from "coder-protocol/rest/profile";
import { formatTime } from "../../base/clock.ts";
import type { ConnectionLogRow } from "../../db/connection-reports.ts";

export function connectionLogView(row: ConnectionLogRow): ConnectionLogEntry {
  return {
    workspace_id: row.workspace_id,
    workspace_name: row.workspace_name,
    workspace_owner_username: row.owner_name,
    agent_name: row.agent_name,
    connection_id: row.connection_id,
    action: row.action,
    type: row.type,
    ip: row.ip,
    status_code: row.status_code,
    reason: row.reason,
    time: formatTime(row.reported_at),
  };
}
