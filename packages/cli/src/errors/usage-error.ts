/** The command line does not follow the grammar: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
