import type { PortShare, ShareLevel } from "coder-protocol/rest/apps";
import { formatTime } from "../../base/clock.ts";
import { narrowerLevel } from "../../base/share-level.ts";
import { choiceFields } from "../../db/app-choices.ts";
import type { PortShareRow } from "../../db/schema.ts";

/** @param maxLevel The widest level that the administrator allows. */
export function portShareView(row: PortShareRow, maxLevel: ShareLevel): PortShare {
  return {
    workspace_id: row.workspace_id,
    agent_name: row.agent_name,
    port: row.port,
    share_level: row.level,
    effective_level: narrowerLevel(row.level, maxLevel),
    protocol: row.protocol,
    label: row.label,
    expires_at: row.expires_at === null ? null : formatTime(row.expires_at),
    host_header: row.host_header,
    ...choiceFields(row),
    created_at: formatTime(row.created_at),
  };
}
