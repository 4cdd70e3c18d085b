import type { User } from "coder-protocol/rest/users";
import type { Column } from "./output.ts";
import { renderTable } from "./table.ts";

export const USER_COLUMNS: readonly Column<User>[] = [
  { name: "id", value: (row) => row.id },
  { name: "username", standard: true, value: (row) => row.username },
  { name: "name", value: (row) => row.name ?? "" },
  { name: "email", standard: true, value: (row) => row.email },
  { name: "created at", standard: true, value: (row) => row.created_at },
  { name: "updated at", value: (row) => row.updated_at },
  { name: "status", standard: true, value: (row) => row.status },
  { name: "roles", value: rolesText },
];

export function rolesText(user: User): string {
  return user.roles.map((role) => role.display_name || role.name).join(", ") || "Member";
}

/** One user, with one line for each fact. */
export function userDetails(user: User): string {
  return renderTable(
    [user.username, ""],
    [
      ["Email", user.email],
      ["Name", user.name ?? ""],
      ["Id", user.id],
      ["Status", user.status],
      ["Roles", rolesText(user)],
      ["Connection policy", (user.connection_policy ?? "inherit").replace("_", "-")],
      ["Created at", user.created_at],
      ["Last seen at", user.last_seen_at ?? "never"],
    ],
  );
}
