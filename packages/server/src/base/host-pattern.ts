/** Whether a name matches a pattern: a name or address, `*.domain` for all names below it, or `*`. Both in lower case. */
export function matchesHost(pattern: string, name: string): boolean {
  if (pattern === "*") return true;
  if (pattern.startsWith("*.")) return name.endsWith(pattern.slice(1)) && name.length > pattern.length - 1;
  return name === pattern || name === `[${pattern}]`;
}
