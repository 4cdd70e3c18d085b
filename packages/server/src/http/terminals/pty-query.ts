/** The parameters with which a page opens a terminal. */
import { isUuid } from "coder-protocol/addresses";
import { DomainError } from "../../base/domain-error.ts";

const MAX_COMMAND_LENGTH = 4096;
/** How long, in seconds, a program without a viewer may be kept. */
const KEEP = { least: 300, most: 259_200 };

export interface PtyQuery {
  readonly id: string;
  readonly rows: number;
  readonly columns: number;
  readonly command: string;
  readonly container: string;
  readonly containerUser: string;
  readonly backend: string;
  /** 0: the agent's default. */
  readonly keepSeconds: number;
  /** Text frames carry events and controls. */
  readonly control: boolean;
  readonly readOnly: boolean;
}

/** Throws DomainError "invalid", which names every invalid parameter. */
export function readPtyQuery(query: URLSearchParams): PtyQuery {
  const problems: { field: string; detail: string }[] = [];
  const wrong = (field: string, what: string): void =>
    void problems.push({ field, detail: `Query param "${field}" ${what}` });
  const id = (query.get("reconnect") ?? "").toLowerCase();
  if (!isUuid(id)) wrong("reconnect", "must be a UUID");
  const number = (field: string, fallback: number, { least, most }: { least: number; most: number }): number => {
    const text = query.get(field) ?? "";
    if (text === "") return fallback;
    if (/^\d{1,6}$/.test(text) && Number(text) >= least && Number(text) <= most) return Number(text);
    wrong(field, `must be between ${least} and ${most}`);
    return fallback;
  };
  const cells = { least: 0, most: 65_535 };
  const text = (field: string): string => {
    const value = query.get(field) ?? "";
    if (value.length <= MAX_COMMAND_LENGTH) return value;
    wrong(field, `is longer than ${MAX_COMMAND_LENGTH} characters`);
    return "";
  };
  const mode = query.get("mode") ?? "";
  if (!["", "rw", "ro"].includes(mode)) wrong("mode", 'must be "rw" or "ro"');
  const found: PtyQuery = {
    id,
    rows: number("height", 24, cells),
    columns: number("width", 80, cells),
    command: text("command"),
    container: text("container"),
    containerUser: text("container_user"),
    backend: text("backend_type"),
    keepSeconds: number("keep", 0, KEEP),
    control: query.get("control") === "1",
    readOnly: mode === "ro",
  };
  if (problems.length > 0)
    throw new DomainError("invalid", "Query parameters have invalid values.", { validations: problems });
  return found;
}
