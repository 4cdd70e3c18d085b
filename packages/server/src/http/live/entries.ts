/** The data of a topic as a map from key to JSON text, and the messages that carry it. */

export type Entries = ReadonlyMap<string, string>;

/** Maximum length of a message, unless it holds a single entry. */
export const MAX_MESSAGE_CHARACTERS = 256 * 1024;

/** Makes each field of an object an entry. */
export function entriesOf(data: Readonly<Record<string, unknown>>): Entries {
  const entries = new Map<string, string>();
  for (const [key, value] of Object.entries(data)) if (value !== undefined) entries.set(key, JSON.stringify(value));
  return entries;
}

/** Keys that were added, changed or removed. */
export function changedKeys(before: Entries, after: Entries): string[] {
  const changed: string[] = [];
  for (const [key, text] of after) if (before.get(key) !== text) changed.push(key);
  for (const key of before.keys()) if (!after.has(key)) changed.push(key);
  return changed;
}

/**
 * Messages that carry all entries, without their beginning, which contains the id of a subscription; the rest is the same text
 * for all subscribers. A snapshot that is too long is continued by patches, and only the last message is without `more`.
 */
export function snapshotBodies(rev: number, entries: Entries): string[] {
  const parts = [...pieces([...entries.keys()], entries)];
  const [first = "", ...rest] = parts;
  const head = headOf("snapshot", rev, rest.length > 0);
  return [`${head},"data":{${first}}}`, ...continuing(rev, rest)];
}

/** Messages that update a subscriber who knows everything but `keys`. Empty if there is nothing to send. */
export function patchBodies(rev: number, entries: Entries, keys: Iterable<string>): string[] {
  const removed: string[] = [];
  const present: string[] = [];
  for (const key of keys) (entries.has(key) ? present : removed).push(key);
  const parts = [...pieces(present, entries)];
  if (parts.length === 0 && removed.length === 0) return [];
  const [first = "", ...rest] = parts;
  return [patchBody(rev, first, removed, rest.length > 0), ...continuing(rev, rest)];
}

export function message(id: number, body: string): string {
  return `{"id":${id},${body}`;
}

function continuing(rev: number, parts: readonly string[]): string[] {
  return parts.map((part, index) => patchBody(rev, part, [], index < parts.length - 1));
}

function patchBody(rev: number, set: string, del: readonly string[], more: boolean): string {
  return `${headOf("patch", rev, more)},"set":{${set}},"del":${JSON.stringify(del)}}`;
}

function headOf(type: "snapshot" | "patch", rev: number, more: boolean): string {
  return `"type":"${type}","rev":${rev}${more ? ',"more":true' : ""}`;
}

/** Texts of the form `"key":value,…`, each with as many entries as fit. */
function* pieces(keys: readonly string[], entries: Entries): Iterable<string> {
  let part = "";
  for (const key of keys) {
    const pair = `${JSON.stringify(key)}:${entries.get(key) ?? "null"}`;
    if (part !== "" && part.length + pair.length + 1 > MAX_MESSAGE_CHARACTERS) {
      yield part;
      part = "";
    }
    part += part === "" ? pair : `,${pair}`;
  }
  if (part !== "") yield part;
}
